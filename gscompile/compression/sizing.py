"""What a linear map takes as it is and as a product of every rank: cells alone, or what a user pays for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gscompile.compression.linear_maps import LinearMap
from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import MapOptions, dense_footprint, footprint_of


@dataclass(frozen=True)
class Cells:
    """All cells, zeros among them."""

    def now(self, linear: LinearMap) -> float:
        return linear.cells

    def at(self, linear: LinearMap, ranks: Iterable[int]) -> list[float]:
        parts, inputs, outputs = linear.shape
        return [float(rank * parts * (inputs + outputs)) for rank in ranks]


@dataclass(frozen=True)
class Priced:
    """Cells, wires and tiles by their prices: a rank that saves no tile and few wires is worth less than another."""

    mapping: MapOptions
    price: Price

    def now(self, linear: LinearMap) -> float:
        """Of what is there, without zeros."""
        layers = (linear.u,) if linear.v is None else (linear.u, linear.v)
        return self.price.of(footprint_of(layers, self.mapping))

    def at(self, linear: LinearMap, ranks: Iterable[int]) -> list[float]:
        """Of factors that hold no zeros, but for inputs that nothing reads and outputs that nothing gives."""
        live = [*_live(linear)]
        return [self.price.of(dense_footprint(_factors(live, rank, linear.taps), self.mapping)) for rank in ranks]


Size = Cells | Priced


def _live(linear: LinearMap) -> Iterator[tuple[int, int]]:
    """Inputs of the first factor and outputs of the second that hold a weight, of each part."""
    for w in linear.product != 0:
        outputs = w.any(axis=0).reshape(linear.taps, -1).any(axis=0)
        yield int(np.count_nonzero(w.any(axis=1))), int(np.count_nonzero(outputs))


def _factors(live: Iterable[tuple[int, int]], rank: int, taps: int) -> Iterator[tuple[int, int]]:
    for inputs, outputs in live:
        yield inputs, rank
        yield rank * taps, outputs
