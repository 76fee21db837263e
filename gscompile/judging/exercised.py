"""Which weights of a network move an output on given samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices
from gscompile.judging.samples import Draw, Samples
from gscompile.scoring.replaced import Replaced

UNMOVED = 1e-7  # of an output's range: less is rounding
MOST_CELLS = 1 << 25  # of a network whose layers are all tried; of a larger one only those that may be passed over


def exercised(network: Network, layers: Iterable[Layer], draws: Sequence[Draw]) -> Iterator[str]:
    """Yield the names of layers that move an output when their weight is zero, or one where it is zero already.

    One run for each layer on the first draw. Layers that do not move an output there are changed all together on each
    of the other draws, and halved only where that moves an output.
    """
    replaced = Replaced(network)
    own = [Draw(draw.inputs, replaced.whole(draw.inputs), draw.group) for draw in draws]
    whole = Samples(own)
    waiting = [*layers]
    for number, draw in enumerate(own):

        def move(some: Sequence[Layer], draw: Draw = draw) -> bool:
            run = replaced.run_all([(layer, _other(layer)) for layer in some])
            return float(whole.errors_of(run, draw).max()) > UNMOVED

        groups = [waiting] if number else [[layer] for layer in waiting]
        moved = {layer.name for group in groups for layer in _that_move(group, move)}
        yield from moved
        waiting = [layer for layer in waiting if layer.name not in moved]


def _that_move(layers: Sequence[Layer], move: Callable[[Sequence[Layer]], bool]) -> Iterator[Layer]:
    """Yield those of some layers that move an output, by halves; none where all together move none."""
    if not layers or not move(layers):
        return
    if len(layers) == 1:
        yield layers[0]
        return
    half = len(layers) // 2
    yield from _that_move(layers[:half], move)
    yield from _that_move(layers[half:], move)


def _other(layer: Layer) -> Matrices:
    """Return other matrices for a layer: zero, or one where they are zero already."""
    matrices = layer.matrices
    filled = np.zeros if (matrices != 0).any() else np.ones
    return filled(matrices.shape, matrices.dtype)


def to_try(network: Network) -> list[Layer]:
    """Return the layers that may be changed; of a large network those in branches, loops and recurrent operations."""
    layers = [layer for layer in network.layers if layer.layout.compressible]
    cells = sum(layer.layout.rows * layer.layout.cols * layer.layout.parts for layer in layers)
    return layers if cells <= MOST_CELLS else [layer for layer in layers if _may_be_passed_over(network, layer)]


def _may_be_passed_over(network: Network, layer: Layer) -> bool:
    return any(use.node.graph is not network.graph for use in layer.uses) or layer.op in ("LSTM", "GRU", "RNN")
