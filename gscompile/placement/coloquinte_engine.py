"""The coloquinte placer, with lengths in hundredths of a row's height."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import coloquinte  # type: ignore[import-untyped,import-not-found,unused-ignore]

from gscompile.hardware.floorplan import PARTS_OF_A_ROW, Component, Floorplan


def run(
    plan: Floorplan, pins: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]], effort: int
) -> tuple[Component, ...]:
    """Return the components with new positions. `pins` are the components of each net and its pin offsets in nm.

    Raises RuntimeError where components do not fit into the rows of the die.
    """
    unit = plan.row_height / PARTS_OF_A_ROW
    circuit = coloquinte.Circuit(len(plan.components))
    circuit.cell_width = [math.ceil(c.width / unit) for c in plan.components]
    circuit.cell_height = [PARTS_OF_A_ROW] * len(plan.components)
    circuit.cell_x = [int(c.x / unit) for c in plan.components]
    circuit.cell_y = [c.y // plan.row_height * PARTS_OF_A_ROW for c in plan.components]
    for cells, xs, ys in pins:
        circuit.add_net(list(cells), [round(x / unit) for x in xs], [round(y / unit) for y in ys])
    rows = plan.height // plan.row_height
    area = coloquinte.Rectangle(0, math.floor(plan.width / unit), 0, rows * PARTS_OF_A_ROW)
    circuit.setup_rows(area, PARTS_OF_A_ROW, False, False)
    with _silence():
        circuit.place(effort)
    placed = zip(plan.components, circuit.cell_x, circuit.cell_y, strict=True)
    return tuple(_moved(component, x, y, plan, unit) for component, x, y in placed)


@contextmanager
def _silence() -> Iterator[None]:
    """Silence the engine, which prints its progress past Python on the standard output."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _moved(component: Component, x: int, y: int, plan: Floorplan, unit: float) -> Component:
    return replace(component, x=math.floor(x * unit), y=y // PARTS_OF_A_ROW * plan.row_height)
