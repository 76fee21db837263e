"""Structural Verilog-2005: a module for each matrix, tiles and digital blocks as black boxes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from gscompile.crossbars.netlist import Matrix
from gscompile.hardware.target import Design
from gscompile.targets.modules import Hierarchy, Instance, Module


@dataclass(frozen=True)
class Verilog:
    """`<network>.v`, for Yosys, OpenROAD and simulators."""

    name: ClassVar[str] = "verilog"

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write the hierarchy front to back, with one instance in memory at a time. Returns the file."""
        hierarchy = Hierarchy(design.netlist)
        path = folder / f"{hierarchy.names.top}.v"
        with path.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(_lines(hierarchy))
        return [path]


def _lines(hierarchy: Hierarchy) -> Iterator[str]:
    for module in chain(hierarchy.tile_modules(), hierarchy.block_modules()):
        yield "(* blackbox *)\n"
        yield from _header(module)
        yield "endmodule\n\n"
    for matrix in hierarchy.matrices():
        yield from _matrix(hierarchy, matrix)
    yield from _top(hierarchy)


def _matrix(hierarchy: Hierarchy, matrix: Matrix) -> Iterator[str]:
    yield from _header(hierarchy.matrix_module(matrix))
    for tile in matrix.tiles:
        yield from _instance(hierarchy.tile_instance(tile))
    yield "endmodule\n\n"


def _top(hierarchy: Hierarchy) -> Iterator[str]:
    yield "(* top *)\n"
    yield from _header(hierarchy.top_module())
    yield from (f"  wire {net};\n" for net in hierarchy.inner_nets())
    yield from (f"  assign {net} = 1'b0;\n" for net in hierarchy.tied_nets())
    yield from (f"  assign {port} = {net};\n" for port, net in hierarchy.through_ports())
    for instance in hierarchy.top_instances():
        yield from _instance(instance)
    yield "endmodule\n"


def _header(module: Module) -> Iterator[str]:
    yield _attributes(module.attributes, "")
    yield f"module {module.name} ("
    for number, port in enumerate(module.ports):
        width = f"[{port.width - 1}:0] " if port.name in ("row", "col") else ""
        yield f"{',' if number else ''}\n  {port.direction} {width}{port.name}"
    yield "\n);\n" if module.ports else ");\n"


def _instance(instance: Instance) -> Iterator[str]:
    yield _attributes(instance.attributes, "  ")
    yield f"  {instance.module} {instance.name} ("
    for number, (port, nets) in enumerate(instance.connections.items()):
        yield f"{',' if number else ''}\n    .{port}({_joined(nets)})"
    yield "\n  );\n" if instance.connections else ");\n"


def _joined(nets: list[str]) -> str:
    return nets[0] if len(nets) == 1 else "{" + ", ".join(reversed(nets)) + "}"


def _attributes(attributes: dict[str, str], indent: str) -> str:
    pairs = [f'{key} = "{quoted(value)}"' for key, value in attributes.items()]
    return f"{indent}(* {', '.join(pairs)} *)\n" if pairs else ""


def quoted(text: str) -> str:
    """Return text for a Verilog string: escaped as in JSON, plain ASCII, which Yosys does not garble.

    >>> quoted("ü")
    '\\\\\\\\u00fc'
    """
    return json.dumps(text)[1:-1].replace("\\", "\\\\").replace('"', '\\"')
