"""Graphviz: blocks, matrices and the buses between them on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.crossbars.nets import Nets
from gscompile.declaration import option
from gscompile.hardware.target import Design
from gscompile.targets.names import Names


@dataclass(frozen=True)
class Dot:
    """`<network>.dot`; with `tiles` every tile is drawn inside its matrix."""

    name: ClassVar[str] = "dot"
    tiles: bool = option(False, "Draw the tiles of every matrix.")

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write the graph; an edge is a bus, its label the number of nets."""
        names = Names(design.netlist)
        path = folder / f"{names.top}.dot"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_lines(design.netlist, names, self.tiles))
        return [path]


def _lines(netlist: Netlist, names: Names, tiles: bool) -> Iterator[str]:
    yield f"digraph {names.top} {{\n  rankdir=LR;\n  node [fontname=Helvetica];\n"
    for port in netlist.ports:
        yield f"  {names.port(port.name, port.direction)} [shape=cds, label={_quoted(port.name)}];\n"
    for block in netlist.blocks:
        yield f"  {names.block(block.name)} [shape=box, style=rounded, label={_quoted(block.name)}];\n"
    for matrix in netlist.matrices:
        yield from _matrix(matrix, names, tiles)
    nets = Nets(netlist)
    for bus in netlist.buses:
        yield from _edges(netlist, names, bus.name, len(nets.live(bus.name)))
    yield "}\n"


def _matrix(matrix: Matrix, names: Names, tiles: bool) -> Iterator[str]:
    size = f"{matrix.inputs}x{matrix.outputs}, {len(matrix.tiles)} tiles"
    node = names.matrix(matrix.name)
    yield f"  {node} [shape=box, style=filled, label={_quoted(matrix.name + chr(10) + size)}];\n"
    for tile in matrix.tiles if tiles else ():
        label = f"{tile.name}\n{len(tile.inputs)}x{len(tile.outputs)}"
        yield f"  {names.tile(tile.name)} [shape=square, label={_quoted(label)}];\n"
        yield f"  {node} -> {names.tile(tile.name)} [style=dotted, arrowhead=none];\n"


def _edges(netlist: Netlist, names: Names, bus: str, nets: int) -> Iterator[str]:
    ends = netlist.ends[bus]
    sources = [names.port(p.name, "input") for p in netlist.ports if (p.bus, p.direction) == (bus, "input")]
    sources += [names.block(b.name) for b in ends.driving_blocks]
    sources += [names.matrix(m.name) for m in ends.driving_matrices]
    sinks = [names.port(p.name, "output") for p in netlist.ports if (p.bus, p.direction) == (bus, "output")]
    sinks += [names.block(b.name) for b in ends.reading_blocks]
    sinks += [names.matrix(m.name) for m in ends.reading_matrices]
    for source in sources:
        yield from (f'  {source} -> {sink} [label="{nets}"];\n' for sink in sinks)


def _quoted(text: str) -> str:
    """Return text as JSON quotes it; every character that controls instead of showing is an escape."""
    return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(character)[1:-1]
