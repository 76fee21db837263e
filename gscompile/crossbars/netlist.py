"""Describe the netlist: tiles, the nets that join them, and the digital blocks between the matrices.

A *bus* is a numbered set of nets, one signal each. An analog bus carries the inputs or the outputs of matrices:
net `bus[i]` reaches every tile pin with index i. The output bus of a factor U is the input bus of its V.
A tensor bus has one net: a digital stream between blocks, or to a port of the chip. A *wire* is one pin: the
connection of one tile row or column to its net. Pins are index sets, written as half-open ranges (`0:50,60:64`), so a
netlist of a million wires stays small.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.crossbar import Crossbar, Tiling
from gscompile.crossbars.pins import Indices, all_from_ranges, all_to_ranges, block, hulls_apart, rising_below
from gscompile.errors import VerificationError

SCHEMA_VERSION = 1
TileWeights = Mapping[str, NDArray[Any]]  # tile name -> live rows by live columns


@dataclass(frozen=True, eq=False)
class Tile:
    """A block of one matrix on one crossbar array: weight [inputs[r], outputs[c]] sits in cell (r, c).

    `inputs` and `outputs` are the matrix rows and columns that hold a weight here, one pin each. `array` is the
    physical array: the tile's own, unless small tiles share one; `corner` is where the tile starts on it.
    """

    name: str
    matrix: str
    inputs: Indices
    outputs: Indices
    array: str
    corner: tuple[int, int] = (0, 0)

    @property
    def cells(self) -> int:
        return len(self.inputs) * len(self.outputs)

    @property
    def wires(self) -> int:
        return len(self.inputs) + len(self.outputs)


@dataclass(frozen=True, eq=False)
class Matrix:
    """One weight matrix [inputs, outputs] and the tiles that hold it.

    `layer` and `part` name the weight in the network; `layer` is a node of the ONNX file.
    """

    name: str
    layer: str
    part: int
    inputs: int
    outputs: int
    input_bus: str
    output_bus: str
    tiles: tuple[Tile, ...]

    @property
    def cells(self) -> int:
        return sum(tile.cells for tile in self.tiles)

    @property
    def wires(self) -> int:
        return sum(tile.wires for tile in self.tiles)


@dataclass(frozen=True)
class Bus:
    """`width` nets; `kind` is analog (inputs or outputs of matrices) or tensor (one digital stream)."""

    name: str
    width: int
    kind: Literal["analog", "tensor"]


@dataclass(frozen=True)
class Block:
    """Digital work between matrices: the ONNX nodes that it computes, and the buses that it reads and drives.

    In `nodes`, `node:input` is the computation of a weighted node's input vectors (a convolution's patches), and
    `node:output` is what follows its product (bias, gathering of positions).
    """

    name: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Port:
    """A graph input or output, on a tensor bus."""

    name: str
    direction: Literal["input", "output"]
    bus: str


@dataclass(eq=False, slots=True)
class BusEndpoints:
    """The matrices and blocks that drive a bus and those that read it, in netlist order.

    `stream` is True for a tensor bus, which is one net; `start` counts the nets that are declared before the bus.
    """

    stream: bool = False
    start: int = 0
    driving_matrices: tuple[Matrix, ...] = ()
    reading_matrices: tuple[Matrix, ...] = ()
    driving_blocks: tuple[Block, ...] = ()
    reading_blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, eq=False)
class Netlist:
    """Everything that hardware is built from except the weights, which `tiles.npz` holds by tile name.

    `ends` gives the endpoints of each bus by its name.
    """

    name: str
    crossbar: Crossbar
    tiling: Tiling
    buses: tuple[Bus, ...]
    matrices: tuple[Matrix, ...]
    blocks: tuple[Block, ...]
    ports: tuple[Port, ...]
    version: int = field(default=SCHEMA_VERSION)
    ends: Mapping[str, BusEndpoints] = field(init=False, repr=False)
    _by_name: Mapping[str, Matrix] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", bus_endpoints(self))
        object.__setattr__(self, "_by_name", {matrix.name: matrix for matrix in self.matrices})

    @property
    def tiles(self) -> Iterator[Tile]:
        return (tile for matrix in self.matrices for tile in matrix.tiles)

    @cached_property
    def arrays(self) -> int:
        """Return the number of physical crossbar arrays; tiles that share an array count once."""
        return len({tile.array for tile in self.tiles})

    @property
    def packed(self) -> bool:
        """Return whether tiles share arrays."""
        return any(tile.array != tile.name for tile in self.tiles)

    @property
    def cells(self) -> int:
        return sum(matrix.cells for matrix in self.matrices)

    @property
    def wires(self) -> int:
        return sum(matrix.wires for matrix in self.matrices)

    def matrix(self, name: str) -> Matrix:
        """Return the matrix with this name. Raises KeyError."""
        return self._by_name[name]

    def to_json(self) -> dict[str, Any]:
        """Return plain data in a stable order, as `netlist.schema.json` describes it."""
        return {
            "schema": self.version,
            "name": self.name,
            "crossbar": str(self.crossbar),
            "tiling": self.tiling,
            "ports": [{"name": p.name, "direction": p.direction, "bus": p.bus} for p in self.ports],
            "buses": [{"name": b.name, "width": b.width, "kind": b.kind} for b in self.buses],
            "blocks": [_block_json(block) for block in self.blocks],
            "matrices": [_matrix_json(matrix) for matrix in self.matrices],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Netlist:
        """Return the netlist that `to_json` wrote, checked against the schema first."""
        return cls(
            name=data["name"],
            crossbar=Crossbar.parse(data["crossbar"]),
            tiling=data["tiling"],
            buses=tuple(Bus(**bus) for bus in data["buses"]),
            matrices=tuple(_matrix_from(matrix) for matrix in data["matrices"]),
            blocks=tuple(
                Block(b["name"], tuple(b["nodes"]), tuple(b["inputs"]), tuple(b["outputs"])) for b in data["blocks"]
            ),
            ports=tuple(Port(**port) for port in data["ports"]),
            version=data["schema"],
        )


def bus_endpoints(netlist: Netlist) -> dict[str, BusEndpoints]:
    """Return the endpoints of every bus that is declared or connected, by bus name.

    They are found once, when a netlist is made, so that no writer needs a table of its own.
    """
    found: dict[str, BusEndpoints] = {}
    start = 0
    for bus in netlist.buses:
        stream = bus.kind == "tensor"
        found[bus.name] = BusEndpoints(stream, start)
        start += 1 if stream else bus.width
    for matrix in netlist.matrices:
        _at(found, matrix.output_bus).driving_matrices += (matrix,)
        _at(found, matrix.input_bus).reading_matrices += (matrix,)
    for each in netlist.blocks:
        for driven in each.outputs:
            _at(found, driven).driving_blocks += (each,)
        for read in each.inputs:
            _at(found, read).reading_blocks += (each,)
    return found


def _at(found: dict[str, BusEndpoints], bus: str) -> BusEndpoints:
    return found.setdefault(bus, BusEndpoints())


def rebuild(matrix: Matrix, weights: TileWeights) -> NDArray[Any]:
    """Return the dense matrix [inputs, outputs] from its tiles. Raises VerificationError where they do not fit."""
    arrays = [weights[tile.name] for tile in matrix.tiles]
    dense = np.zeros((matrix.inputs, matrix.outputs), arrays[0].dtype if arrays else np.float32)
    for tile, array in zip(matrix.tiles, arrays, strict=True):
        if array.shape != (len(tile.inputs), len(tile.outputs)):
            raise VerificationError(
                f"tile {tile.name!r}: {len(tile.inputs)} row and {len(tile.outputs)} column pins, weights {array.shape}"
            )
        dense[block(tile.inputs, tile.outputs)] = array
    return dense


def check(netlist: Netlist) -> None:
    """Raise VerificationError, naming the place, unless the netlist is well formed.

    Every tile fits its crossbar and stays inside its matrix; names are unique; every bus that is read is driven
    by exactly one matrix side, block or port (outputs of several tiles of one matrix are one driver: currents add).
    """
    _unique("tile", (tile.name for tile in netlist.tiles))
    _unique("matrix", (matrix.name for matrix in netlist.matrices))
    _unique("bus", (bus.name for bus in netlist.buses))
    _unique("block", (block.name for block in netlist.blocks))
    for direction in ("input", "output"):
        _unique(f"{direction} port", (port.name for port in netlist.ports if port.direction == direction))
    widths = {bus.name: bus.width for bus in netlist.buses}
    for matrix in netlist.matrices:
        _check_matrix(netlist.crossbar, matrix, widths)
    _check_arrays(netlist)
    _check_drivers(netlist)


def _unique(kind: str, names: Iterable[str]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise VerificationError(f"{kind} {twice!r}: there are two of that name")


def _check_matrix(crossbar: Crossbar, matrix: Matrix, widths: Mapping[str, int]) -> None:
    for bus, size, side in (
        (matrix.input_bus, matrix.inputs, "input"),
        (matrix.output_bus, matrix.outputs, "output"),
    ):
        if widths.get(bus) != size:
            raise VerificationError(f"matrix {matrix.name!r}: {size} {side}s on bus {bus!r} of {widths.get(bus)}")
    if not _is_sound(crossbar, matrix):  # one by one, to name the tile that is wrong
        for tile in matrix.tiles:
            _check_tile(crossbar, matrix, tile)
        _check_apart(matrix)


def _is_sound(crossbar: Crossbar, matrix: Matrix) -> bool:
    """Return whether all tiles of a matrix are sound; checked together, a hundred times as fast as one by one."""
    rows, cols = [t.inputs for t in matrix.tiles], [t.outputs for t in matrix.tiles]
    return (
        all(0 < len(r) <= crossbar.rows and 0 < len(c) <= crossbar.cols for r, c in zip(rows, cols, strict=True))
        and rising_below(rows, matrix.inputs)
        and rising_below(cols, matrix.outputs)
        and (len(rows) < 2 or hulls_apart(rows, cols))
    )


def _check_apart(matrix: Matrix) -> None:
    """Refuse two tiles with a common cell; only rows and columns with a pin count."""
    if len(matrix.tiles) < 2:
        return
    rows = np.unique(np.concatenate([tile.inputs for tile in matrix.tiles]))
    cols = np.unique(np.concatenate([tile.outputs for tile in matrix.tiles]))
    covered = np.zeros((len(rows), len(cols)), bool)
    for tile in matrix.tiles:
        block = np.ix_(np.searchsorted(rows, tile.inputs), np.searchsorted(cols, tile.outputs))
        if covered[block].any():
            raise VerificationError(f"tile {tile.name!r}: a cell that another tile of {matrix.name!r} holds too")
        covered[block] = True


def _check_arrays(netlist: Netlist) -> None:
    """Refuse tiles beyond the edge of their array, and tiles that share a row or a column of an array."""
    arrays: dict[str, list[Tile]] = defaultdict(list)
    for tile in netlist.tiles:
        arrays[tile.array].append(tile)
    shared = {name: tiles for name, tiles in arrays.items() if len(tiles) > 1 or tiles[0].corner != (0, 0)}
    for name, tiles in shared.items():
        for side, limit in enumerate((netlist.crossbar.rows, netlist.crossbar.cols)):
            spans = sorted((t.corner[side], t.corner[side] + (len(t.inputs), len(t.outputs))[side]) for t in tiles)
            if spans[0][0] < 0 or spans[-1][1] > limit:
                raise VerificationError(
                    f"array {name!r}: {('row', 'column')[side]}s {spans[-1][0]}:{spans[-1][1]} of {limit}"
                )
            if any(end > start for (_, end), (start, _) in pairwise(spans)):
                raise VerificationError(f"array {name!r}: two tiles on one {('row', 'column')[side]}")


def _check_tile(crossbar: Crossbar, matrix: Matrix, tile: Tile) -> None:
    for pins, bound, limit, side in (
        (tile.inputs, matrix.inputs, crossbar.rows, "row"),
        (tile.outputs, matrix.outputs, crossbar.cols, "column"),
    ):
        if not 0 < len(pins) <= limit:
            raise VerificationError(f"tile {tile.name!r}: {len(pins)} {side} pins; a crossbar has 1 to {limit}")
        if len(np.unique(pins)) != len(pins) or pins.min() < 0 or pins.max() >= bound:
            raise VerificationError(f"tile {tile.name!r}: {side} pins are not distinct indices below {bound}")


def _check_drivers(netlist: Netlist) -> None:
    drivers = Counter(matrix.output_bus for matrix in netlist.matrices)
    drivers.update(bus for block in netlist.blocks for bus in block.outputs)
    drivers.update(port.bus for port in netlist.ports if port.direction == "input")
    known = {bus.name for bus in netlist.buses}
    readers = {matrix.input_bus: matrix.name for matrix in netlist.matrices}
    readers.update({bus: block.name for block in netlist.blocks for bus in block.inputs})
    readers.update({port.bus: port.name for port in netlist.ports if port.direction == "output"})
    for bus in (*drivers, *readers):
        if bus not in known:
            raise VerificationError(f"bus {bus!r}: connected but not declared")
    for bus, reader in readers.items():
        if drivers[bus] != 1:
            raise VerificationError(f"bus {bus!r}, read by {reader!r}: {drivers[bus]} drivers; there must be one")


def _block_json(block: Block) -> dict[str, Any]:
    return {
        "name": block.name,
        "nodes": [*block.nodes],
        "inputs": [*block.inputs],
        "outputs": [*block.outputs],
    }


def _matrix_json(matrix: Matrix) -> dict[str, Any]:
    return {
        "name": matrix.name,
        "layer": matrix.layer,
        "part": matrix.part,
        "inputs": matrix.inputs,
        "outputs": matrix.outputs,
        "input_bus": matrix.input_bus,
        "output_bus": matrix.output_bus,
        "tiles": _tiles_json(matrix.tiles),
    }


def _tiles_json(tiles: Sequence[Tile]) -> list[dict[str, Any]]:
    """Return every tile as `netlist.schema.json` describes it."""
    rows, cols = all_to_ranges([t.inputs for t in tiles]), all_to_ranges([t.outputs for t in tiles])
    return [_tile_json(*each) for each in zip(tiles, rows, cols, strict=True)]


def _tile_json(tile: Tile, rows: str, cols: str) -> dict[str, Any]:
    data: dict[str, Any] = {"name": tile.name, "rows": rows, "cols": cols}
    if tile.array != tile.name:
        data |= {"array": tile.array, "corner": [*tile.corner]}
    return data


def _matrix_from(data: Mapping[str, Any]) -> Matrix:
    rows = all_from_ranges([tile["rows"] for tile in data["tiles"]])
    cols = all_from_ranges([tile["cols"] for tile in data["tiles"]])
    tiles = tuple(_tile_from(data["name"], *each) for each in zip(data["tiles"], rows, cols, strict=True))
    return Matrix(**{**data, "tiles": tiles})


def _tile_from(matrix: str, data: Mapping[str, Any], rows: Indices, cols: Indices) -> Tile:
    corner = data.get("corner", (0, 0))
    return Tile(
        name=data["name"],
        matrix=matrix,
        inputs=rows,
        outputs=cols,
        array=data.get("array", data["name"]),
        corner=(corner[0], corner[1]),
    )
