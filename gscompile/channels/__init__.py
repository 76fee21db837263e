"""Find the channels that layers share, so that units (neurons, channels, ranks) can be removed from all of them.

*Coupled channels* are the channels that several values of the graph have in common: the columns of the layer that
produces them, the rows of the layers that consume them, and everything between that treats channels one by one
(activations, pooling, biases, depthwise filters). A residual addition couples several producers; the parts of a
concatenation or a split stay separate; one position within the heads of an attention is one unit. The ranks between
two factors U and V are coupled channels as well, so one mechanism removes neurons, channels and ranks. Coupled channels
are *locked* when an op between is not known to keep channels apart, or when a channel is visible from outside.

The walk over the graph also records when a channel is zero, as *alternatives*: each is a set of sources (producing
layers, vectors) that must all be zero. A sum is zero if both operands are, a product if one of them is, and a sigmoid
never is.
"""

from __future__ import annotations

from gscompile.channels import axes, binary, elementwise, reshaping
from gscompile.channels import concat_split as joints
from gscompile.channels import shape_rules as told_sizes
from gscompile.channels import spatial as positions
from gscompile.channels.build_coupled import spaces_of
from gscompile.channels.coupled_channels import CoupledChannels
from gscompile.channels.propagation import Walk
from gscompile.channels.weighted import weighted
from gscompile.graph.network import Network

RULES = {
    **elementwise.RULES,
    **binary.RULES,
    **positions.RULES,
    **told_sizes.RULES,
    **joints.RULES,
    **axes.RULES,
    **reshaping.RULES,
}


def find_coupled_channels(network: Network) -> tuple[CoupledChannels, ...]:
    """Return the coupled channels of the main graph, locked ones included, in the order of their first producer."""
    walk = Walk(network)
    walk.run(RULES, weighted)
    return spaces_of(walk)
