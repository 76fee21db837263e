"""LEF and placed DEF: macros of arrays and blocks, and their places; for OpenROAD, KLayout, qrouter.

Component and pin names are those of the Verilog, flattened: `matrix_fc1/tile_fc1_0_0` and `row[3]`. A short wire lies
on every pin of a net, so that connectivity can be read from the geometry before anything is routed. One database unit
is a nanometre.

Component and pin names are those of the Verilog, flattened: `matrix_fc1/tile_fc1_0_0` and `row[3]`. A short
wire lies on every pin of a net, so that connectivity can be read off the geometry before anything is routed.
One database unit is a nanometre.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

from gscompile.crossbars.netlist import Block, Netlist
from gscompile.crossbars.nets import Nets
from gscompile.hardware.components import End, empty_plan, net_ends, pad
from gscompile.hardware.floorplan import Component, Floorplan
from gscompile.hardware.target import Design
from gscompile.targets.names import Names

_PIN_NM = 40  # side of a pin's square and width of the wire on it, nm


@dataclass(frozen=True)
class LefDef:
    """`<network>.lef` and `<network>.def`; without a floorplan, components stand in netlist order."""

    name: ClassVar[str] = "lefdef"

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write macros, then components and nets, one net at a time. Returns the two files."""
        names, plan = Names(design.netlist), design.floorplan or empty_plan(design.netlist, design.target)
        files = {"lef": _lef(design, names, plan), "def": _def(design.netlist, names, plan)}
        return [_written(folder / f"{names.top}.{suffix}", lines) for suffix, lines in files.items()]


def _written(path: Path, lines: Iterator[str]) -> Path:
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(lines)
    return path


def _macro(component: Component, names: Names) -> str:
    if component.kind == "block":
        return names.block(component.name)
    return f"crossbar_{component.rows}x{component.cols}"


# -- LEF ----------------------------------------


def _lef(design: Design, names: Names, plan: Floorplan) -> Iterator[str]:
    pitch = design.target.routing.pitch_nm / 1000
    yield 'VERSION 5.8 ;\nBUSBITCHARS "[]" ;\nDIVIDERCHAR "/" ;\n'
    yield "UNITS\n  DATABASE MICRONS 1000 ;\nEND UNITS\nMANUFACTURINGGRID 0.001 ;\n"
    for number in range(1, design.target.routing.layers + 2):
        yield from _layer(f"M{number}", "HORIZONTAL" if number % 2 == 0 else "VERTICAL", pitch)
    yield f"SITE core\n  CLASS CORE ;\n  SIZE {_um(_PIN_NM)} BY {_um(plan.row_height)} ;\nEND core\n"
    for array in _sizes(plan):
        yield from _macro_lines(array, _macro(array, names), _array_pins(array))
    nets = Nets(design.netlist)
    for block in design.netlist.blocks:
        component = plan.component("block", block.name)
        yield from _macro_lines(component, _macro(component, names), _block_pins(component, block, names, nets))
    yield "END LIBRARY\n"


def _sizes(plan: Floorplan) -> Iterable[Component]:
    """Return one array of every size that occurs; a crossbar has no more sizes than cells."""
    return {(c.rows, c.cols): c for c in reversed(plan.components) if c.kind == "array"}.values()


def _layer(name: str, direction: str, pitch: float) -> Iterator[str]:
    yield f"LAYER {name}\n  TYPE ROUTING ;\n  DIRECTION {direction} ;\n"
    yield f"  PITCH {pitch:.3f} ;\n  WIDTH {_um(_PIN_NM)} ;\n  SPACING {_um(_PIN_NM)} ;\nEND {name}\n"


def _macro_lines(component: Component, macro: str, pins: Iterable[PinAt]) -> Iterator[str]:
    yield f"MACRO {macro}\n  CLASS BLOCK ;\n  ORIGIN 0 0 ;\n"
    yield f"  SIZE {_um(component.width)} BY {_um(component.height)} ;\n  SITE core ;\n"
    for name, direction, at in pins:
        x0, y0, x1, y1 = _square(component, at)
        yield f"  PIN {name}\n    DIRECTION {direction} ;\n    USE SIGNAL ;\n    PORT\n      LAYER M1 ;\n"
        yield f"      RECT {_um(x0)} {_um(y0)} {_um(x1)} {_um(y1)} ;\n    END\n  END {name}\n"
    yield f"END {macro}\n"


def _square(component: Component, at: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the metal of a pin: a square around the pin, pushed inside the component."""
    x = min(max(at[0] - _PIN_NM // 2, 0), component.width - _PIN_NM)
    y = min(max(at[1] - _PIN_NM // 2, 0), component.height - _PIN_NM)
    return x, y, x + _PIN_NM, y + _PIN_NM


PinAt = tuple[str, str, tuple[int, int]]  # name, direction and offset


def _array_pins(array: Component) -> Iterator[PinAt]:
    yield from ((f"row[{r}]", "INPUT", array.row_pin(r)) for r in range(array.rows))
    yield from ((f"col[{c}]", "INOUT", array.col_pin(c)) for c in range(array.cols))


def _block_pins(component: Component, block: Block, names: Names, nets: Nets) -> Iterator[PinAt]:
    number = 0
    for buses, direction in ((block.inputs, "INPUT"), (block.outputs, "OUTPUT")):
        for name in (n for bus in buses for n in names.nets(bus, nets.live(bus))):
            yield name, direction, component.block_pin(number)
            number += 1


def _um(nanometres: int) -> str:
    return f"{nanometres / 1000:.3f}"


# -- DEF ----------------------------------------


def _def(netlist: Netlist, names: Names, plan: Floorplan) -> Iterator[str]:
    yield f'VERSION 5.8 ;\nDIVIDERCHAR "/" ;\nBUSBITCHARS "[]" ;\nDESIGN {names.top} ;\n'
    yield f"UNITS DISTANCE MICRONS 1000 ;\nDIEAREA ( 0 0 ) ( {plan.width} {plan.height} ) ;\n"
    for row in range(plan.height // plan.row_height):
        sites = plan.width // _PIN_NM
        yield f"ROW row{row} core 0 {row * plan.row_height} N DO {sites} BY 1 STEP {_PIN_NM} 0 ;\n"
    yield f"COMPONENTS {len(plan.components)} ;\n"
    for component in plan.components:
        yield f"- {_instance(component, names)} {_macro(component, names)}"
        yield f" + PLACED ( {component.x} {component.y} ) N ;\n"
    yield "END COMPONENTS\n"
    yield from _ports(netlist, names, plan)
    yield from _nets(netlist, names, plan)
    yield "END DESIGN\n"


def _instance(component: Component, names: Names) -> str:
    """Return the name of the tile in its matrix, or of the array if several tiles share it."""
    if component.kind == "block":
        return names.block(component.name)
    if component.matrix:
        return f"{names.matrix(component.matrix)}/{names.tile(component.name)}"
    return names.array(component.name)


def _ports(netlist: Netlist, names: Names, plan: Floorplan) -> Iterator[str]:
    yield f"PINS {len(netlist.ports)} ;\n"
    for port in netlist.ports:
        x, y = pad(plan, port, netlist.ports)
        name, net = names.port(port.name, port.direction), names.net(port.bus, 0)
        yield f"- {name} + NET {net} + DIRECTION {port.direction.upper()} + USE SIGNAL\n"
        half = _PIN_NM // 2
        yield f"  + LAYER M1 ( {-half} {-half} ) ( {half} {half} ) + PLACED ( {x} {y} ) N ;\n"
    yield "END PINS\n"


def _nets(netlist: Netlist, names: Names, plan: Floorplan) -> Iterator[str]:
    ports: dict[str, list[str]] = {}
    for port in netlist.ports:
        ports.setdefault(port.bus, []).append(names.port(port.name, port.direction))
    yield f"NETS {Nets(netlist).count} ;\n"
    for bus, nets in groupby(net_ends(netlist, plan), key=itemgetter(0)):
        instances = _Instances(plan, names)
        for _, index, ends in nets:
            net = names.net(bus, index)
            yield f"- {net}\n"
            yield from (f"  ( PIN {port} )\n" for port in ports.get(bus, ()))
            yield from (f"  ( {instances[end.component]} {_pin_name(end, plan, net)} )\n" for end in ends)
            yield from _wires(ends, plan)
            yield "  ;\n"
    yield "END NETS\n"


class _Instances(dict[int, str]):
    """Names of the components on one bus, each computed once."""

    def __init__(self, plan: Floorplan, names: Names) -> None:
        super().__init__()
        self._plan, self._names = plan, names

    def __missing__(self, number: int) -> str:
        return self.setdefault(number, _instance(self._plan.components[number], self._names))


def _pin_name(end: End, plan: Floorplan, net: str) -> str:
    """Return the name of a pin; the port of a block has the name of its net."""
    if plan.components[end.component].kind == "block":
        return net
    return f"{end.pin[:3]}[{end.pin[3:]}]"


def _wires(ends: Iterable[End], plan: Floorplan) -> Iterator[str]:
    """Yield a wire inside every pin, from its lower to its upper edge."""
    for number, end in enumerate(ends):
        component = plan.components[end.component]
        x0, y0, _, y1 = _square(component, (end.x, end.y))
        x, start = component.x + x0 + _PIN_NM // 2, "NEW" if number else "+ ROUTED"
        yield f"  {start} M1 ( {x} {component.y + y0} 0 ) ( {x} {component.y + y1} 0 )\n"
