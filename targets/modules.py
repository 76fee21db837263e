"""The hierarchy that Verilog and Yosys JSON share: which modules there are, their ports and what joins them.

`top` holds the matrices and the digital blocks, a matrix holds its tiles. A bit line is `inout`: the
currents of several tiles add on it, so that no tile alone drives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gscompile.crossbars.netlist import Block, Matrix, Netlist, Tile
from gscompile.crossbars.nets import Nets
from gscompile.targets.names import Names

PortDirection = Literal["input", "output", "inout"]


@dataclass(frozen=True)
class PortOf:
    """A port of a module, `width` bits wide."""

    name: str
    direction: PortDirection
    width: int = 1


@dataclass(frozen=True)
class Instance:
    """A module in a module: port -> nets, lowest bit first."""

    module: str
    name: str
    connections: dict[str, list[str]]
    attributes: dict[str, str] = field(default_factory=dict)
    buses: tuple[str, ...] = ()  # of an instance in `top`: where its nets are


@dataclass(frozen=True)
class Module:
    """A module's outside; `attributes` say what it stands for in the netlist."""

    name: str
    ports: list[PortOf]
    attributes: dict[str, str] = field(default_factory=dict)


class Hierarchy:
    """The modules of a netlist, made one at a time as they are written."""

    def __init__(self, netlist: Netlist) -> None:
        self.netlist, self.nets = netlist, Nets(netlist)
        self.names = Names(netlist, self.nets)

    # -- black boxes ----------------------------------------

    def tile_modules(self) -> Iterator[Module]:
        """A black box for every size of tile that occurs, smallest first."""
        for rows, cols in sorted({(len(t.inputs), len(t.outputs)) for t in self.netlist.tiles}):
            yield Module(_size(rows, cols), [PortOf("row", "input", rows), PortOf("col", "inout", cols)])

    def block_modules(self) -> Iterator[Module]:
        """A black box for every digital block, named after its first ONNX node."""
        for block in self.netlist.blocks:
            ports = [PortOf(net, "input") for net in self._nets_of(block.inputs)]
            ports += [PortOf(net, "output") for net in self._nets_of(block.outputs)]
            yield Module(self.names.block(block.name), ports, {"nodes": " ".join(block.nodes)})

    def _nets_of(self, buses: tuple[str, ...]) -> list[str]:
        return [net for bus in buses for net in self.names.nets(bus, self.nets.live(bus))]

    # -- matrices ----------------------------------------

    def matrices(self) -> Iterator[Matrix]:
        """The matrices that hold a weight; the others are nowhere on the chip."""
        return (matrix for matrix in self.netlist.matrices if matrix.tiles)

    def matrix_module(self, matrix: Matrix) -> Module:
        ports = [PortOf(net, "input") for net in self._inputs(matrix)]
        ports += [PortOf(net, "inout") for net in self._outputs(matrix)]
        return Module(self.names.matrix(matrix.name), ports, {"matrix": matrix.name, "layer": matrix.layer})

    def _inputs(self, matrix: Matrix) -> list[str]:
        return self.names.nets(matrix.input_bus, self.nets.inputs(matrix))

    def _outputs(self, matrix: Matrix) -> list[str]:
        return self.names.nets(matrix.output_bus, self.nets.outputs(matrix))

    def tile_instance(self, tile: Tile) -> Instance:
        rows, cols = self.names.row_nets(tile), self.names.col_nets(tile)
        module, name = _size(len(rows), len(cols)), self.names.tile(tile.name)
        return Instance(module, name, {"row": rows, "col": cols}, {"tile": tile.name, "array": tile.array})

    # -- top ----------------------------------------

    def top_module(self) -> Module:
        ports: list[PortOf] = []
        for port in self.netlist.ports:
            ports.append(PortOf(self.names.port(port.name, port.direction), port.direction))
        return Module(self.names.top, ports, {"network": self.netlist.name})

    def top_instances(self) -> Iterator[Instance]:
        for block in self.netlist.blocks:
            yield self._block_instance(block)
        for matrix in self.matrices():
            nets = self._inputs(matrix) + self._outputs(matrix)
            name = self.names.matrix(matrix.name)
            buses = matrix.input_bus, matrix.output_bus
            yield Instance(
                module=name,
                name=name,
                connections={net: [net] for net in nets},
                attributes={"matrix": matrix.name},
                buses=buses,
            )

    def _block_instance(self, block: Block) -> Instance:
        name = self.names.block(block.name)
        nets = self._nets_of(block.inputs) + self._nets_of(block.outputs)
        buses = (*block.inputs, *block.outputs)
        return Instance(
            module=name,
            name=name,
            connections={net: [net] for net in nets},
            attributes={"block": block.name},
            buses=buses,
        )

    def inner_nets(self) -> Iterator[str]:
        """Nets of `top` that are no port, in the order of the buses."""
        ports = {port.bus for port in self.netlist.ports}
        for bus in self.netlist.buses:
            if bus.name not in ports:
                yield from self._nets_of((bus.name,))

    def tied_nets(self) -> Iterator[str]:
        """Nets that nothing drives: rows whose input is always zero."""
        for bus in self.netlist.buses:
            yield from self.names.nets(bus.name, self.nets.tied(bus.name))

    def through_ports(self) -> Iterator[tuple[str, str]]:
        """Ports beyond the first on a bus, with the net they share: an input that is an output too."""
        for port in self.netlist.ports:
            name, net = self.names.port(port.name, port.direction), self.names.net(port.bus, 0)
            if name != net:
                yield name, net


def _size(rows: int, cols: int) -> str:
    return f"crossbar_{rows}x{cols}"
