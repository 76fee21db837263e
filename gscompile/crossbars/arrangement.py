"""Arrange the inputs and outputs of a matrix among its tiles so that fewer wires are needed; any order can be wired.

A row of a tile needs a wire if it holds a weight in any of the tile's columns; a column likewise. The number of column
wires depends only on which rows share a row of tiles: it is the sum, over the rows of tiles, of the columns that are
live there. Gathering rows that are live in the same columns keeps it small (the connectivity of a hypergraph partition,
with tiles as parts of fixed size). Columns are gathered in the same way, independently of the rows.

The order starts from a greedy one, and pairs of rows are swapped between tiles while a swap saves a wire. Long sides
are cut into windows of some tiles each, after a sort that brings similar rows together; large windows keep the sorted
order, so that time grows linearly with the number of cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

Alive = NDArray[np.bool_]
Indices = NDArray[np.int64]
WINDOW_TILES = 16  # tiles among which rows are moved
SWAP_PASSES = 4
MAX_WINDOW_CELLS = 1 << 20  # cells of a window in which swaps are searched


def gathered(alive: Alive, edges: Sequence[int]) -> Indices:
    """Return an order of the rows of `alive` [n, m] for tiles cut at `edges` (0, ..., n) with few live columns each.

    Within a tile rows keep their order.

    >>> gathered(np.array([[1, 0], [0, 1], [1, 0], [0, 1]], bool), (0, 2, 4)).tolist()
    [0, 2, 1, 3]
    """
    start = alike(alive) if len(edges) - 1 > WINDOW_TILES else np.arange(len(alive))
    order = start.copy()
    for first in range(0, len(edges) - 1, WINDOW_TILES):
        cut = edges[first : first + WINDOW_TILES + 1]
        rows = start[cut[0] : cut[-1]]
        order[cut[0] : cut[-1]] = rows[_window(alive[rows], np.diff(cut))]
    for a, b in pairwise(edges):
        order[a:b].sort()
    return order


def column_wires(alive: Alive, edges: Sequence[int]) -> int:
    """Return the number of live columns of each row of tiles, summed over all tiles."""
    if len(edges) < 2:
        return 0
    return int(np.logical_or.reduceat(alive, edges[:-1], axis=0).sum())


def alike(alive: Alive) -> Indices:
    """Return the rows sorted by their live columns: coarsely by eighths of the columns first, then column by column."""
    coarse = np.array_split(alive, min(8, max(alive.shape[1], 1)), axis=1)
    key = np.concatenate([np.stack([c.any(axis=1) for c in coarse], 1), alive], axis=1)
    packed = ~np.packbits(key, axis=1)  # live rows first
    return np.asarray(np.lexsort(packed.T[::-1]), np.int64)


def _window(alive: Alive, sizes: NDArray[np.int64]) -> Indices:
    """Return the best of the given order, a sorted one and one filled tile by tile, improved by swaps."""
    edges = (0, *np.cumsum(sizes).tolist())
    small = alive.size <= MAX_WINDOW_CELLS
    orders = [np.arange(len(alive)), alike(alive), *([_filled(alive, sizes)] if small else [])]
    best = min(orders, key=lambda order: column_wires(alive[order], edges))
    if not small:
        return best
    tile = np.empty(len(alive), np.int64)
    tile[best] = np.repeat(np.arange(len(sizes)), sizes)
    return np.argsort(_swapped(alive, tile, len(sizes)), kind="stable")


def _filled(alive: Alive, sizes: NDArray[np.int64]) -> Indices:
    """Fill one tile after the other: with the fullest row, then with the row that adds the fewest columns.

    Of rows that add equally few columns the fullest is taken.
    """
    order, free, full = list[int](), np.ones(len(alive), bool), alive.sum(axis=1)
    columns, most = np.ascontiguousarray(alive.T), alive.shape[1] + 1
    for size in sizes.tolist():
        new, end = full.copy(), len(order) + size
        covered = np.zeros(alive.shape[1], bool)
        while len(order) < end:
            rank = np.where(free, new * most - full if covered.any() else -full, most * most)
            first = int(np.argmin(rank))
            same = np.flatnonzero(free & (new == 0)) if new[first] == 0 else [first]
            picked = same[: end - len(order)]
            order += [int(row) for row in picked]
            free[picked] = False
            fresh = alive[first] & ~covered
            covered |= fresh
            new -= columns[fresh].sum(axis=0)
    return np.array(order)


def _swapped(alive: Alive, tile: Indices, tiles: int) -> Indices:
    """Swap rows of two tiles while a swap saves a column in some tile."""
    weight = alive.astype(np.float32)
    count = np.stack([weight[tile == t].sum(axis=0) for t in range(tiles)])
    for _ in range(SWAP_PASSES):
        swaps = [_swap(weight, tile, count, a, b) for a, b in combinations(range(tiles), 2)]
        if not any(swaps):
            break
    return tile


def _swap(weight: NDArray[np.float32], tile: Indices, count: NDArray[np.float32], a: int, b: int) -> bool:
    """Swap the best two rows of tiles `a` and `b`, where that saves a column; `count` [tiles, m] of alive rows.

    A row that leaves saves the columns that it alone keeps alive, and adds those that are new where it goes; where both
    rows are alive nothing changes.
    """
    last_a, last_b = count[a] == 1, count[b] == 1
    if not (last_a.any() or last_b.any()):
        return False
    rows, others = np.flatnonzero(tile == a), np.flatnonzero(tile == b)
    from_a, from_b = weight[rows], weight[others]
    saved_a = from_a @ (last_a.astype(np.float32) - (count[b] == 0))
    saved_b = from_b @ (last_b.astype(np.float32) - (count[a] == 0))
    if saved_a.max() + saved_b.max() <= 0:
        return False
    common = (from_a * (last_a.astype(np.float32) + last_b)) @ from_b.T
    saved = saved_a[:, None] + saved_b - common
    r, o = np.unravel_index(np.argmax(saved), saved.shape)
    if saved[r, o] <= 0:
        return False
    change = from_b[o] - from_a[r]
    count[a] += change
    count[b] -= change
    tile[rows[r]], tile[others[o]] = b, a
    return True
