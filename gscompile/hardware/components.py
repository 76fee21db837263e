"""From a netlist and a hardware description to components with a size: arrays and digital blocks.

All are as high as the largest array (the row height), so that they stand in rows. An array is as wide as its
live columns, or as its own area and its share of the periphery need; a block as its registers and its pins
need.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from gscompile.crossbars.netlist import Block, Netlist, Port
from gscompile.crossbars.nets import Nets
from gscompile.hardware.floorplan import NM2_PER_UM2, PARTS_OF_A_ROW, Component, Floorplan, shelves
from gscompile.hardware.target import Target

_RECENT = 4  # blocks whose pins are remembered: the buses of one lie one after the other
FILL = 0.7  # part of the die that is filled: the rest is room for the placer and the wires


class End(NamedTuple):
    """A pin on the chip: component number and offset from its lower left corner in nm; what it is for the
    name."""

    component: int
    x: int
    y: int
    pin: str


def row_height(target: Target) -> int:
    """Height of the largest array, nm."""
    return _pitch(target) * target.crossbar.rows


def _pitch(target: Target) -> int:
    return max(2, 2 * round(target.pitch_um * 500))  # even, so that the middle of a line is on the grid


def components(netlist: Netlist, target: Target) -> tuple[Component, ...]:
    """Arrays by matrix and then blocks, in netlist order, not placed yet."""
    return (*_arrays(netlist, target), *_blocks(netlist, target))


def _arrays(netlist: Netlist, target: Target) -> Iterator[Component]:
    found: dict[str, tuple[str, str, int, int]] = {}  # layer, matrix, rows, columns
    for matrix in netlist.matrices:
        for tile in matrix.tiles:
            layer, _, rows, cols = found.get(tile.array, (matrix.layer, "", 0, 0))
            alone = tile.array == tile.name and tile.array not in found
            down, across = tile.corner
            size = max(rows, down + len(tile.inputs)), max(cols, across + len(tile.outputs))
            found[tile.array] = (layer, matrix.name if alone else "", *size)
    for name, (layer, held, rows, cols) in found.items():
        yield replace(_array(name, layer, rows, cols, target), matrix=held)


def _array(name: str, layer: str, rows: int, cols: int, target: Target) -> Component:
    pitch, height = _pitch(target), row_height(target)
    built_cols = target.crossbar.cols if target.crossbar.fixed else cols
    built_rows = target.crossbar.rows if target.crossbar.fixed else rows
    extra = array_periphery_um2(built_rows, built_cols, target)
    cells = built_cols * pitch  # the array itself stands in the corner, its periphery beside it
    width = cells + _rounded_up(extra * NM2_PER_UM2 / height, pitch)
    return Component(
        name=name, kind="array", layer=layer, width=width, height=height, rows=rows, cols=cols, pitch=pitch
    )


def array_periphery_um2(rows: int, cols: int, target: Target) -> float:
    """Area of an array's converters: a DAC a row; a sample-and-hold a column; an ADC and a shift-and-add for
    every
    `columns_per_adc` columns begun (ISAAC, ISCA 2016). 0 without periphery numbers."""
    p = target.periphery
    if p is None:
        return 0.0
    converters = math.ceil(cols / p.columns_per_adc)
    lines = rows * p.dac_area_um2 + cols * p.sample_hold_area_um2
    return lines + converters * (p.adc_area_um2 + p.shift_add_area_um2)


def block_area_um2(inputs: int, outputs: int, target: Target) -> float:
    """Area of a digital block: a register for every signal, and one activation unit (ISAAC, table I)."""
    p = target.periphery
    if p is None:
        return 0.0
    signal_bytes = math.ceil(p.input_bits / 8)
    return (inputs + outputs) * signal_bytes * p.register_area_um2_per_byte + p.activation_area_um2


def _blocks(netlist: Netlist, target: Target) -> Iterator[Component]:
    nets = Nets(netlist)
    pitch, height = _pitch(target), row_height(target)
    for block in netlist.blocks:
        inputs = sum(len(nets.live(bus)) for bus in block.inputs)
        outputs = sum(len(nets.live(bus)) for bus in block.outputs)
        area = block_area_um2(inputs, outputs, target)
        for_pins = max(1, (inputs + outputs + 1) // 2) * max(2, round(target.routing.pitch_nm))
        width = _rounded_up(max(area * NM2_PER_UM2 / height, for_pins), pitch)
        yield Component(
            name=block.name, kind="block", layer=block.name, width=width, height=height, pins=inputs + outputs
        )


def _rounded_up(length: float, step: float) -> int:
    return math.ceil(math.ceil(length / step) * step)


# -- the die -----------------------------------------------------------------------------------------------


def empty_plan(netlist: Netlist, target: Target, fill: float = FILL) -> Floorplan:
    """The die and the components on it in netlist order, in rows from the bottom: the fallback, and the
    start."""
    parts, height = components(netlist, target), row_height(target)
    width = _die_width(parts, height, fill)
    placed = shelves(parts, width, height)
    rows = max(math.ceil(sum(c.width for c in parts) / width / fill), _rows(placed, height), 1)
    return Floorplan(width, rows * height, height, placed)


def _die_width(parts: Sequence[Component], height: int, fill: float) -> int:
    """Width of a die about square; no narrower than its widest component."""
    area = sum(c.width for c in parts) * height / fill
    widest = _rounded_up(max((c.width for c in parts), default=height), height / PARTS_OF_A_ROW)
    return max(math.ceil(math.sqrt(area)), widest, 1)


def _rows(placed: Sequence[Component], height: int) -> int:
    return max((c.y // height + 1 for c in placed), default=0)


def pad(plan: Floorplan, port: Port, ports: Sequence[Port]) -> tuple[int, int]:
    """Where a port is on the edge of the die: inputs on the left, outputs on the right, evenly spread."""
    side = [p for p in ports if p.direction == port.direction]
    y = (2 * side.index(port) + 1) * plan.height // (2 * len(side))
    return (0 if port.direction == "input" else plan.width), y


# -- what the nets join ------------------------------------------------------------------------------------


def net_ends(netlist: Netlist, plan: Floorplan) -> Iterator[tuple[str, int, list[End]]]:
    """Every net, bus by bus: bus, index, and its pins on arrays and blocks; ports are the caller's."""
    nets = Nets(netlist)
    offsets = lru_cache(maxsize=_RECENT)(lambda block: _pin_offsets(block, nets))
    for bus in netlist.buses:
        joined = netlist.ends[bus.name]
        blocks = [*joined.driving_blocks, *joined.reading_blocks]
        pins = dict(nets.pins(bus.name))
        for position, index in enumerate(nets.live(bus.name).tolist()):
            ends = [_array_end(plan, pin.tile.array, pin.side, pin.array_index) for pin in pins.get(index, ())]
            ends += [_block_end(plan, b.name, offsets(b)[bus.name] + position) for b in blocks]
            yield bus.name, index, ends


def _pin_offsets(block: Block, nets: Nets) -> dict[str, int]:
    """Number of the first pin of each bus of a block."""
    offsets, number = {}, 0
    for bus in (*block.inputs, *block.outputs):
        offsets[bus] = number
        number += len(nets.live(bus))
    return offsets


def _array_end(plan: Floorplan, array: str, side: str, index: int) -> End:
    number = plan.number[f"array:{array}"]
    component = plan.components[number]
    x, y = component.row_pin(index) if side == "row" else component.col_pin(index)
    return End(number, x, y, f"{side}{index}")


def _block_end(plan: Floorplan, block: str, pin: int) -> End:
    number = plan.number[f"block:{block}"]
    return End(number, *plan.components[number].block_pin(pin), f"pin{pin}")
