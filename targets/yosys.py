"""Yosys JSON, for `read_json`, nextpnr and netlistsvg. The hierarchy is that of the Verilog."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from gscompile.crossbars.netlist import Matrix
from gscompile.hardware.target import Design
from gscompile.targets.modules import Hierarchy, Instance, Module, PortOf


@dataclass(frozen=True)
class Yosys:
    """`<network>.yosys.json`."""

    name: ClassVar[str] = "yosys"

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write the hierarchy front to back; nets of a module are numbered from 2, as 0 and 1 are constants."""
        hierarchy = Hierarchy(design.netlist)
        path = folder / f"{hierarchy.names.top}.yosys.json"
        with path.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(_lines(hierarchy))
        return [path]


def _lines(hierarchy: Hierarchy) -> Iterator[str]:
    yield '{"creator": "gscompile", "modules": {\n'
    for module in chain(hierarchy.tile_modules(), hierarchy.block_modules()):
        yield from _black_box(module)
        yield ",\n"
    for matrix in hierarchy.matrices():
        yield from _matrix(hierarchy, matrix)
        yield ",\n"
    yield from _top(hierarchy)
    yield "\n}}\n"


_TRUE = f"{1:032b}"
Bit = int | str  # a number, or "0"


class _BitNumbers(dict[str, int]):
    """Bit numbers of nets inside one module, counted in their order of appearance."""

    def __missing__(self, net: str) -> int:
        return self.setdefault(net, len(self) + 2)


def _black_box(module: Module) -> Iterator[str]:
    bits = _BitNumbers()
    vectors = module.name.startswith("crossbar_")
    ports = ((p, [f"{p.name}[{i}]" for i in range(p.width)] if vectors else [p.name]) for p in module.ports)
    wired = ((port, [bits[wire] for wire in wires]) for port, wires in ports)
    return _module(module, {"blackbox": _TRUE}, wired, iter(()), iter(()) if vectors else _items(bits))


def _matrix(hierarchy: Hierarchy, matrix: Matrix) -> Iterator[str]:
    module, bits = hierarchy.matrix_module(matrix), _BitNumbers()
    ports = ((port, [bits[port.name]]) for port in module.ports)
    cells = (_cell(hierarchy.tile_instance(tile), bits) for tile in matrix.tiles)
    return _module(module, {}, ports, cells, _items(bits))


def _items(bits: _BitNumbers) -> Iterator[tuple[str, Bit]]:
    yield from bits.items()  # evaluated last, when all bits are known


def _top(hierarchy: Hierarchy) -> Iterator[str]:
    """Yield the module `top`, whose nets are numbered in the order of the buses, so that no table of them is needed."""
    module, netlist = hierarchy.top_module(), hierarchy.netlist
    on_ports = [(port, dict(_bus_bits(hierarchy, p.bus))) for port, p in zip(module.ports, netlist.ports, strict=True)]
    ports = ((port, [*bits.values()]) for port, bits in on_ports)
    cells = (_cell(instance, _bits_of(hierarchy, instance.buses)) for instance in hierarchy.top_instances())
    nets = (item for bus in netlist.buses for item in _bus_bits(hierarchy, bus.name))
    further = ((port.name, bit) for port, bits in on_ports for net, bit in bits.items() if net != port.name)
    return _module(module, {"top": _TRUE}, ports, cells, chain(nets, further))


def _bits_of(hierarchy: Hierarchy, buses: tuple[str, ...]) -> dict[str, Bit]:
    return {net: bit for bus in buses for net, bit in _bus_bits(hierarchy, bus)}


def _bus_bits(hierarchy: Hierarchy, bus: str) -> Iterator[tuple[str, Bit]]:
    """Yield the nets of a bus with their bits; a net without a driver is the constant 0."""
    live, tied = hierarchy.nets.live(bus), set(hierarchy.nets.tied(bus).tolist())
    first = hierarchy.netlist.ends[bus].start + 2
    for net, index in zip(hierarchy.names.nets(bus, live), live.tolist(), strict=True):
        yield net, "0" if index in tied else first + index


def _module(
    module: Module,
    marks: dict[str, str],
    ports: Iterator[tuple[PortOf, list[Any]]],
    cells: Iterator[tuple[str, Any]],
    nets: Iterator[tuple[str, Bit]],
) -> Iterator[str]:
    yield f'{_text(module.name)}: {{"attributes": {_text(marks | module.attributes)},\n "ports": {{'
    yield from _entries((port.name, {"direction": port.direction, "bits": bits}) for port, bits in ports)
    yield '},\n "cells": {'
    yield from _entries(cells)
    yield '},\n "netnames": {'
    yield from _entries((net, {"hide_name": 0, "bits": [bit], "attributes": {}}) for net, bit in nets)
    yield "}}"


def _entries(items: Iterator[tuple[str, Any]]) -> Iterator[str]:
    for number, (name, described) in enumerate(items):
        yield f"{',' if number else ''}\n  {_text(name)}: {_text(described)}"


def _cell(instance: Instance, bits: Mapping[str, Bit]) -> tuple[str, dict[str, Any]]:
    return instance.name, {
        "hide_name": 0,
        "type": instance.module,
        "parameters": {},
        "attributes": instance.attributes,
        "connections": {port: [bits[net] for net in nets] for port, nets in instance.connections.items()},
    }


def _text(value: Any) -> str:
    return json.dumps(value)
