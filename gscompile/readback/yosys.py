"""Read `<network>.yosys.json` back: modules, ports, cells and net names, as `targets/yosys.py` writes them.

A line is an entry. Bits stand for nets: a module's net names, which follow its cells, are read first, then its ports
and cells, so that one module's names are in memory at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from gscompile.errors import VerificationError
from gscompile.files.strict_json import no_twins
from gscompile.readback.facts import Fact, Source, compare, opened
from gscompile.readback.modules import BLACK_BOX, TOP, black_boxes, instance_fact, module_fact, tile_facts, told
from gscompile.targets.modules import Hierarchy, Module

_HEAD = '{"creator": "gscompile", "modules": {'
_MODULE = re.compile(r'("(?:[^"\\]|\\.)*"): \{"attributes": (\{.*\}),')
_PORTS, _CELLS, _NETS = ' "ports": {', ' "cells": {', ' "netnames": {'
_ENDS = {_PORTS: ("},",), _CELLS: ("},",), _NETS: ("}}", "}},")}
_decode = json.JSONDecoder(object_pairs_hook=no_twins).raw_decode
Bits = dict[Any, str]  # the name of the net that a bit stands for


def files(hierarchy: Hierarchy) -> list[str]:
    """Names of the files of this format."""
    return [f"{hierarchy.names.top}.yosys.json"]


def check(source: Source) -> int:
    """Return the number of facts that agree with the netlist. Raises VerificationError for the first that does not."""
    (name,) = files(source.hierarchy)
    try:
        with opened(source.folder / name, "ascii") as file:
            return compare(name, _read(file), _asked(source.hierarchy))
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
    """Ports, each on the net of its name."""
    yield from (("port", port.name, port.name) for port in module.ports)
    yield from (("net", port.name, port.name) for port in module.ports)


def _asked_of_top(hierarchy: Hierarchy) -> Iterator[Fact]:
    names, tied = hierarchy.names, frozenset(hierarchy.tied_nets())
    yield module_fact(hierarchy.top_module(), TOP)
    ports = [(names.port(p.name, p.direction), names.net(p.bus, 0)) for p in hierarchy.netlist.ports]
    yield from (("port", port, net) for port, net in ports)
    yield from (instance_fact(instance, tied) for instance in hierarchy.top_instances())
    for bus in hierarchy.netlist.buses:
        for net in names.nets(bus.name, hierarchy.nets.live(bus.name)):
            yield ("net", net, "0" if net in tied else net)
    yield from (("net", port, net) for port, net in ports if port != net)


# -- found ------------------------------------------------------------------------------------------------------


def _read(file: TextIO) -> Iterator[Fact]:
    if file.readline().rstrip("\n") != _HEAD:
        yield ("line", 1)
    line = file.readline().rstrip("\n")
    while found := _MODULE.fullmatch(line):
        yield from _module(file, json.loads(found[1]), json.loads(found[2]))
        line = file.readline().rstrip("\n")
    if line != "}}" or file.read(1):
        yield ("line", line)


def _module(file: TextIO, name: str, attributes: dict[str, str]) -> Iterator[Fact]:
    start = file.tell()
    bits = _names(file)
    file.seek(start)
    marks = [mark for mark in (BLACK_BOX, TOP) if attributes.pop(mark, None) == f"{1:032b}"]
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


def _names(file: TextIO) -> Bits:
    """What every bit of a module stands for: the first name that has it."""
    names: Bits = {}
    for section in (_PORTS, _CELLS):
        _skip(file, section)
    for net, entry in _entries(file, _NETS):
        for bit in entry["bits"]:
            names.setdefault(bit, net)
    return names


def _net(bit: Any, names: Bits) -> str:
    return "0" if bit == "0" else names.get(bit, f"bit {bit}")


def _skip(file: TextIO, section: str) -> None:
    """Pass over a section: its last line has one brace more at the end."""
    last = "]}}," if section == _PORTS else "}}},"
    if _begins(file, section):
        while not (line := file.readline()).rstrip("\n").endswith(last):
            if not line:
                raise ValueError("the file ends within a module")


def _entries(file: TextIO, section: str) -> Iterator[tuple[str, Any]]:
    """Names and descriptions of a section. Raises ValueError for what the writer does not write."""
    more = _begins(file, section)
    while more:
        line = file.readline().rstrip("\n")
        name, at = _decode(line, 2)
        if line[:2] != "  " or line[at : at + 2] != ": ":
            raise ValueError(line)
        described, at = _decode(line, at + 2)
        if line[at:] not in (",", *_ENDS[section]):
            raise ValueError(line)
        yield name, described
        more = line[at:] == ","


def _begins(file: TextIO, section: str) -> bool:
    """Read the line that begins a section; whether entries follow."""
    line = file.readline().rstrip("\n")
    if line == section:
        return True
    if line.removeprefix(section) not in _ENDS[section]:
        raise ValueError(line)
    return False
