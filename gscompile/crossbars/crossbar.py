"""Crossbar sizes, and how a matrix is cut into tiles that fit one.

A row of a tile is an input (word line), a column an output (bit line). A *row group* is one row of one tile
and costs one incoming wire where it holds a weight; a *column group* is one column of one tile and costs one
outgoing wire (Group Scissor, DAC 2017, section 3.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gscompile.errors import UsageError

Tiling = Literal["full", "equal"]


@dataclass(frozen=True)
class Crossbar:
    """The largest array there is: `rows` word lines by `cols` bit lines.

    >>> Crossbar.parse("64x32")
    Crossbar(rows=64, cols=32)
    """

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise UsageError(f"crossbar size {self.rows}x{self.cols}: rows and columns must be at least 1")

    @classmethod
    def parse(cls, text: str) -> Crossbar:
        """Read `ROWSxCOLS`. Raises UsageError for anything else."""
        match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text.strip().lower(), re.ASCII)
        if match is None:
            raise UsageError(f"crossbar size {text!r}: write ROWSxCOLS, as in 64x64")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`.

    >>> largest_divisor(800, 64), largest_divisor(67, 64)
    (50, 1)
    """
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)


def _step(length: int, limit: int, tiling: Tiling) -> int:
    """Return the distance between two cuts of a dimension."""
    return limit if tiling == "full" or length == 0 else largest_divisor(length, limit)


def _edges(length: int, limit: int, tiling: Tiling) -> tuple[int, ...]:
    """Where a dimension is cut, both ends included; a dimension of 0 has no tiles."""
    step = _step(length, limit, tiling)
    return (*range(0, length, step), length) if length else (0,)


@dataclass(frozen=True)
class Occupancy:
    """The part of a tiled matrix that is built: its tiles, the live rows and columns of each, cells and wires.

    `rows` [inputs, tile columns] tells which row groups hold a weight, `cols` [tile rows, outputs] which
    column groups do; `live_rows` and `live_cols` [tile rows, tile columns] count them per tile.
    """

    rows: NDArray[np.bool_]
    cols: NDArray[np.bool_]
    live_rows: NDArray[np.int64]
    live_cols: NDArray[np.int64]

    @cached_property
    def wires(self) -> int:
        """Pin connections: a wire for every live row and every live column of every tile."""
        return int(self.live_rows.sum() + self.live_cols.sum())

    @cached_property
    def cells(self) -> int:
        """Cells that are built: live rows x live columns, over all tiles."""
        return int((self.live_rows * self.live_cols).sum())

    @cached_property
    def tiles(self) -> int:
        """Tiles that hold at least one weight."""
        return int(np.count_nonzero(self.live_rows))


@dataclass(frozen=True)
class TileGrid:
    """A matrix [inputs, outputs] cut into tiles of at most `crossbar.rows` x `crossbar.cols`.

    `full` tiling takes whole crossbars and leaves a smaller remainder; `equal` takes the largest divisors of
    the dimensions that fit, so that all tiles are alike (the paper's rule).

    >>> TileGrid(800, 500, Crossbar(64, 64)).shape
    (13, 8)
    >>> TileGrid(800, 500, Crossbar(64, 64), "equal").wires
    16000
    """

    inputs: int
    outputs: int
    crossbar: Crossbar
    tiling: Tiling = "full"

    @cached_property
    def row_edges(self) -> tuple[int, ...]:
        return _edges(self.inputs, self.crossbar.rows, self.tiling)

    @cached_property
    def col_edges(self) -> tuple[int, ...]:
        return _edges(self.outputs, self.crossbar.cols, self.tiling)

    @property
    def row_slices(self) -> tuple[slice, ...]:
        return tuple(slice(a, b) for a, b in pairwise(self.row_edges))

    @property
    def col_slices(self) -> tuple[slice, ...]:
        return tuple(slice(a, b) for a, b in pairwise(self.col_edges))

    @property
    def shape(self) -> tuple[int, int]:
        """Tile rows, tile columns."""
        sides = (self.inputs, self.crossbar.rows), (self.outputs, self.crossbar.cols)
        down, across = (-(-length // _step(length, limit, self.tiling)) for length, limit in sides)
        return down, across

    @property
    def tiles(self) -> int:
        """Tiles of the dense matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def wires(self) -> int:
        """Wires of the dense matrix: every tile's rows and columns."""
        down, across = self.shape
        return self.inputs * across + self.outputs * down

    @property
    def cells(self) -> int:
        """Cells of the dense matrix."""
        return self.inputs * self.outputs

    def occupancy(self, weights: NDArray[np.generic]) -> Occupancy:
        """Which groups of `weights` [inputs, outputs] hold a weight (anything that is not zero)."""
        alive = np.asarray(weights != 0)
        if not self.tiles:
            return _nothing(self)
        if alive.all():
            return _everything(self)
        rows = np.logical_or.reduceat(alive, self.col_edges[:-1], axis=1)
        cols = np.logical_or.reduceat(alive, self.row_edges[:-1], axis=0)
        live_rows = np.add.reduceat(rows.astype(np.int64), self.row_edges[:-1], axis=0)
        live_cols = np.add.reduceat(cols.astype(np.int64), self.col_edges[:-1], axis=1)
        return Occupancy(rows, cols, live_rows, live_cols)


def _everything(grid: TileGrid) -> Occupancy:
    down, across = grid.shape
    live_rows, live_cols = np.diff(grid.row_edges)[:, None], np.diff(grid.col_edges)[None]
    rows, cols = np.ones((grid.inputs, across), bool), np.ones((down, grid.outputs), bool)
    return Occupancy(rows, cols, *(np.broadcast_to(live, (down, across)) for live in (live_rows, live_cols)))


def _nothing(grid: TileGrid) -> Occupancy:
    down, across = grid.shape
    none = np.zeros((down, across), np.int64)
    return Occupancy(np.zeros((grid.inputs, across), bool), np.zeros((down, grid.outputs), bool), none, none)
