"""Which nets a netlist really has: those with a pin. Shared by the output formats, the placer and the
costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from gscompile.netlist import Block, Matrix, Netlist, Tile
from gscompile.pins import Indices

_NONE: Indices = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Pin:
    """Row or column `index` of a tile, counted among its live ones."""

    tile: Tile
    side: Literal["row", "col"]
    index: int

    @property
    def array_index(self) -> int:
        """The same row or column counted on the physical array."""
        return self.index + self.tile.corner[0 if self.side == "row" else 1]


class Nets:
    """Pins by net. A net is `bus[i]`; it exists where a tile has a pin on it, or on a tensor bus."""

    def __init__(self, netlist: Netlist) -> None:
        self._netlist = netlist

    def inputs(self, matrix: Matrix) -> Indices:
        """Inputs of a matrix with a pin on some tile, in order."""
        return _union([tile.inputs for tile in matrix.tiles])

    def outputs(self, matrix: Matrix) -> Indices:
        """Outputs of a matrix with a pin on some tile, in order."""
        return _union([tile.outputs for tile in matrix.tiles])

    def live(self, bus: str) -> Indices:
        """Indices of the bus that are nets, in order; a tensor bus is net 0."""
        if bus in self._tensors:
            return np.zeros(1, np.int64)
        return np.union1d(self._driven.get(bus, _NONE), self._read.get(bus, _NONE))

    def tied(self, bus: str) -> Indices:
        """Nets that only rows hang on and no matrix column drives: the input is always zero."""
        if bus in self._tensors or bus not in self._outputs:
            return _NONE  # a block or a port drives whatever is there
        return np.setdiff1d(self._read.get(bus, _NONE), self._driven.get(bus, _NONE))

    def pins(self, bus: str) -> Iterator[tuple[int, list[Pin]]]:
        """Every net of an analog bus with its tile pins: columns first, each in netlist order."""
        columns = [(t, t.outputs) for m in self._outputs.get(bus, ()) for t in m.tiles]
        rows = [(t, t.inputs) for m in self._inputs.get(bus, ()) for t in m.tiles]
        indices = np.concatenate([_NONE, *(i for _, i in columns), *(i for _, i in rows)])
        entries = [(tile, n) for tile, pins in (*columns, *rows) for n in range(len(pins))]
        first_row = sum(len(pins) for _, pins in columns)
        order = np.argsort(indices, kind="stable")
        starts = np.flatnonzero(np.diff(indices[order], prepend=-1))
        for group in np.split(order, starts[1:]) if len(order) else []:
            sides = [(*entries[k], k < first_row) for k in group.tolist()]
            yield int(indices[group[0]]), [Pin(t, "col" if c else "row", n) for t, n, c in sides]

    @property
    def count(self) -> int:
        """Nets of the whole design, tensor streams included."""
        return sum(len(self.live(bus.name)) for bus in self._netlist.buses)

    @cached_property
    def readers(self) -> dict[str, list[Block]]:
        """Blocks that read a bus."""
        return _blocks_by_bus([(bus, b) for b in self._netlist.blocks for bus in b.inputs])

    @cached_property
    def drivers(self) -> dict[str, list[Block]]:
        """Blocks that drive a bus."""
        return _blocks_by_bus([(bus, b) for b in self._netlist.blocks for bus in b.outputs])

    @cached_property
    def _tensors(self) -> frozenset[str]:
        return frozenset(bus.name for bus in self._netlist.buses if bus.kind == "tensor")

    @cached_property
    def _inputs(self) -> dict[str, list[Matrix]]:
        return _matrices_by_bus([(m.input_bus, m) for m in self._netlist.matrices])

    @cached_property
    def _outputs(self) -> dict[str, list[Matrix]]:
        return _matrices_by_bus([(m.output_bus, m) for m in self._netlist.matrices])

    @cached_property
    def _read(self) -> dict[str, Indices]:
        return {bus: _union([self.inputs(m) for m in matrices]) for bus, matrices in self._inputs.items()}

    @cached_property
    def _driven(self) -> dict[str, Indices]:
        return {bus: _union([self.outputs(m) for m in matrices]) for bus, matrices in self._outputs.items()}


def _union(parts: list[Indices]) -> Indices:
    return np.unique(np.concatenate([_NONE, *parts]))


def _matrices_by_bus(pairs: list[tuple[str, Matrix]]) -> dict[str, list[Matrix]]:
    found: dict[str, list[Matrix]] = {}
    for bus, matrix in pairs:
        found.setdefault(bus, []).append(matrix)
    return found


def _blocks_by_bus(pairs: list[tuple[str, Block]]) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for bus, block in pairs:
        found.setdefault(bus, []).append(block)
    return found
