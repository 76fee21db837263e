"""Describe a crossbar's size, and cut a matrix into tiles that fit it.

A row of a tile is an input (word line), a column an output (bit line). A *row group* is one row of one tile
and costs one incoming wire if it holds a weight; a *column group* is one column of one tile and costs one
outgoing wire (Group Scissor, DAC 2017, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.size import Crossbar, Tiling

__all__ = ["Crossbar", "Occupancy", "TileGrid", "Tiling", "largest_divisor"]


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of `number` that is at most `limit`.

    >>> largest_divisor(800, 64), largest_divisor(67, 64)
    (50, 1)
    """
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)


def _step(length: int, limit: int, tiling: Tiling) -> int:
    """Return the distance between two cuts of a dimension."""
    return limit if tiling == "full" or length == 0 else largest_divisor(length, limit)


def _edges(length: int, limit: int, tiling: Tiling) -> tuple[int, ...]:
    """Return the positions at which a dimension is cut, both ends included; a dimension of 0 has no tiles."""
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
        """Return the number of pins: a wire for every live row and every live column of every tile."""
        return int(self.live_rows.sum() + self.live_cols.sum())

    @cached_property
    def cells(self) -> int:
        """Return the number of cells that are built: live rows times live columns, over all tiles."""
        return int((self.live_rows * self.live_cols).sum())

    @cached_property
    def tiles(self) -> int:
        """Return the number of tiles that hold at least one weight."""
        return int(np.count_nonzero(self.live_rows))


@dataclass(frozen=True)
class TileGrid:
    """A matrix [inputs, outputs] cut into tiles of at most `crossbar.rows` x `crossbar.cols`.

    `full` tiling takes whole crossbars and leaves a smaller remainder; `equal` tiling takes the largest divisors of
    the dimensions that fit, so that all tiles have one size (the paper's rule).

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
        """Return the number of tile rows and of tile columns."""
        sides = (self.inputs, self.crossbar.rows), (self.outputs, self.crossbar.cols)
        down, across = (-(-length // _step(length, limit, self.tiling)) for length, limit in sides)
        return down, across

    @property
    def tiles(self) -> int:
        """Return the number of tiles of the dense matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def wires(self) -> int:
        """Return the number of wires of the dense matrix: all rows and columns of every tile."""
        down, across = self.shape
        return self.inputs * across + self.outputs * down

    @property
    def cells(self) -> int:
        """Return the number of cells of the dense matrix."""
        return self.inputs * self.outputs

    def occupancy(self, weights: NDArray[np.generic]) -> Occupancy:
        """Return which row and column groups of `weights` [inputs, outputs] hold a nonzero weight."""
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
