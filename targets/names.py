"""Legal names for all parts of a netlist, the same in every format, and the way back from a name.

The alphabet is common to Verilog, SPICE, LEF/DEF and JSON tools: a letter, then letters, digits and single underscores,
at most 60 characters, no Verilog keyword. Net i of a bus is `bus__i`; `__` occurs nowhere else, so that a bus and an
index can be read from the name of a net.

A name is made from the part's own text and from no table: matrices, tiles, arrays and blocks have a prefix of their
kind that no other name begins with. If two parts have the same spelling, even apart from case, each gets a digest of
its text at the end; only these spellings are kept in memory. The name of a tile is that of its matrix and its place.

The alphabet is what Verilog, SPICE, LEF/DEF and JSON tools all take: a letter, then letters, digits and
single underscores, at most 60 of them, no Verilog keyword. Net i of a bus is `bus__i`; `__` stands nowhere else, so
that a net's name can be taken apart.

A name comes from the part's own text and from no table: matrices, tiles, arrays and blocks have a prefix of their
kind that nothing else begins with. Where two parts would be spelt alike, even but for case, each gets a digest of its
text behind it; which spellings those are is all that is remembered. A tile adds its place to the name of its matrix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby

from gscompile.crossbars.name_collisions import NameCollisions, twins
from gscompile.crossbars.netlist import Netlist, Tile
from gscompile.crossbars.nets import Nets, Pin
from gscompile.crossbars.pins import Indices
from gscompile.errors import UsageError, VerificationError

LONGEST = 60
_PREFIXED = ("matrix", "tile", "array", "block")
_TAILS = {"tile": re.compile("(.*)/([0-9]+_[0-9]+)", re.DOTALL), "array": re.compile("(.*)/(shared[0-9]+)", re.DOTALL)}
_NO_TAIL = "x"  # tail of a tile or array that is not named after its matrix or layer; other tails end in digits
_RESERVED = re.compile(r"(matrix|tile|array|block|crossbar)_", re.IGNORECASE)
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
    """Return `text` in the common alphabet; `Names` tells apart the texts that become equal.

    >>> legal("/layer1/conv.weight"), legal("3x3"), legal("ü")
    ('layer1_conv_weight', 'n3x3', 'unnamed')
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "unnamed"
    plain = plain if plain[0].isalpha() else f"n{plain}"
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[: LONGEST - 9].rstrip('_')}_{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _stem(kind: str, text: str) -> tuple[str, str]:
    """Return the matrix or layer that a tile or array is named after, and the rest, different for all of one stem.

    >>> _stem("tile", "fc1/0_12"), _stem("array", "conv/shared3"), _stem("tile", "mine")
    (('fc1', '0_12'), ('conv', 'shared3'), ('mine', 'x'))
    """
    found = _TAILS[kind].fullmatch(text)
    return (found[1], found[2]) if found else (text, _NO_TAIL)


def unprefixed(text: str, top: str = "") -> str:
    """Return the spelling of a port or net: no keyword, no name of the chip, no prefix of a matrix or a tile.

    >>> unprefixed("x.y"), unprefixed("wire"), unprefixed("tile/0"), unprefixed("net", top="net")
    ('x_y', 'nwire', 'ntile_0', 'nnet')
    """
    plain = legal(text)
    while plain.lower() in KEYWORDS or plain.lower() == top.lower() or _RESERVED.match(plain):
        plain = legal(f"n{plain}")
    return plain


class Names:
    """The names of a netlist's parts. They depend on the netlist only, so every format and every run agrees.

    Raises VerificationError if 128 bits of a digest do not tell two parts apart.
    """

    def __init__(self, netlist: Netlist, nets: Nets | None = None) -> None:
        self._netlist = netlist
        self._nets = nets or Nets(netlist)
        self.top = unprefixed(netlist.name)
        self._ports = {port.bus: port for port in reversed(netlist.ports)}  # the first port of a bus counts
        self._twins, self._digits = NameCollisions(), 0
        self._tell_apart()

    def _tell_apart(self) -> None:
        """Lengthen digests behind spellings until no two parts have the same name."""
        count = sum(1 for _ in self._parts())
        for self._digits in (0, 8, 16, 32):
            found = twins(self._named_parts, count)
            if not found:
                return
            self._twins |= found
        raise VerificationError(f"netlist {self._netlist.name!r}: names that no digest tells apart")

    def _named_parts(self) -> Iterator[tuple[str, str]]:
        return ((self._name(kind, text).lower(), f"{kind} {text}") for kind, text in self._parts())

    def _parts(self) -> Iterator[tuple[str, str]]:
        """Yield kind and text of everything that has a name; a port and its net are one part.

        Tiles and shared arrays are represented by their stems, of which a matrix has one.
        """
        yield from ((port.direction, port.name) for port in self._netlist.ports)
        yield from (("bus", bus.name) for bus in self._netlist.buses if bus.name not in self._ports)
        for matrix in self._netlist.matrices:
            yield "matrix", matrix.name
            yield from (("tile", stem) for stem, _ in groupby(_stem("tile", tile.name)[0] for tile in matrix.tiles))
            shared = (tile.array for tile in matrix.tiles if tile.array != tile.name)
            yield from (("array", stem) for stem, _ in groupby(_stem("array", array)[0] for array in shared))
        yield from (("block", block.name) for block in self._netlist.blocks)

    def _name(self, kind: str, text: str) -> str:
        spelling = self._spelling(kind, text)
        if spelling.lower() not in self._twins:
            return spelling
        digest = hashlib.sha256(f"{kind} {text}".encode("utf-8", "surrogatepass")).hexdigest()
        return f"{spelling[:LONGEST].rstrip('_')}_{digest[: self._digits]}"

    def _spelling(self, kind: str, text: str) -> str:
        if kind in _PREFIXED:
            return f"{kind}_{legal(text)}"
        return unprefixed(text.removeprefix("tensor:") if kind == "bus" else text, self.top)

    def port(self, name: str, direction: str) -> str:
        """Return the name of a port."""
        return self._name(direction, name)

    def matrix(self, name: str) -> str:
        """Return the name of a matrix, with its prefix."""
        return self._name("matrix", name)

    def tile(self, name: str) -> str:
        """Return the name of a tile: its prefix, the name of its matrix and its place."""
        return self._of_stem("tile", name)

    def array(self, name: str) -> str:
        """Return the name of an array that several tiles share."""
        return self._of_stem("array", name)

    def _of_stem(self, kind: str, text: str) -> str:
        stem, tail = _stem(kind, text)
        return f"{self._name(kind, stem)}_{tail}"

    def block(self, name: str) -> str:
        """Return the name of a digital block, with its prefix."""
        return self._name("block", name)

    def _bus(self, bus: str) -> str:
        port = self._ports.get(bus)
        return self._name("bus", bus) if port is None else self.port(port.name, port.direction)

    def net(self, bus: str, index: int) -> str:
        """Return the name of net `bus[index]`; a tensor bus is one net and has the bus's name."""
        return self._bus(bus) if self._netlist.ends[bus].stream else f"{self._bus(bus)}__{index}"

    def nets(self, bus: str, indices: Indices) -> list[str]:
        """Return the names of the nets of one bus."""
        name = self._bus(bus)
        if self._netlist.ends[bus].stream:
            return [name] * len(indices)
        return [f"{name}__{i}" for i in indices.tolist()]

    def row_nets(self, tile: Tile) -> list[str]:
        """Return the nets on the live rows of a tile."""
        return self.nets(self._netlist.matrix(tile.matrix).input_bus, tile.inputs)

    def col_nets(self, tile: Tile) -> list[str]:
        """Return the nets on the live columns of a tile."""
        return self.nets(self._netlist.matrix(tile.matrix).output_bus, tile.outputs)

    def bus_of(self, net: str) -> tuple[str, int]:
        """Return the bus and the index of a net from its name. Raises UsageError for an unknown name."""
        name, _, index = net.partition("__")
        bus = self._buses.get(name)
        if bus is None or bool(index) == self._netlist.ends[bus].stream or not (index or "0").isdigit():
            raise UsageError(f"net {net!r}: there is no such net in {self._netlist.name!r}")
        return bus, int(index or 0)

    def pins(self, net: str) -> list[Pin]:
        """Return the tile rows and columns on a net, as (matrix, tile, row or column)."""
        bus, index = self.bus_of(net)
        return next((pins for i, pins in self._nets.pins(bus) if i == index), [])

    @cached_property
    def _buses(self) -> dict[str, str]:
        """Return buses by name; made at the first use, because no writer needs it."""
        return {self._bus(bus.name): bus.name for bus in self._netlist.buses}
