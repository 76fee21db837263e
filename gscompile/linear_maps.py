"""What ranks are clipped of: layers that are linear maps, two factors of one taken together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.network import Layer, Network
from gscompile.pairs import factor_pairs


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A layer, or two factors of one: a product of `shape` [parts, inputs, outputs] and of rank at most `rank`."""

    origin: str
    u: Layer
    v: Layer | None
    shape: tuple[int, int, int]
    rank: int
    factorable: bool

    @property
    def product(self) -> NDArray[Any]:
        """[parts, inputs, outputs]: the weight as it lies in its file, or a product in double precision."""
        if self.v is None:
            return self.u.matrices
        return np.asarray(self.u.matrices.astype(np.float64) @ self.v.matrices.astype(np.float64))

    @property
    def cells(self) -> int:
        parts, inputs, outputs = self.shape
        return parts * (inputs * outputs if self.v is None else self.rank * (inputs + outputs))


def linear_maps(network: Network) -> list[LinearMap]:
    """Every weighted layer in graph order, the two factors of one taken together."""
    pairs = factor_pairs(network)
    seconds = {u: network.layer(v) for v, u in pairs.items()}
    return [
        _linear_map(layer, seconds.get(layer.name)) for layer in network.layers if layer.name not in pairs
    ]


def _linear_map(layer: Layer, v: Layer | None) -> LinearMap:
    inputs, outputs, parts = layer.layout.inputs, (v or layer).layout.outputs, layer.layout.parts
    rank = min(inputs, outputs) if v is None else layer.layout.outputs
    return LinearMap((v or layer).origin, layer, v, (parts, inputs, outputs), rank, layer.layout.factorable)


def cells(network: Network) -> int:
    """Cells of all matrices, dense."""
    return sum(linear.cells for linear in linear_maps(network))


def pays(linear: LinearMap, rank: int) -> bool:
    """Whether two factors of that rank take fewer cells than what is there now."""
    parts, inputs, outputs = linear.shape
    return 0 < rank * (inputs + outputs) * parts < linear.cells
