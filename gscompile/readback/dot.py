"""Read `<network>.dot` back: ports, blocks, matrices and, if drawn, tiles; an edge is a bus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.crossbars.nets import Nets
from gscompile.readback.facts import Fact, Source, compare, lines_of
from gscompile.targets.modules import Hierarchy
from gscompile.targets.names import Names

_NODE = re.compile(r'  (\w+) \[shape=(\w+)(?:, style=\w+)?, label=("(?:[^"\\]|\\.)*")\];')
_EDGE = re.compile(r'  (\w+) -> (\w+) \[label="(\d+)"\];')
_HOLDS = re.compile(r"  (\w+) -> (\w+) \[style=dotted, arrowhead=none\];")
_DOT_STYLE = ("  rankdir=LR;", "  node [fontname=Helvetica];")


def files(hierarchy: Hierarchy) -> list[str]:
    """Return the names of the files of this format."""
    return [f"{hierarchy.names.top}.dot"]


def check(source: Source) -> int:
    """Return the number of facts that agree with the netlist. Raises VerificationError for the first that does not."""
    (name,) = files(source.hierarchy)
    path = source.folder / name
    tiles = any("shape=square" in line for line in lines_of(path, "utf-8"))
    return compare(name, _read(lines_of(path, "utf-8")), _asked(source.hierarchy, tiles))


def _asked(hierarchy: Hierarchy, tiles: bool) -> Iterator[Fact]:
    netlist, names, nets = hierarchy.netlist, hierarchy.names, Nets(hierarchy.netlist)
    yield "graph", names.top
    for port in netlist.ports:
        yield "node", names.port(port.name, port.direction), "cds", port.name
    for block in netlist.blocks:
        yield "node", names.block(block.name), "box", block.name
    for matrix in netlist.matrices:
        yield from _matrix(matrix, names, tiles)
    for bus in netlist.buses:
        width = len(nets.live(bus.name))
        drivers, readers = _ends(netlist, names, bus.name)
        yield from (("edge", driver, reader, width) for driver in drivers for reader in readers)
    yield ("end",)


def _matrix(matrix: Matrix, names: Names, tiles: bool) -> Iterator[Fact]:
    node, size = names.matrix(matrix.name), f"{matrix.inputs}x{matrix.outputs}, {len(matrix.tiles)} tiles"
    yield "node", node, "box", f"{matrix.name}\n{size}"
    for tile in matrix.tiles if tiles else ():
        name = names.tile(tile.name)
        yield "node", name, "square", f"{tile.name}\n{len(tile.inputs)}x{len(tile.outputs)}"
        yield "tile", name, node


def _ends(netlist: Netlist, names: Names, bus: str) -> tuple[list[str], list[str]]:
    """Return the parts that drive and that read a bus: ports, blocks, matrices."""
    ends = netlist.ends[bus]
    ports = {
        way: [names.port(p.name, way) for p in netlist.ports if (p.bus, p.direction) == (bus, way)] for way in _WAYS
    }
    drivers = [
        *(names.block(b.name) for b in ends.driving_blocks),
        *(names.matrix(m.name) for m in ends.driving_matrices),
    ]
    readers = [
        *(names.block(b.name) for b in ends.reading_blocks),
        *(names.matrix(m.name) for m in ends.reading_matrices),
    ]
    return ports["input"] + drivers, ports["output"] + readers


_WAYS = ("input", "output")


def _read(lines: Iterable[str]) -> Iterator[Fact]:
    for number, line in enumerate(lines, 1):
        if found := _NODE.fullmatch(line):
            yield "node", found[1], found[2], _text(found[3])
        elif found := _EDGE.fullmatch(line):
            yield "edge", found[1], found[2], int(found[3][:18])
        elif found := _HOLDS.fullmatch(line):
            yield "tile", found[2], found[1]
        elif found := re.fullmatch(r"digraph (\w+) \{", line):
            yield "graph", found[1]
        elif line == "}":
            yield ("end",)
        elif line not in _DOT_STYLE:
            yield "line", number, line


def _text(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        return quoted
