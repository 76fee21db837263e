"""Place several small tiles on one array, each with rows and columns of its own.

A row of an array is one wire, and so is a column: two tiles with a common row would read each other's inputs, and with
a common column add up their outputs. So tiles stand corner to corner, and an array holds as many as its rows and
columns allow: seven 9x1 filters of a depthwise convolution on 64x64. The cells between the corners are built but not
used: on a target that builds arrays to measure, tiles share one only where that takes no more area.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.netlist import Tile


@dataclass
class _OpenArray:
    """An array that is being filled: the rows and columns taken so far, and the tiles placed on it."""

    rows: int = 0
    cols: int = 0
    held: list[tuple[int, tuple[int, int]]] = field(default_factory=list)

    def takes(self, rows: int, cols: int, crossbar: Crossbar) -> bool:
        return self.rows + rows <= crossbar.rows and self.cols + cols <= crossbar.cols

    def put(self, number: int, rows: int, cols: int) -> None:
        self.held.append((number, (self.rows, self.cols)))
        self.rows, self.cols = self.rows + rows, self.cols + cols


Area = Callable[[int, int], float]  # um2 of an array of so many rows and columns


def pack(tiles: Sequence[Tile], crossbar: Crossbar, name: str, area: Area | None = None) -> list[Tile]:
    """Return the tiles in their order, placed on arrays by first fit decreasing.

    Shared arrays are named `name/shared0`, `name/shared1` and so on. A tile without a partner keeps an array of its
    own, and so do tiles whose shared array would take more `area` than their own arrays; without `area`, fewer arrays
    are always better.
    """
    packed = list(tiles)
    shared = [shelf for shelf in _fill(tiles, crossbar) if len(shelf.held) > 1 and _pays(shelf, tiles, area)]
    for number, shelf in enumerate(shared):
        for index, corner in shelf.held:
            packed[index] = replace(tiles[index], array=f"{name}/shared{number}", corner=corner)
    return packed


def _pays(shelf: _OpenArray, tiles: Sequence[Tile], area: Area | None) -> bool:
    if area is None:
        return True
    alone = sum(area(len(tiles[index].inputs), len(tiles[index].outputs)) for index, _ in shelf.held)
    return area(shelf.rows, shelf.cols) <= alone


def _fill(tiles: Sequence[Tile], crossbar: Crossbar) -> list[_OpenArray]:
    sizes = [(len(tile.inputs), len(tile.outputs)) for tile in tiles]
    order = sorted(range(len(tiles)), key=lambda n: -max(sizes[n][0] / crossbar.rows, sizes[n][1] / crossbar.cols))
    least = min((r for r, _ in sizes), default=0), min((c for _, c in sizes), default=0)
    done: list[_OpenArray] = []
    fillable: list[_OpenArray] = []
    for number in order:
        shelf = next((s for s in fillable if s.takes(*sizes[number], crossbar)), None)
        if shelf is None:
            shelf = _OpenArray()
            done.append(shelf)
            fillable.append(shelf)
        shelf.put(number, *sizes[number])
        if not shelf.takes(*least, crossbar):  # so that the search stays short
            fillable.remove(shelf)
    return done
