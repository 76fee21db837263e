"""Read `<network>.lef` and `<network>.def` back: macros with pins, components, ports, and nets with their connections.

Places and sizes belong to the placement and are not compared.

Places and sizes are the placement's: the netlist says nothing of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gscompile.crossbars.netlist import Block, Netlist, Tile
from gscompile.crossbars.nets import Nets
from gscompile.readback.facts import Fact, Source, compare, lines_of
from gscompile.targets.modules import Hierarchy
from gscompile.targets.names import Names

_COMPONENT = re.compile(r"- (\S+) (\S+) \+ PLACED \( -?\d+ -?\d+ \) N ;")
_PORT_LINE = re.compile(r"- (\S+) \+ NET (\S+) \+ DIRECTION (INPUT|OUTPUT) \+ USE SIGNAL")
_END = re.compile(r"  \( (\S+) (\S+) \)")
_COUNT = re.compile(r"(COMPONENTS|PINS|NETS) (\d{1,18}) ;")


def files(hierarchy: Hierarchy) -> list[str]:
    """Return the names of the files of this format."""
    return [f"{hierarchy.names.top}.{end}" for end in ("lef", "def")]


def check(source: Source) -> int:
    """Return the number of facts that agree with the netlist. Raises VerificationError for the first that does not."""
    hierarchy = source.hierarchy
    arrays = _PlacedArrays(hierarchy.netlist, hierarchy.names)
    lef, def_ = files(hierarchy)
    sizes: list[Fact] = []  # array sizes; their order depends on the placement
    count = compare(lef, _of_blocks(_macros(lines_of(source.folder / lef)), sizes), _asked_blocks(hierarchy))
    count += compare(lef, sorted(sizes), sorted(_asked_sizes(arrays)))
    parts = sorted(_components(lines_of(source.folder / def_)))
    count += compare(def_, parts, sorted(_asked_components(hierarchy, arrays)))
    return count + compare(def_, _nets(lines_of(source.folder / def_)), _asked_nets(hierarchy, arrays))


class _PlacedArrays:
    """Physical arrays: the instance that a tile is on, and the rows and columns of each array."""

    def __init__(self, netlist: Netlist, names: Names) -> None:
        self.sizes: dict[str, tuple[int, int]] = {}
        self._names, self._shared = names, _shared(netlist)
        for tile in netlist.tiles:
            instance, (rows, cols), (down, across) = self.instance(tile), _size(tile), tile.corner
            known = self.sizes.get(instance, (0, 0))
            self.sizes[instance] = max(known[0], down + rows), max(known[1], across + cols)

    def instance(self, tile: Tile) -> str:
        """Return the tile in its matrix, or the array if several tiles share it."""
        if tile.array in self._shared or tile.array != tile.name:
            return self._names.array(tile.array)
        return f"{self._names.matrix(tile.matrix)}/{self._names.tile(tile.name)}"


def _size(tile: Tile) -> tuple[int, int]:
    return len(tile.inputs), len(tile.outputs)


def _shared(netlist: Netlist) -> set[str]:
    """Return the arrays with tiles of other names."""
    return {tile.array for tile in netlist.tiles if tile.array != tile.name}


def _macro(rows: int, cols: int) -> str:
    return f"crossbar_{rows}x{cols}"


# -- LEF ----------------------------------------------------------------------------------------------------


def _of_blocks(macros: Iterable[Fact], sizes: list[Fact]) -> Iterator[Fact]:
    """Yield the macros of blocks one at a time; append those of arrays, one of every size, to `sizes`."""
    for macro in macros:
        if macro[1].startswith("crossbar_"):
            sizes.append(macro)
        else:
            yield macro


def _asked_sizes(arrays: _PlacedArrays) -> Iterator[Fact]:
    for rows, cols in {*arrays.sizes.values()}:
        pins = [(f"row[{r}]", "INPUT") for r in range(rows)] + [(f"col[{c}]", "INOUT") for c in range(cols)]
        yield "macro", _macro(rows, cols), tuple(pins)


def _asked_blocks(hierarchy: Hierarchy) -> Iterator[Fact]:
    for block in hierarchy.netlist.blocks:
        yield "macro", hierarchy.names.block(block.name), tuple(_block_pins(hierarchy, block))


def _block_pins(hierarchy: Hierarchy, block: Block) -> Iterator[tuple[str, str]]:
    for buses, direction in ((block.inputs, "INPUT"), (block.outputs, "OUTPUT")):
        for bus in buses:
            yield from ((net, direction) for net in hierarchy.names.nets(bus, hierarchy.nets.live(bus)))


def _macros(lines: Iterable[str]) -> Iterator[Fact]:
    name, pins, pin = "", list[tuple[str, str]](), ""
    for line in lines:
        words = line.split()
        if words[:1] == ["MACRO"]:
            name, pins = words[-1], []
        elif name and words[:1] == ["PIN"]:
            pin = words[-1]
        elif name and pin and words[:1] == ["DIRECTION"]:
            pins.append((pin, words[1]))
        elif name and words == ["END", name]:
            yield "macro", name, tuple(pins)
            name = ""
        elif words[:1] == ["END"]:
            pin = ""


# -- DEF ----------------------------------------------------------------------------------------------------


def _asked_components(hierarchy: Hierarchy, arrays: _PlacedArrays) -> Iterator[Fact]:
    blocks = [hierarchy.names.block(block.name) for block in hierarchy.netlist.blocks]
    yield "COMPONENTS", str(len(arrays.sizes) + len(blocks))
    yield from (("component", instance, _macro(*size)) for instance, size in arrays.sizes.items())
    yield from (("component", block, block) for block in blocks)


def _components(lines: Iterable[str]) -> Iterator[Fact]:
    for line in _section(lines, "COMPONENTS"):
        if found := _COUNT.fullmatch(line):
            yield found[1], found[2]
        else:
            found = _COMPONENT.fullmatch(line)
            yield ("component", found[1], found[2]) if found else ("line", line, "")


def _section(lines: Iterable[str], name: str) -> Iterator[str]:
    """Yield the lines of a section, with its first line, which has the number of items, and without its last."""
    inside = False
    for line in lines:
        if line.startswith(f"{name} "):
            inside = True
        elif line == f"END {name}":
            inside = False
        if inside:
            yield line


def _asked_nets(hierarchy: Hierarchy, arrays: _PlacedArrays) -> Iterator[Fact]:
    netlist, names, nets = hierarchy.netlist, hierarchy.names, hierarchy.nets
    yield "PINS", str(len(netlist.ports))
    ports: dict[str, list[str]] = {}
    for port in netlist.ports:
        name = names.port(port.name, port.direction)
        ports.setdefault(port.bus, []).append(name)
        yield "port", name, names.net(port.bus, 0), port.direction.upper()
    yield "NETS", str(nets.count)
    for bus in netlist.buses:
        ends = netlist.ends[bus.name]
        blocks = [names.block(block.name) for block in (*ends.driving_blocks, *ends.reading_blocks)]
        yield from _asked_bus(hierarchy, arrays, bus.name, ports.get(bus.name, []), blocks)


def _asked_bus(
    hierarchy: Hierarchy, arrays: _PlacedArrays, bus: str, ports: list[str], blocks: list[str]
) -> Iterator[Fact]:
    """Yield every net of a bus: its ports, rows and columns of arrays, then blocks, whose pins have the net's name."""
    nets: Nets = hierarchy.nets
    pins = nets.pins(bus)
    following = next(pins, None)
    for index in nets.live(bus).tolist():
        net, on_tiles = hierarchy.names.net(bus, index), tuple[tuple[str, str], ...]()
        if following is not None and following[0] == index:
            on_tiles = tuple((arrays.instance(p.tile), f"{p.side}[{p.array_index}]") for p in following[1])
            following = next(pins, None)
        yield "net", net, (*(("PIN", port) for port in ports), *on_tiles, *((block, net) for block in blocks))


def _nets(lines: Iterable[str]) -> Iterator[Fact]:
    """Yield ports, then nets; wires are geometry and are left out."""
    section, net, ends = "", "", list[tuple[str, str]]()
    for line in lines:
        if (found := _COUNT.fullmatch(line)) and found[1] != "COMPONENTS":
            section = found[1]
            yield found[1], found[2]
        elif section == "PINS" and (found := _PORT_LINE.fullmatch(line)):
            yield "port", found[1], found[2], found[3]
        elif section == "NETS" and line.startswith("- "):
            net, ends = line[2:], []
        elif section == "NETS" and (found := _END.fullmatch(line)):
            ends.append((found[1], found[2]))
        elif section == "NETS" and line == "  ;":
            yield "net", net, tuple(ends)
            net = ""
        elif line == f"END {section}":
            section = ""
        elif not _is_geometry(section, line):
            yield "line", line


def _is_geometry(section: str, line: str) -> bool:
    start = {"PINS": ("  + LAYER ",), "NETS": ("  + ROUTED ", "  NEW ")}
    return not section or line.startswith(start[section])
