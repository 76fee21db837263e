"""Linear maps whose ranks can be clipped: a layer, or the two factors of one taken together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.graph.factor_pairs import separable_pairs
from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices, separable_taps


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A layer, or two factors of one: a product of `shape` [parts, inputs, outputs] and of rank at most `rank`.

    Where the second factor keeps several `taps` of a kernel, those are of the product's outputs: a convolution's weight
    [(channel, y, x), output] is then one of shape [(channel, y), (x, output)].
    """

    origin: str
    u: Layer
    v: Layer | None
    shape: tuple[int, int, int]
    rank: int
    factorable: bool
    taps: int = 1

    @property
    def product(self) -> NDArray[Any]:
        """[parts, inputs, outputs]: the weight as it lies in its file, or a product in double precision."""
        if self.v is None:
            return self.u.matrices.reshape(self.shape)
        v = self.v.matrices.astype(np.float64).reshape(len(self.v.matrices), -1, self.shape[2])
        return np.asarray(self.u.matrices.astype(np.float64) @ v)

    @property
    def cells(self) -> int:
        parts, inputs, outputs = self.shape
        return parts * (inputs * outputs if self.v is None else self.rank * (inputs + outputs))

    def folded(self, v: Matrices) -> Matrices:
        """A second factor [parts, rank, outputs] as the layer has it: [parts, rank * taps, outputs / taps]."""
        return v.reshape(len(v), -1, v.shape[2] // self.taps)

    def ways(self) -> Iterator[LinearMap]:
        """The map itself and, while it is whole, as every product of two convolutions that it may become."""
        yield self
        parts, inputs, outputs = self.shape
        for taps in separable_taps(self.u.uses[0].node, self.u.layout) if self.v is None else ():
            shape = parts, inputs // taps, outputs * taps
            yield replace(self, shape=shape, rank=min(shape[1:]), taps=taps)


def linear_maps(network: Network) -> list[LinearMap]:
    """Every weighted layer in graph order, the two factors of one taken together."""
    taken: dict[str, tuple[str, int]] = {}  # by its first factor
    seconds = set[str]()
    for v, (u, taps) in separable_pairs(network).items():
        if u not in seconds:
            taken[u] = v, taps
            seconds.add(v)
    return [
        _linear_map(network, layer, *taken.get(layer.name, ("", 1)))
        for layer in network.layers
        if layer.name not in seconds
    ]


def _linear_map(network: Network, layer: Layer, second: str, taps: int) -> LinearMap:
    v = network.layer(second) if second else None
    inputs, outputs, parts = layer.layout.inputs, (v or layer).layout.outputs * taps, layer.layout.parts
    rank = min(inputs, outputs) if v is None else layer.layout.outputs
    shape = parts, inputs, outputs
    return LinearMap(
        origin=(v or layer).origin, u=layer, v=v, shape=shape, rank=rank, factorable=layer.layout.factorable, taps=taps
    )


def cells(network: Network) -> int:
    """Cells of all matrices, dense."""
    return sum(linear.cells for linear in linear_maps(network))


def pays(linear: LinearMap, rank: int) -> bool:
    """Return whether two factors of this rank take fewer cells than the map takes now."""
    parts, inputs, outputs = linear.shape
    return 0 < rank * (inputs + outputs) * parts < linear.cells
