"""SPICE: tiles as differential pairs of resistors, solved by ngspice.

Volts stand for numbers: a matrix takes x on its input nets and gives x @ W on its output nets. Nets have their
names in every matrix, so files that are included together are joined; only tiles are subcircuits, since ngspice
takes no more than 1,005 nodes in a call, and so one of many lines is called in parts. Each bit line has a plus
and a minus half, held at 0 V by a sense source; a pair of current-controlled
sources gives output = weight_per_siemens x (I_plus - I_minus).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np

from gscompile.crossbars.netlist import Matrix, Tile
from gscompile.declaration import option
from gscompile.hardware.conductance import Pair, to_pair, weight_per_siemens
from gscompile.hardware.target import Design
from gscompile.targets.modules import Hierarchy, Instance

_WIDTH = 100  # ngspice takes any length; people do not
_ROWS, _COLS = 400, 300  # of one subcircuit: with both bit lines of a column 1,000 nodes


@dataclass(frozen=True)
class Spice:
    """`<network>.sp`, a file for each matrix, and a deck that reads each matrix once.

    The deck (`<matrix>_read.sp`) puts `input_v` on every input of its matrix and prints every output.
    """

    name: ClassVar[str] = "spice"
    input_v: float = option(0.1, "Voltage of an input of 1.", minimum=1e-6, maximum=100, unit="V")

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write a matrix after the other, a tile's weights at a time; returns the file that includes them all."""
        hierarchy = Hierarchy(design.netlist)
        for matrix in hierarchy.matrices():
            name = hierarchy.names.matrix(matrix.name)
            _write(folder / f"{name}.sp", _library_lines(hierarchy, design, matrix))
            _write(folder / f"{name}_read.sp", _deck_lines(hierarchy, matrix, self.input_v))
        top = folder / f"{hierarchy.names.top}.sp"
        _write(top, _top_lines(hierarchy, design))
        return [top]


def _write(path: Path, lines: Iterator[str]) -> None:
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(lines)


def _top_lines(hierarchy: Hierarchy, design: Design) -> Iterator[str]:
    yield f"* {hierarchy.names.top}: written by gscompile for {design.target.name}\n"
    yield from (f".include {hierarchy.names.matrix(matrix.name)}.sp\n" for matrix in hierarchy.matrices())
    yield from _top(hierarchy)


def _library_lines(hierarchy: Hierarchy, design: Design, matrix: Matrix) -> Iterator[str]:
    yield f"* {hierarchy.names.matrix(matrix.name)}: written by gscompile for {design.target.name}\n"
    largest = max(_largest(design, tile) for tile in matrix.tiles)
    for tile in matrix.tiles:
        yield from _tile(hierarchy, design, tile, largest)
    yield from _matrix(hierarchy, matrix, weight_per_siemens(largest, design.target.device))


def _largest(design: Design, tile: Tile) -> float:
    return float(np.abs(design.weights[tile.name]).max())


def _tile(hierarchy: Hierarchy, design: Design, tile: Tile, largest: float) -> Iterator[str]:
    weights = design.weights[tile.name]
    for suffix, rows, cols in parts_of(*weights.shape):
        pair = to_pair(weights[rows, cols], largest, design.target.device)
        yield from _block(f"{hierarchy.names.tile(tile.name)}{suffix}", pair)


def parts_of(rows: int, cols: int) -> Iterator[tuple[str, slice, slice]]:
    """The parts a tile is called in: the end of the name, rows and columns.

    >>> list(parts_of(64, 64)), [suffix for suffix, _, _ in parts_of(512, 64)]
    ([('', slice(0, 400, None), slice(0, 300, None))], ['__0', '__1'])
    """
    parts = [*product(range(0, rows, _ROWS), range(0, cols, _COLS))]
    for number, (down, across) in enumerate(parts):
        suffix = f"__{number}" if len(parts) > 1 else ""
        yield suffix, slice(down, down + _ROWS), slice(across, across + _COLS)


def _block(name: str, pair: Pair) -> Iterator[str]:
    """Rows r0.., bit lines p0.. and n0..; one resistor a device."""
    rows, cols = pair.plus.shape
    pins = [f"r{r}" for r in range(rows)] + [f"{s}{c}" for s in "pn" for c in range(cols)]
    yield _wrapped([f".subckt {name}", *pins])
    for side, conductance in (("p", pair.plus), ("n", pair.minus)):
        for r in range(rows):
            ohms = (1 / conductance[r]).tolist()
            yield "".join(f"R{side}{r}_{c} r{r} {side}{c} {ohm!r}\n" for c, ohm in enumerate(ohms))
    yield f".ends {name}\n"


def _matrix(hierarchy: Hierarchy, matrix: Matrix, ohms: float) -> Iterator[str]:
    for tile in matrix.tiles:
        yield from map(_wrapped, _tile_calls(hierarchy.tile_instance(tile)))
    for port in hierarchy.matrix_module(matrix).ports:
        if port.direction == "inout":
            yield _sense(port.name, ohms)


def _tile_calls(instance: Instance) -> Iterator[list[str]]:
    rows, cols = instance.connections["row"], instance.connections["col"]
    for suffix, down, across in parts_of(len(rows), len(cols)):
        halves = [f"{net}.{side}" for side in "pn" for net in cols[across]]
        yield [f"X{instance.name}{suffix}", *rows[down], *halves, f"{instance.name}{suffix}"]


def _sense(net: str, ohms: float) -> str:
    halves = "".join(f"V{side}_{net} {net}.{side} 0 0\n" for side in "pn")
    up = f"Hp_{net} {net} {net}.m Vp_{net} {ohms!r}\n"
    return halves + up + f"Hn_{net} {net}.m 0 Vn_{net} {-ohms!r}\n"


def _top(hierarchy: Hierarchy) -> Iterator[str]:
    """The analog part of the chip: digital blocks drive and read its nets by their names."""
    yield from (f"V_{net} {net} 0 0\n" for net in hierarchy.tied_nets())


def _deck_lines(hierarchy: Hierarchy, matrix: Matrix, volts: float) -> Iterator[str]:
    module = hierarchy.matrix_module(matrix)
    yield f"* {module.name}: {volts!r} V on every input\n.include {module.name}.sp\n"
    inputs = [port.name for port in module.ports if port.direction == "input"]
    outputs = [port.name for port in module.ports if port.direction == "inout"]
    yield from (f"V_{net} {net} 0 {volts!r}\n" for net in inputs)
    yield ".control\nset numdgt=15\nop\n"
    yield from (f"print v({net})\n" for net in outputs)
    yield "quit\n.endc\n.end\n"


def _wrapped(words: list[str]) -> str:
    """One statement on lines of readable length; `+` continues a line."""
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) >= _WIDTH:
            lines.append(line)
            line = "+"
        line = f"{line} {word}" if line else word
    return "\n".join([*lines, line]) + "\n"
