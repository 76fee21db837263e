"""Read `<network>.v` back: modules, wires, assignments and instances, as `targets/verilog.py` writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from gscompile.readback.facts import Fact, Source, compare, lines_of
from gscompile.readback.modules import BLACK_BOX, TOP, black_boxes, instance_fact, module_fact, tile_facts, told
from gscompile.targets.modules import Hierarchy

_PAIR = re.compile(r'(\w+) = "((?:[^"\\]|\\.)*)"')
_ATTRIBUTES = re.compile(r'\(\* (\w+ = "(?:[^"\\]|\\.)*"(?:, \w+ = "(?:[^"\\]|\\.)*")*) \*\)')
_PORT = re.compile(r"(input|output|inout) (?:\[(\d{1,9}):0\] )?(\w+),?")
_PIN_LINE = re.compile(r"\.(\w+)\((?:(\w+)|\{([\w, ]+)\})\),?")
_MODULE, _INSTANCE = re.compile(r"module (\w+) \((\);)?"), re.compile(r"(\w+) (\w+) \((\);)?")
_WIRE, _ASSIGN = re.compile(r"wire (\w+);"), re.compile(r"assign (\w+) = (1'b0|\w+);")


def files(hierarchy: Hierarchy) -> list[str]:
    """Return the names of the files of this format."""
    return [f"{hierarchy.names.top}.v"]


def check(source: Source) -> int:
    """Return the number of facts that agree with the netlist. Raises VerificationError for the first that does not."""
    (name,) = files(source.hierarchy)
    return compare(name, _read(lines_of(source.folder / name)), _asked(source.hierarchy))


def _asked(hierarchy: Hierarchy) -> Iterator[Fact]:
    for module in black_boxes(hierarchy):
        yield module_fact(module, BLACK_BOX)
        yield ("end",)
    for matrix in hierarchy.matrices():
        yield module_fact(hierarchy.matrix_module(matrix))
        yield from tile_facts(hierarchy, matrix)
        yield ("end",)
    yield module_fact(hierarchy.top_module(), TOP)
    yield from (("wire", net) for net in hierarchy.inner_nets())
    yield from (("assign", net, "1'b0") for net in hierarchy.tied_nets())
    yield from (("assign", port, net) for port, net in hierarchy.through_ports())
    yield from map(instance_fact, hierarchy.top_instances())
    yield ("end",)


def _read(lines: Iterable[str]) -> Iterator[Fact]:
    """Yield the facts of a file; a line that the writer does not write is a fact that no netlist has."""
    rest = ((number, line.strip()) for number, line in enumerate(lines, 1))
    mark, attributes = None, told({})
    for number, line in rest:
        if not line:
            continue
        if line in ("(* blackbox *)", "(* top *)"):
            mark = line[3:-3]
        elif found := _ATTRIBUTES.fullmatch(line):
            attributes = told({key: _text(value) for key, value in _PAIR.findall(found[1])})
        elif line == "endmodule":
            yield ("end",)
        elif found := _MODULE.fullmatch(line):
            yield ("module", found[1], mark, attributes, () if found[2] else tuple(_items(rest, _PORT, _port)))
            mark, attributes = None, told({})
        elif found := _WIRE.fullmatch(line):
            yield ("wire", found[1])
        elif found := _ASSIGN.fullmatch(line):
            yield ("assign", found[1], found[2])
        elif found := _INSTANCE.fullmatch(line):
            yield ("instance", found[2], found[1], attributes, () if found[3] else tuple(_items(rest, _PIN_LINE, _pin)))
            attributes = told({})
        else:
            yield ("line", number, line)


def _items(rest: Iterator[tuple[int, str]], pattern: re.Pattern[str], made: object) -> Iterator[object]:
    """Yield the items of a list in parentheses, one on each line."""
    for number, line in rest:
        if line == ");":
            return
        found = pattern.fullmatch(line)
        yield made(found) if found else ("line", number, line)  # type: ignore[operator]


def _port(found: re.Match[str]) -> tuple[str, str, int]:
    return found[3], found[1], int(found[2] or 0) + 1


def _pin(found: re.Match[str]) -> tuple[str, tuple[str, ...]]:
    nets = (found[2],) if found[2] else tuple(reversed(found[3].split(", ")))
    return found[1], nets


def _text(quoted: str) -> str:
    """Return the text of a Verilog string; a string that is not JSON is returned unchanged."""
    plain = re.sub(r"\\(.)", r"\1", quoted)
    try:
        return str(json.loads(f'"{plain}"'))
    except ValueError:
        return plain
