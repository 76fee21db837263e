"""Read `<network>.yosys.json` back: modules, ports, cells and net names, as `targets/yosys.py` writes them.

A line is an entry. Bits stand for nets. The net names of a matrix, which follow its cells, are read first, then its
ports and cells, so that the names of one matrix are in memory at a time. In `top`, bits are numbered in the order of
the buses.

A line is an entry. Bits stand for nets. The net names of a matrix, which follow its cells, are read first, then its
ports and cells, so that one matrix's names are in memory at a time; in `top`, bits are numbered as buses are declared.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Protocol, TextIO

from gscompile.errors import VerificationError
from gscompile.files.strict_json import no_twins
from gscompile.readback.facts import Fact, Source, compare, opened
from gscompile.readback.modules import BLACK_BOX, TOP, black_boxes, instance_fact, module_fact, tile_facts, told
from gscompile.targets.modules import Hierarchy, Module

_HEAD = '{"creator": "gscompile", "modules": {'
_MODULE = re.compile(r'("(?:[^"\\]|\\.)*"): \{"attributes": (\{.*\}),')
_PORTS, _CELLS, _NETS = ' "ports": {', ' "cells": {', ' "netnames": {'
_SECTION_ENDS = {_PORTS: ("},",), _CELLS: ("},",), _NETS: ("}}", "}},")}
_decode = json.JSONDecoder(object_pairs_hook=no_twins).raw_decode


def files(hierarchy: Hierarchy) -> list[str]:
    """Return the names of the files of this format."""
    return [f"{hierarchy.names.top}.yosys.json"]


def check(source: Source) -> int:
    """Return the number of facts that agree with the netlist. Raises VerificationError for the first that does not."""
    (name,) = files(source.hierarchy)
    try:
        with opened(source.folder / name, "ascii") as file:
            return compare(name, _read(file, _TopBits(source.hierarchy)), _asked(source.hierarchy))
    except (OSError, UnicodeDecodeError) as problem:
        raise VerificationError(f"{name}: cannot be read as ascii text") from problem
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise VerificationError(f"{name}: not the JSON that gscompile writes") from problem


# -- asked for --------------------------------------------------------------------------------------------------


def _asked(hierarchy: Hierarchy) -> Iterator[Fact]:
    for module in black_boxes(hierarchy):
        yield module_fact(module, BLACK_BOX)
        if module.name.startswith("crossbar_"):
            yield ("bits", module.name, sum(port.width for port in module.ports))
        else:
            yield from _own_nets(module)
    for matrix in hierarchy.matrices():
        module = hierarchy.matrix_module(matrix)
        yield module_fact(module)
        yield from (("port", port.name, port.name) for port in module.ports)
        yield from tile_facts(hierarchy, matrix)
        yield from (("net", port.name, port.name) for port in module.ports)
    yield from _asked_of_top(hierarchy)


def _own_nets(module: Module) -> Iterator[Fact]:
    """Yield the ports, each on the net of its name."""
    yield from (("port", port.name, port.name) for port in module.ports)
    yield from (("net", port.name, port.name) for port in module.ports)


def _asked_of_top(hierarchy: Hierarchy) -> Iterator[Fact]:
    names, nets = hierarchy.names, hierarchy.nets
    yield module_fact(hierarchy.top_module(), TOP)
    ports = [(names.port(p.name, p.direction), names.net(p.bus, 0)) for p in hierarchy.netlist.ports]
    yield from (("port", port, net) for port, net in ports)
    for instance in hierarchy.top_instances():
        tied = (net for bus in instance.buses for net in names.nets(bus, nets.tied(bus)))
        yield instance_fact(instance, frozenset(tied))
    for bus in hierarchy.netlist.buses:
        zero = frozenset(names.nets(bus.name, nets.tied(bus.name)))
        for net in names.nets(bus.name, nets.live(bus.name)):
            yield ("net", net, "0" if net in zero else net)
    yield from (("net", port, net) for port, net in ports if port != net)


# -- found ------------------------------------------------------------------------------------------------------


class _Bits(Protocol):
    """The nets that bits stand for."""

    def get(self, bit: Any, default: str, /) -> str: ...


class _TopBits:
    """Names of the nets of `top` by bit: one bus after the other from 2 on, without a table of all of them."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._buses = hierarchy.netlist.buses
        self._starts = [hierarchy.netlist.ends[bus.name].start for bus in self._buses]
        self._first = lru_cache(256)(lambda bus: hierarchy.names.net(bus, 0))

    def get(self, bit: Any, default: str) -> str:
        """Return the net of a bit, or `default` for a bit that no bus has."""
        number = bit - 2 if isinstance(bit, int) else -1
        place = bisect_right(self._starts, number) - 1
        if place < 0:
            return default
        bus, index = self._buses[place], number - self._starts[place]
        if bus.kind == "tensor":
            return self._first(bus.name) if index == 0 else default
        return f"{self._first(bus.name)[:-1]}{index}" if index < bus.width else default


def _read(file: TextIO, top: _Bits) -> Iterator[Fact]:
    if file.readline().rstrip("\n") != _HEAD:
        yield ("line", 1)
    line = file.readline().rstrip("\n")
    while found := _MODULE.fullmatch(line):
        yield from _module(file, json.loads(found[1]), json.loads(found[2]), top)
        line = file.readline().rstrip("\n")
    if line != "}}" or file.read(1):
        yield ("line", line)


def _module(file: TextIO, name: str, attributes: dict[str, str], top: _Bits) -> Iterator[Fact]:
    marks = [mark for mark in (BLACK_BOX, TOP) if attributes.pop(mark, None) == f"{1:032b}"]
    bits = top if TOP in marks else _names(file)
    ports = [*_entries(file, _PORTS)]
    described = tuple((port, entry["direction"], len(entry["bits"])) for port, entry in ports)
    yield ("module", name, marks[0] if len(marks) == 1 else None, told(attributes), described)
    if name.startswith("crossbar_"):
        numbers = [bit for _, entry in ports for bit in entry["bits"]]
        yield ("bits", name, len(set(numbers)))
    else:
        yield from (("port", port, *(_net(bit, bits) for bit in entry["bits"])) for port, entry in ports)
    for cell, entry in _entries(file, _CELLS):
        pins = ((port, tuple(_net(bit, bits) for bit in on)) for port, on in entry["connections"].items())
        yield ("instance", cell, entry["type"], told(entry["attributes"]), tuple(pins))
    for net, entry in _entries(file, _NETS):
        yield ("net", net, *(_net(bit, bits) for bit in entry["bits"]))


def _names(file: TextIO) -> dict[Any, str]:
    """Return the first name of every bit of a module, and leave the file at its position."""
    start, names = file.tell(), dict[Any, str]()
    for section in (_PORTS, _CELLS):
        _skip(file, section)
    for net, entry in _entries(file, _NETS):
        for bit in entry["bits"]:
            names.setdefault(bit, net)
    file.seek(start)
    return names


def _net(bit: Any, names: _Bits) -> str:
    return "0" if bit == "0" else names.get(bit, f"bit {bit}")


def _skip(file: TextIO, section: str) -> None:
    """Skip a section: its last line has one brace more at the end."""
    last = "]}}," if section == _PORTS else "}}},"
    if _begins(file, section):
        while not (line := file.readline()).rstrip("\n").endswith(last):
            if not line:
                raise ValueError("the file ends within a module")


def _entries(file: TextIO, section: str) -> Iterator[tuple[str, Any]]:
    """Yield names and descriptions of a section. Raises ValueError for a line that the writer does not write."""
    more = _begins(file, section)
    while more:
        line = file.readline().rstrip("\n")
        name, at = _decode(line, 2)
        if line[:2] != "  " or line[at : at + 2] != ": ":
            raise ValueError(line)
        described, at = _decode(line, at + 2)
        if line[at:] not in (",", *_SECTION_ENDS[section]):
            raise ValueError(line)
        yield name, described
        more = line[at:] == ","


def _begins(file: TextIO, section: str) -> bool:
    """Read the line that begins a section; return whether entries follow."""
    line = file.readline().rstrip("\n")
    if line == section:
        return True
    if line.removeprefix(section) not in _SECTION_ENDS[section]:
        raise ValueError(line)
    return False
