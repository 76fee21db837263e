"""Placement: components in rows on a square die, by an engine behind one interface.

`coloquinte` (PyPI) minimises the wire length. If it finds no room for all components, it gets a die that is a tenth
larger, twice. Without it, or if it fails, the result is the netlist order in rows ("shelves"). The result is checked
for overlaps.

`coloquinte` (PyPI) minimises the wire length. Where it finds no room for all components, it gets a die with a tenth
more, twice; without it, or for what it cannot do, shelves in netlist order are the result. Legality is checked here and
not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gscompile.command_options import Engine, PlacementOptions
from gscompile.crossbars.netlist import Netlist
from gscompile.declaration import declarations
from gscompile.errors import UsageError
from gscompile.hardware.components import FILL, empty_plan, net_ends, pad
from gscompile.hardware.floorplan import Component, Floorplan, overlaps
from gscompile.hardware.target import Target

NetPins = Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]]  # (components, x offsets, y offsets) a net
_DIE_SCALES = (1.0, 1.1, 1.21)  # times the die area that `fill` asks for
PlacementEngine = Callable[[Floorplan, NetPins, int], tuple[Component, ...]]


@dataclass(frozen=True)
class PlaceOptions:
    """`engine` is auto (coloquinte where it is installed), coloquinte or shelves; `effort` is 1 to 9.

    `fill` is the share of the die that components fill. With `route_seconds`, nextpnr-generic searches for the channel
    width afterwards, for at most that many seconds.
    """

    engine: Engine = PlacementOptions.engine
    effort: int = 3
    fill: float = FILL
    route_seconds: int = PlacementOptions.route_seconds


def place(netlist: Netlist, target: Target, options: PlaceOptions | None = None) -> Floorplan:
    """Place a netlist on a die that is about square. Raises UsageError for an unknown engine."""
    options = options or PlaceOptions()
    engine = _engine(options.engine)
    plans = [empty_plan(netlist, target, options.fill / room) for room in _DIE_SCALES]
    if engine is None or len(plans[0].components) < 2:
        return plans[0]
    found = (_placed(netlist, plan, engine, options.effort) for plan in plans)
    return next((plan for plan in found if plan is not None), plans[0])


def _placed(netlist: Netlist, plan: Floorplan, engine: PlacementEngine, effort: int) -> Floorplan | None:
    """Return the engine's placement, or the plan if that is no better; None if the components do not fit."""
    try:
        placed = replace(plan, components=engine(plan, _pins(netlist, plan), effort), engine="coloquinte")
    except RuntimeError:
        return None
    worse = overlaps(placed) or wire_length(netlist, placed) > wire_length(netlist, plan)
    return plan if worse else placed


def _engine(name: str) -> PlacementEngine | None:
    declarations(PlacementOptions)["engine"].check(name)
    if name == "shelves":
        return None
    try:
        from gscompile.placement.coloquinte_engine import run
    except ImportError:
        if name == "coloquinte":
            raise UsageError("placement: coloquinte is not installed; pip install coloquinte") from None
        return None
    return run


def _pins(netlist: Netlist, plan: Floorplan) -> NetPins:
    found = []
    for _, _, ends in net_ends(netlist, plan):
        if len(ends) > 1:
            found.append(([e.component for e in ends], [e.x for e in ends], [e.y for e in ends]))
    return found


# -- what a placement is worth -----------------------------------------------------------------------------


def net_boxes(netlist: Netlist, plan: Floorplan) -> tuple[list[tuple[str, int]], NDArray[np.int64]]:
    """Return (bus, index) of every net, and its bounding box [nets, 4] as x0, y0, x1, y1 in nm.

    Pads of ports are included.
    """
    pads = {port.bus: pad(plan, port, netlist.ports) for port in netlist.ports}
    names, boxes = [], []
    for bus, index, ends in net_ends(netlist, plan):
        points = [(plan.components[e.component].x + e.x, plan.components[e.component].y + e.y) for e in ends]
        points += [pads[bus]] if bus in pads else []
        if points:
            xs, ys = zip(*points, strict=True)
            names.append((bus, index))
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
    return names, np.array(boxes, np.int64).reshape(-1, 4)


def wire_length(netlist: Netlist, plan: Floorplan) -> int:
    """Return half the perimeter of every net's bounding box, summed, in nm (HPWL)."""
    _, boxes = net_boxes(netlist, plan)
    return int((boxes[:, 2:] - boxes[:, :2]).sum())
