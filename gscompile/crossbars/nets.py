"""Find the nets that a netlist really has (those with a pin), for the output formats, the placer and the costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gscompile.crossbars.netlist import Matrix, Netlist, Tile
from gscompile.crossbars.pins import Indices

_NO_NETS: Indices = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Pin:
    """Row or column `index` of a tile, counted among its live rows or columns."""

    tile: Tile
    side: Literal["row", "col"]
    index: int

    @property
    def array_index(self) -> int:
        """Return the row or column of the pin on the physical array."""
        return self.index + self.tile.corner[0 if self.side == "row" else 1]


class Nets:
    """Pins by net. A net is `bus[i]`; it exists if a tile has a pin on it, or on a tensor bus.

    Nothing is cached: answers are computed from the tiles on the bus in question.
    """

    def __init__(self, netlist: Netlist) -> None:
        self._netlist = netlist

    def inputs(self, matrix: Matrix) -> Indices:
        """Return the inputs of a matrix that have a pin on some tile, in order."""
        return _union([tile.inputs for tile in matrix.tiles])

    def outputs(self, matrix: Matrix) -> Indices:
        """Return the outputs of a matrix that have a pin on some tile, in order."""
        return _union([tile.outputs for tile in matrix.tiles])

    def live(self, bus: str) -> Indices:
        """Return the indices of the bus that are nets, in order; a tensor bus is net 0."""
        if self._netlist.ends[bus].stream:
            return np.zeros(1, np.int64)
        return _union([*self._driven(bus), *self._read(bus)])

    def tied(self, bus: str) -> Indices:
        """Return the nets that reach rows only and have no driving matrix column: their input is always zero."""
        ends = self._netlist.ends[bus]
        if ends.stream or not ends.driving_matrices:
            return _NO_NETS  # a block or a port drives all nets of this bus
        return np.setdiff1d(_union(self._read(bus)), _union(self._driven(bus)))

    def pins(self, bus: str) -> Iterator[tuple[int, list[Pin]]]:
        """Yield every net of an analog bus with its tile pins: columns first, each in netlist order."""
        columns = [(t, t.outputs) for m in self._netlist.ends[bus].driving_matrices for t in m.tiles]
        rows = [(t, t.inputs) for m in self._netlist.ends[bus].reading_matrices for t in m.tiles]
        indices = np.concatenate([_NO_NETS, *(i for _, i in columns), *(i for _, i in rows)])
        entries = [(tile, n) for tile, pins in (*columns, *rows) for n in range(len(pins))]
        first_row = sum(len(pins) for _, pins in columns)
        order = np.argsort(indices, kind="stable")
        starts = np.flatnonzero(np.diff(indices[order], prepend=-1))
        for group in np.split(order, starts[1:]) if len(order) else []:
            sides = [(*entries[k], k < first_row) for k in group.tolist()]
            yield int(indices[group[0]]), [Pin(t, "col" if c else "row", n) for t, n, c in sides]

    @property
    def count(self) -> int:
        """Return the number of nets of the whole design, tensor streams included."""
        return sum(len(self.live(bus.name)) for bus in self._netlist.buses)

    def _driven(self, bus: str) -> list[Indices]:
        return [tile.outputs for matrix in self._netlist.ends[bus].driving_matrices for tile in matrix.tiles]

    def _read(self, bus: str) -> list[Indices]:
        return [tile.inputs for matrix in self._netlist.ends[bus].reading_matrices for tile in matrix.tiles]


def _union(parts: list[Indices]) -> Indices:
    """Return the indices of all parts, each once, in order; they are not negative."""
    flat = np.concatenate([_NO_NETS, *parts])
    if not len(flat) or flat.max() > 8 * len(flat):
        return np.unique(flat)
    marks = np.zeros(flat.max() + 1, bool)  # faster than sorting for dense indices
    marks[flat] = True
    return np.flatnonzero(marks)
