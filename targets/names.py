"""One legal name for everything in a netlist, the same in every format, and the way back from a name.

The alphabet is what Verilog, SPICE, LEF/DEF and JSON tools all take: a letter, then letters, digits and
single underscores, unique even where case does not count, no Verilog keyword, at most 60 characters. Net i
of a bus is
`bus__i`; `__` stands nowhere else, so that a net's name can be taken apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property

from gscompile.errors import UsageError
from gscompile.netlist import Netlist, Tile
from gscompile.nets import Nets, Pin
from gscompile.pins import Indices

LONGEST = 60
KEYWORDS = frozenset(
    """always and assign automatic begin bit buf bufif0 bufif1 byte case casex casez cell cmos config const
    deassign default defparam design disable do edge else end endcase endconfig endfunction endgenerate
    endmodule endprimitive endspecify endtable endtask enum event export expect extends final first for force
    forever fork function generate genvar global highz0 highz1 if ifnone import incdir include initial inout
    input inside instance int integer interface join large let liblist library local localparam logic longint
    macromodule medium module nand negedge nmos nor noshowcancelled not notif0 notif1 null or output package
    packed parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_onevent pulsestyle_ondetect pure rand rcmos real realtime ref reg release repeat return rnmos
    rpmos rtran rtranif0 rtranif1 scalared sequence shortint shortreal showcancelled signed small solve
    specify specparam static string strong0 strong1 struct super supply0 supply1 table task tagged this
    throughout time timescale timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
    type typedef union unique unsigned use uwire var vectored virtual void wait wand weak0 weak1 while
    wildcard wire with within wor xnor xor gnd""".split()  # noqa: SIM905
)


def legal(text: str) -> str:
    """`text` in the common alphabet; what is lost is told apart by `Names`.

    >>> legal("/layer1/conv.weight"), legal("3x3"), legal("ü")
    ('layer1_conv_weight', 'n3x3', 'unnamed')
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "unnamed"
    plain = plain if plain[0].isalpha() else f"n{plain}"
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[: LONGEST - 9].rstrip('_')}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class Names:
    """Names of a netlist's parts. They depend on the netlist only, so every format and every run agrees."""

    def __init__(self, netlist: Netlist, nets: Nets | None = None) -> None:
        self._netlist = netlist
        self._nets = nets or Nets(netlist)
        self._taken = {word.lower() for word in KEYWORDS}
        self._by_part: dict[tuple[str, str], str] = {}
        for kind, name, wanted in _parts(netlist):
            if (kind, name) not in self._by_part:
                self._by_part[kind, name] = self._unique(wanted)
        for port in reversed(netlist.ports):  # a port and the net on it have one name; the first port counts
            self._by_part["bus", port.bus] = self.port(port.name, port.direction)

    def _unique(self, wanted: str) -> str:
        name, number = wanted, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name if name.islower() else name.lower())  # one object where it can be
        return name

    @property
    def top(self) -> str:
        return self._by_part["top", ""]

    def port(self, name: str, direction: str) -> str:
        return self._by_part[direction, name]

    def matrix(self, name: str) -> str:
        return self._by_part["matrix", name]

    def tile(self, name: str) -> str:
        return self._by_part["tile", name]

    def array(self, name: str) -> str:
        return self._by_part["array", name]

    def block(self, name: str) -> str:
        return self._by_part["block", name]

    def net(self, bus: str, index: int) -> str:
        """Name of net `bus[index]`; a tensor bus is one net and has the bus's name."""
        name = self._by_part["bus", bus]
        return name if bus in self._streams else f"{name}__{index}"

    def nets(self, bus: str, indices: Indices) -> list[str]:
        """Names of nets of one bus."""
        name = self._by_part["bus", bus]
        return [name] * len(indices) if bus in self._streams else [f"{name}__{i}" for i in indices.tolist()]

    def row_nets(self, tile: Tile) -> list[str]:
        """The nets on the live rows of a tile."""
        return self.nets(self._netlist.matrix(tile.matrix).input_bus, tile.inputs)

    def col_nets(self, tile: Tile) -> list[str]:
        """The nets on the live columns of a tile."""
        return self.nets(self._netlist.matrix(tile.matrix).output_bus, tile.outputs)

    def bus_of(self, net: str) -> tuple[str, int]:
        """The bus and index a net's name stands for. Raises UsageError for a name that is none."""
        name, _, index = net.partition("__")
        bus = self._buses.get(name)
        if bus is None or bool(index) == (bus in self._streams) or not (index or "0").isdigit():
            raise UsageError(f"net {net!r}: there is no such net in {self._netlist.name!r}")
        return bus, int(index or 0)

    def pins(self, net: str) -> list[Pin]:
        """The tile rows and columns that hang on a net: from a name back to (matrix, tile, row or column)."""
        bus, index = self.bus_of(net)
        return next((pins for i, pins in self._nets.pins(bus) if i == index), [])

    @cached_property
    def _streams(self) -> frozenset[str]:
        return frozenset(bus.name for bus in self._netlist.buses if bus.kind == "tensor")

    @cached_property
    def _buses(self) -> dict[str, str]:
        return {name: part for (kind, part), name in self._by_part.items() if kind == "bus"}


def _parts(netlist: Netlist) -> Iterator[tuple[str, str, str]]:
    """Everything that has a name: its kind, its name in the netlist, the name wanted for it."""
    yield "top", "", legal(netlist.name)
    for port in netlist.ports:
        yield port.direction, port.name, legal(port.name)
    on_ports = {port.bus for port in netlist.ports}
    for bus in netlist.buses:
        if bus.name not in on_ports:
            yield "bus", bus.name, legal(bus.name.removeprefix("tensor:"))
    for matrix in netlist.matrices:
        yield "matrix", matrix.name, f"matrix_{legal(matrix.name)}"
    for tile in netlist.tiles:
        yield "tile", tile.name, f"tile_{legal(tile.name)}"
        if tile.array != tile.name:  # shared; an array of its own needs no name but the tile's
            yield "array", tile.array, f"array_{legal(tile.array)}"
    for block in netlist.blocks:
        yield "block", block.name, f"block_{legal(block.name)}"
