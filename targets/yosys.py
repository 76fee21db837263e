"""Yosys JSON: what `read_json` takes, and nextpnr and netlistsvg with it. The same hierarchy as the
Verilog."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from gscompile.netlist import Matrix
from gscompile.pins import Indices
from gscompile.target import Design
from gscompile.targets.modules import Hierarchy, Instance, Module


@dataclass(frozen=True)
class Yosys:
    """`<network>.yosys.json`."""

    name: ClassVar[str] = "yosys"

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write the hierarchy front to back, a module's nets numbered from 2 as Yosys does (0 and 1 are
        constants)."""
        hierarchy = Hierarchy(design.netlist)
        path = folder / f"{hierarchy.names.top}.yosys.json"
        with path.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(_lines(hierarchy))
        return [path]


def _lines(hierarchy: Hierarchy) -> Iterator[str]:
    yield '{"creator": "gscompile", "modules": {\n'
    for module in chain(hierarchy.tile_modules(), hierarchy.block_modules()):
        yield from _module(module, {"blackbox": _TRUE}, _Bits(), iter(()))
        yield ",\n"
    for matrix in hierarchy.matrices:
        yield from _matrix(hierarchy, matrix)
        yield ",\n"
    yield from _top(hierarchy)
    yield "\n}}\n"


_TRUE = f"{1:032b}"


class _Bits:
    """Bit numbers of nets inside one module, counted as they come."""

    def __init__(self) -> None:
        self._number: dict[str, int | str] = {}

    def __getitem__(self, net: str) -> int | str:
        return self._number.setdefault(net, len(self._number) + 2)

    def items(self) -> Iterator[tuple[str, int | str]]:
        return iter(self._number.items())


class _TopBits:
    """Bit numbers of the nets of `top`, counted bus by bus: there is no table of all of them."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._names, nets = hierarchy.names, hierarchy.nets
        self._alias = dict(hierarchy.through_ports())
        self._buses: dict[str, tuple[int, Indices, Indices]] = {}  # first number, nets, those that are tied
        number = 2
        for bus in hierarchy.netlist.buses:
            live = nets.live(bus.name)
            self._buses[bus.name] = number, live, nets.tied(bus.name)
            number += len(live)

    def __getitem__(self, net: str) -> int | str:
        bus, index = self._names.bus_of(self._alias.get(net, net))
        first, live, tied = self._buses[bus]
        return "0" if len(tied) and index in tied else first + int(live.searchsorted(index))

    def items(self) -> Iterator[tuple[str, int | str]]:
        nets = (self._names.net(bus, i) for bus, (_, live, _) in self._buses.items() for i in live.tolist())
        return ((net, self[net]) for net in chain(nets, self._alias))


def _matrix(hierarchy: Hierarchy, matrix: Matrix) -> Iterator[str]:
    instances = (hierarchy.tile_instance(tile) for tile in matrix.tiles)
    return _module(hierarchy.matrix_module(matrix), {}, _Bits(), instances)


def _top(hierarchy: Hierarchy) -> Iterator[str]:
    bits = _TopBits(hierarchy)
    return _module(hierarchy.top_module(), {"top": _TRUE}, bits, hierarchy.top_instances())


def _module(
    module: Module, marks: dict[str, str], bits: _Bits | _TopBits, instances: Iterator[Instance]
) -> Iterator[str]:
    vectors = module.name.startswith("crossbar_")
    yield f'{_text(module.name)}: {{"attributes": {_text(marks | module.attributes)},\n "ports": {{'
    for number, port in enumerate(module.ports):
        wires = [bits[f"{port.name}[{i}]"] for i in range(port.width)] if vectors else [bits[port.name]]
        described = {"direction": port.direction, "bits": wires}
        yield f"{',' if number else ''}\n  {_text(port.name)}: {_text(described)}"
    yield '},\n "cells": {'
    for number, instance in enumerate(instances):
        yield f"{',' if number else ''}\n  {_text(instance.name)}: {_text(_cell(instance, bits))}"
    yield '},\n "netnames": {'
    yield from _netnames(bits, vectors)
    yield "}}"


def _cell(instance: Instance, bits: _Bits | _TopBits) -> dict[str, Any]:
    return {
        "hide_name": 0,
        "type": instance.module,
        "parameters": {},
        "attributes": instance.attributes,
        "connections": {port: [bits[net] for net in nets] for port, nets in instance.connections.items()},
    }


def _netnames(bits: _Bits | _TopBits, vectors: bool) -> Iterator[str]:
    if vectors:
        return
    for number, (net, bit) in enumerate(bits.items()):
        described = {"hide_name": 0, "bits": [bit], "attributes": {}}
        yield f"{',' if number else ''}\n  {_text(net)}: {_text(described)}"


def _text(value: Any) -> str:
    return json.dumps(value)
