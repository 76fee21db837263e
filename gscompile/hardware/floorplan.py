"""The places of components on the chip: rectangles in nanometres, lower left corner and size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

NM2_PER_UM2 = 1_000_000
PARTS_OF_A_ROW = 100  # unit of the placer: hundredths of a row's height, because it takes small whole numbers


@dataclass(frozen=True)
class Component:
    """An array or a digital block on the chip. `rows` and `cols` are an array's pins, `pins` a block's.

    Row k has its pin on the left edge, column k on the lower one, both in the middle of line k; a block's pins stand
    along the lower and the upper edge in turn. `matrix` is that of the tile on the array, "" if several tiles share it.
    """

    name: str
    kind: Literal["array", "block"]
    layer: str
    width: int
    height: int
    rows: int = 0
    cols: int = 0
    pins: int = 0
    pitch: int = 0
    matrix: str = ""
    x: int = 0
    y: int = 0

    @property
    def area_um2(self) -> float:
        """Return the area of the component."""
        return self.width * self.height / NM2_PER_UM2

    def row_pin(self, row: int) -> tuple[int, int]:
        """Return the offset of a row's pin from the lower left corner, nm."""
        return 0, row * self.pitch + self.pitch // 2

    def col_pin(self, col: int) -> tuple[int, int]:
        """Return the offset of a column's pin from the lower left corner, nm."""
        return col * self.pitch + self.pitch // 2, 0

    def block_pin(self, number: int) -> tuple[int, int]:
        """Return the offset of a block's pin from the lower left corner, nm."""
        places = (self.pins + 1) // 2
        x = (2 * (number // 2) + 1) * self.width // (2 * places)
        return x, self.height if number % 2 else 0


@dataclass(frozen=True)
class Floorplan:
    """Components by number, on a die of `width` x `height` nm with rows of `row_height` nm.

    `number` finds a component by kind and name, as arrays and blocks may share a name: `block:NAME`.
    """

    width: int
    height: int
    row_height: int
    components: tuple[Component, ...]
    engine: str = "shelves"
    number: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = {key_of(c.kind, c.name): i for i, c in enumerate(self.components)}
        object.__setattr__(self, "number", numbers)

    @property
    def die_um2(self) -> float:
        """Return the area of the die."""
        return self.width * self.height / NM2_PER_UM2

    @property
    def utilisation(self) -> float:
        """Return the share of the die that components cover."""
        return sum(c.area_um2 for c in self.components) / self.die_um2 if self.components else 0.0

    def component(self, kind: Literal["array", "block"], name: str) -> Component:
        """Return the component of that name. Raises KeyError for an unknown name."""
        return self.components[self.number[key_of(kind, name)]]


def key_of(kind: str, name: str) -> str:
    """Return the key of a component in `Floorplan.number`: its kind and its name, as in `block:NAME`."""
    return f"{kind}:{name}"


def shelves(components: Sequence[Component], width: int, row_height: int) -> tuple[Component, ...]:
    """Return the components side by side in their order, in rows of `width` nm, every second row from right to left.

    The order of the netlist is the order of the layers, so neighbours in it are neighbours on the chip.
    """
    placed: list[Component] = []
    for row, shelf in enumerate(_filled(components, width)):
        x = 0
        for component in shelf if row % 2 == 0 else reversed(shelf):
            placed.append(replace(component, x=x, y=row * row_height))
            x += component.width
    by_key = {key_of(c.kind, c.name): c for c in placed}
    return tuple(by_key[key_of(c.kind, c.name)] for c in components)


def _filled(components: Sequence[Component], width: int) -> Iterator[list[Component]]:
    shelf: list[Component] = []
    used = 0
    for component in components:
        if shelf and used + component.width > width:
            yield shelf
            shelf, used = [], 0
        shelf.append(component)
        used += component.width
    if shelf:
        yield shelf


def overlaps(plan: Floorplan) -> list[tuple[str, str]]:
    """Return pairs of components that overlap, and (name, "die") for a component that leaves the die."""
    found = [(c.name, "die") for c in plan.components if _outside(plan, c)]
    by_row: dict[int, list[Component]] = {}
    for component in plan.components:
        by_row.setdefault(component.y, []).append(component)
    for row in by_row.values():
        row.sort(key=lambda c: c.x)
        found += [(a.name, b.name) for a, b in pairwise(row) if a.x + a.width > b.x]
    return found


def _outside(plan: Floorplan, c: Component) -> bool:
    inside = 0 <= c.x <= plan.width - c.width and 0 <= c.y <= plan.height - c.height
    return not inside or c.y % plan.row_height != 0
