"""The size of a linear map unchanged and as a factor pair of every rank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gscompile.compression.linear_maps import LinearMap
from gscompile.crossbars.mapping import Footprint, MapOptions, dense_footprint, footprint_of


@dataclass(frozen=True)
class Sizes:
    """Cells, wires and tiles of maps and of their factors, cut as `mapping` says."""

    mapping: MapOptions

    def now(self, linear: LinearMap) -> Footprint:
        """Return what the map takes as it is; zeros are left out as mapping leaves them out."""
        layers = (linear.u,) if linear.v is None else (linear.u, linear.v)
        return footprint_of(layers, self.mapping)

    def at(self, linear: LinearMap, ranks: Iterable[int]) -> list[Footprint]:
        """Return what factors of each rank take that hold no zeros but for the matrix's zero rows and columns."""
        live = [*_live(linear)]
        return [dense_footprint(_factors(live, rank, linear.taps), self.mapping) for rank in ranks]


def _live(linear: LinearMap) -> Iterator[tuple[int, int]]:
    """Inputs of the first factor and outputs of the second that hold a weight, of each part."""
    for w in linear.product != 0:
        outputs = w.any(axis=0).reshape(linear.taps, -1).any(axis=0)
        yield int(np.count_nonzero(w.any(axis=1))), int(np.count_nonzero(outputs))


def _factors(live: Iterable[tuple[int, int]], rank: int, taps: int) -> Iterator[tuple[int, int]]:
    for inputs, outputs in live:
        yield inputs, rank
        yield rank * taps, outputs
