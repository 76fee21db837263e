"""Channels: which axes of which values hold the units that one layer produces and another consumes.

A *space* is a set of channels that several values of the graph share: what one layer's columns produce and
the rows of the next consume, with everything between them that treats channels alike (activations, pooling,
biases, depthwise filters, residual additions and gates, which tie several producers; concatenations and splits,
whose parts stay spaces of their own; the heads of an attention, in which a place of the heads is one unit). The
ranks between two factors U and V are a space as well, so one mechanism removes neurons, channels and ranks. A space
is *pinned* where an op between is not known to keep channels apart, or where a channel can be seen from outside.

The walk also keeps, for every value, when its channel is zero: *alternatives*, each a set of sources
(producing layers, vectors) that must all be zero there. A sum needs both sides to be, a product one of them,
and a sigmoid never is.
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
    """The spaces of the main graph, pinned ones included, in the order of their first producer."""
    walk = Walk(network)
    walk.run(RULES, weighted)
    return spaces_of(walk)
