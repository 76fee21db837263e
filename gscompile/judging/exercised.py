"""Which weights of a network move an output on given samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gscompile.graph.network import Layer, Network
from gscompile.judging.samples import Draw, Samples
from gscompile.scoring.replaced import Replaced
from gscompile.scoring.runner import RunBatch

UNMOVED = 1e-7  # of an output's range: less is rounding
MOST_CELLS = 1 << 25  # of a network whose layers are all tried; of a larger one only those that may be passed over


def exercised(network: Network, layers: Iterable[Layer], draws: Sequence[Draw]) -> Iterator[str]:
    """Yield the names of layers that move an output when their weight is zero, or one where it is zero already.

    One run for each layer, and more only while its outputs stay: a layer is done with the first draw that it moves.
    """
    replaced = Replaced(network)
    own = [Draw(draw.inputs, replaced.whole(draw.inputs), draw.group) for draw in draws]
    whole = Samples(own)
    for layer in layers:
        changed = _without(replaced, layer)
        if any(float(whole.errors_of(changed, draw).max()) > UNMOVED for draw in own):
            yield layer.name


def _without(replaced: Replaced, layer: Layer) -> RunBatch:
    """The network with another weight in the place of the layer's."""
    matrices = layer.matrices
    filled = np.zeros if (matrices != 0).any() else np.ones
    return replaced.run(layer, filled(matrices.shape, matrices.dtype))


def to_try(network: Network) -> list[Layer]:
    """Return the layers that may be changed; of a large network those in branches, loops and recurrent operations."""
    layers = [layer for layer in network.layers if layer.layout.compressible]
    cells = sum(layer.layout.rows * layer.layout.cols * layer.layout.parts for layer in layers)
    return layers if cells <= MOST_CELLS else [layer for layer in layers if _may_be_passed_over(network, layer)]


def _may_be_passed_over(network: Network, layer: Layer) -> bool:
    return any(use.node.graph is not network.graph for use in layer.uses) or layer.op in ("LSTM", "GRU", "RNN")
