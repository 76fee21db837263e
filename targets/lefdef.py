"""LEF and placed DEF: macros of arrays and blocks, and where each stands; for OpenROAD, KLayout, qrouter.

Component and pin names are those of the Verilog, flattened: `matrix_fc1/tile_fc1_0_0` and `row[3]`. A short
wire lies on every pin of a net, so that connectivity can be read off the geometry before anything is routed.
One database unit is a nanometre.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gscompile.components import End, empty_plan, net_ends, pad
from gscompile.floorplan import Component, Floorplan
from gscompile.netlist import Block, Netlist, Tile
from gscompile.nets import Nets
from gscompile.target import Design
from gscompile.targets.names import Names

_PIN = 40  # side of a pin's square and width of the wire on it, nm


@dataclass(frozen=True)
class LefDef:
    """`<network>.lef` and `<network>.def`; without a floorplan, components stand in netlist order."""

    name: ClassVar[str] = "lefdef"

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write macros, then components and nets, a net at a time."""
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
    yield f"SITE core\n  CLASS CORE ;\n  SIZE {_um(_PIN)} BY {_um(plan.row_height)} ;\nEND core\n"
    blocks = {block.name: block for block in design.netlist.blocks}
    seen = set[str]()
    for component in plan.components:
        macro = _macro(component, names)
        if macro not in seen:
            seen.add(macro)
            yield from _macro_lines(component, macro, _pins(component, blocks, names, Nets(design.netlist)))
    yield "END LIBRARY\n"


def _layer(name: str, direction: str, pitch: float) -> Iterator[str]:
    yield f"LAYER {name}\n  TYPE ROUTING ;\n  DIRECTION {direction} ;\n"
    yield f"  PITCH {pitch:.3f} ;\n  WIDTH {_um(_PIN)} ;\n  SPACING {_um(_PIN)} ;\nEND {name}\n"


def _macro_lines(
    component: Component, macro: str, pins: Iterable[tuple[str, str, tuple[int, int]]]
) -> Iterator[str]:
    yield f"MACRO {macro}\n  CLASS BLOCK ;\n  ORIGIN 0 0 ;\n"
    yield f"  SIZE {_um(component.width)} BY {_um(component.height)} ;\n  SITE core ;\n"
    for name, direction, at in pins:
        x0, y0, x1, y1 = _square(component, at)
        yield f"  PIN {name}\n    DIRECTION {direction} ;\n    USE SIGNAL ;\n    PORT\n      LAYER M1 ;\n"
        yield f"      RECT {_um(x0)} {_um(y0)} {_um(x1)} {_um(y1)} ;\n    END\n  END {name}\n"
    yield f"END {macro}\n"


def _square(component: Component, at: tuple[int, int]) -> tuple[int, int, int, int]:
    """A pin's metal: a square about the pin, pushed inside the component."""
    x = min(max(at[0] - _PIN // 2, 0), component.width - _PIN)
    y = min(max(at[1] - _PIN // 2, 0), component.height - _PIN)
    return x, y, x + _PIN, y + _PIN


def _pins(
    component: Component, blocks: dict[str, Block], names: Names, nets: Nets
) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Name, direction and offset of every pin."""
    if component.kind == "array":
        yield from ((f"row[{r}]", "INPUT", component.row_pin(r)) for r in range(component.rows))
        yield from ((f"col[{c}]", "INOUT", component.col_pin(c)) for c in range(component.cols))
        return
    block, number = blocks[component.name], 0
    for buses, direction in ((block.inputs, "INPUT"), (block.outputs, "OUTPUT")):
        for bus, index in ((b, i) for b in buses for i in nets.live(b).tolist()):
            yield names.net(bus, index), direction, component.block_pin(number)
            number += 1


def _um(nanometres: int) -> str:
    return f"{nanometres / 1000:.3f}"


# -- DEF ----------------------------------------


def _def(netlist: Netlist, names: Names, plan: Floorplan) -> Iterator[str]:
    yield f'VERSION 5.8 ;\nDIVIDERCHAR "/" ;\nBUSBITCHARS "[]" ;\nDESIGN {names.top} ;\n'
    yield f"UNITS DISTANCE MICRONS 1000 ;\nDIEAREA ( 0 0 ) ( {plan.width} {plan.height} ) ;\n"
    for row in range(plan.height // plan.row_height):
        sites = plan.width // _PIN
        yield f"ROW row{row} core 0 {row * plan.row_height} N DO {sites} BY 1 STEP {_PIN} 0 ;\n"
    instances = instance_names(netlist, plan, names)
    yield f"COMPONENTS {len(instances)} ;\n"
    for component, instance in zip(plan.components, instances, strict=True):
        yield f"- {instance} {_macro(component, names)} + PLACED ( {component.x} {component.y} ) N ;\n"
    yield "END COMPONENTS\n"
    yield from _ports(netlist, names, plan)
    yield from _nets(netlist, names, plan, instances)
    yield "END DESIGN\n"


def instance_names(netlist: Netlist, plan: Floorplan, names: Names) -> list[str]:
    """Names of the components: the tile's in its matrix, or the array's where several tiles share it."""
    tiles: dict[str, list[Tile]] = {}
    for tile in netlist.tiles:
        tiles.setdefault(tile.array, []).append(tile)
    return [_instance(component, tiles, names) for component in plan.components]


def _instance(component: Component, tiles: dict[str, list[Tile]], names: Names) -> str:
    if component.kind == "block":
        return names.block(component.name)
    tile, *more = tiles[component.name]
    return names.array(component.name) if more else f"{names.matrix(tile.matrix)}/{names.tile(tile.name)}"


def _ports(netlist: Netlist, names: Names, plan: Floorplan) -> Iterator[str]:
    yield f"PINS {len(netlist.ports)} ;\n"
    for port in netlist.ports:
        x, y = pad(plan, port, netlist.ports)
        name, net = names.port(port.name, port.direction), names.net(port.bus, 0)
        yield f"- {name} + NET {net} + DIRECTION {port.direction.upper()} + USE SIGNAL\n"
        half = _PIN // 2
        yield f"  + LAYER M1 ( {-half} {-half} ) ( {half} {half} ) + PLACED ( {x} {y} ) N ;\n"
    yield "END PINS\n"


def _nets(netlist: Netlist, names: Names, plan: Floorplan, instances: list[str]) -> Iterator[str]:
    ports: dict[str, list[str]] = {}
    for port in netlist.ports:
        ports.setdefault(port.bus, []).append(names.port(port.name, port.direction))
    yield f"NETS {Nets(netlist).count} ;\n"
    for bus, index, ends in net_ends(netlist, plan):
        net = names.net(bus, index)
        yield f"- {net}\n"
        yield from (f"  ( PIN {port} )\n" for port in ports.get(bus, ()))
        yield from (f"  ( {instances[end.component]} {_pin_name(end, plan, net)} )\n" for end in ends)
        yield from _wires(ends, plan)
        yield "  ;\n"
    yield "END NETS\n"


def _pin_name(end: End, plan: Floorplan, net: str) -> str:
    """A block's port is called like its net."""
    if plan.components[end.component].kind == "block":
        return net
    return f"{end.pin[:3]}[{end.pin[3:]}]"


def _wires(ends: Iterable[End], plan: Floorplan) -> Iterator[str]:
    """A wire inside every pin, from its lower to its upper edge."""
    for number, end in enumerate(ends):
        component = plan.components[end.component]
        x0, y0, _, y1 = _square(component, (end.x, end.y))
        x, start = component.x + x0 + _PIN // 2, "NEW" if number else "+ ROUTED"
        yield f"  {start} M1 ( {x} {component.y + y0} 0 ) ( {x} {component.y + y1} 0 )\n"
