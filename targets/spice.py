"""SPICE: tiles as differential pairs of resistors, solved by ngspice.

Volts stand for numbers: a matrix's subcircuit takes x on its input nets and gives x @ W on its output nets.
Each bit line has a plus and a minus half, held at 0 V by a sense source; a pair of current-controlled
sources gives output = weight_per_siemens x (I_plus - I_minus).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from gscompile.conductance import to_pair, weight_per_siemens
from gscompile.netlist import Matrix, Tile
from gscompile.target import Design
from gscompile.targets.modules import Hierarchy, Instance, Module

_WIDTH = 100  # ngspice takes any length; people do not


@dataclass(frozen=True)
class Spice:
    """`<network>.sp`, a file of subcircuits for each matrix, and a deck that reads each matrix once.

    The deck (`<matrix>_read.sp`) puts `input_v` on every input of its matrix and prints every output.
    """

    name: ClassVar[str] = "spice"
    input_v: float = 0.1

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write the subcircuits front to back, a tile's weights at a time, then the decks."""
        hierarchy = Hierarchy(design.netlist)
        files = {hierarchy.names.top: _top_lines(hierarchy, design)}
        for matrix in hierarchy.matrices:
            module = hierarchy.matrix_module(matrix)
            files[module.name] = _library_lines(hierarchy, design, matrix)
            files[f"{module.name}_read"] = _deck_lines(module, self.input_v)
        return [_written(folder / f"{name}.sp", lines) for name, lines in files.items()]


def _written(path: Path, lines: Iterator[str]) -> Path:
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(lines)
    return path


def _top_lines(hierarchy: Hierarchy, design: Design) -> Iterator[str]:
    yield f"* {hierarchy.names.top}: written by gscompile for {design.target.name}\n"
    yield from (f".include {hierarchy.names.matrix(matrix.name)}.sp\n" for matrix in hierarchy.matrices)
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
    """Rows r0.., bit lines p0.. and n0..; one resistor a device."""
    pair = to_pair(design.weights[tile.name], largest, design.target.device)
    rows, cols = pair.plus.shape
    name = hierarchy.names.tile(tile.name)
    pins = [f"r{r}" for r in range(rows)] + [f"{s}{c}" for s in "pn" for c in range(cols)]
    yield _wrapped([f".subckt {name}", *pins])
    for side, conductance in (("p", pair.plus), ("n", pair.minus)):
        for r in range(rows):
            ohms = (1 / conductance[r]).tolist()
            yield "".join(f"R{side}{r}_{c} r{r} {side}{c} {ohm!r}\n" for c, ohm in enumerate(ohms))
    yield f".ends {name}\n"


def _matrix(hierarchy: Hierarchy, matrix: Matrix, ohms: float) -> Iterator[str]:
    module = hierarchy.matrix_module(matrix)
    yield _wrapped([f".subckt {module.name}", *(port.name for port in module.ports)])
    for tile in matrix.tiles:
        yield _wrapped(_tile_call(hierarchy.tile_instance(tile)))
    for port in module.ports:
        if port.direction == "inout":
            yield _sense(port.name, ohms)
    yield f".ends {module.name}\n"


def _tile_call(instance: Instance) -> list[str]:
    rows, cols = instance.connections["row"], instance.connections["col"]
    halves = [f"{net}.{side}" for side in "pn" for net in cols]
    return [f"X{instance.name}", *rows, *halves, instance.name]


def _sense(net: str, ohms: float) -> str:
    halves = "".join(f"V{side}_{net} {net}.{side} 0 0\n" for side in "pn")
    up = f"Hp_{net} {net} {net}.m Vp_{net} {ohms!r}\n"
    return halves + up + f"Hn_{net} {net}.m 0 Vn_{net} {-ohms!r}\n"


def _top(hierarchy: Hierarchy) -> Iterator[str]:
    """The analog part of the chip: the nets between digital blocks and matrices are its pins."""
    between = list(hierarchy.inner_nets())
    yield _wrapped([f".subckt {hierarchy.names.top}", *between])
    yield from (f"V_{net} {net} 0 0\n" for net in hierarchy.tied_nets())
    for matrix in hierarchy.matrices:
        module = hierarchy.matrix_module(matrix)
        nets = [port.name for port in module.ports]
        yield _wrapped([f"X{module.name}", *nets, module.name])
    yield f".ends {hierarchy.names.top}\n"


def _deck_lines(module: Module, volts: float) -> Iterator[str]:
    yield f"* {module.name}: {volts!r} V on every input\n.include {module.name}.sp\n"
    inputs = [port.name for port in module.ports if port.direction == "input"]
    outputs = [port.name for port in module.ports if port.direction == "inout"]
    yield from (f"V_{net} {net} 0 {volts!r}\n" for net in inputs)
    yield _wrapped(["Xread", *inputs, *outputs, module.name])
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
