"""Matrices are cut into tiles, and tiles, cells and wires are counted."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.crossbars.crossbar import Crossbar, TileGrid, Tiling, largest_divisor
from gscompile.errors import UsageError

sizes = st.integers(0, 70)
tilings = st.sampled_from(["full", "equal"])
LENET = [(25, 20), (500, 50), (800, 500), (500, 10)]
CONVNET = [(75, 32), (800, 32), (800, 64), (1024, 10)]


def totals(shapes: list[tuple[int, int]], tiling: Tiling = "full") -> tuple[int, int, int]:
    grids = [TileGrid(n, m, Crossbar(64, 64), tiling) for n, m in shapes]
    return sum(g.tiles for g in grids), sum(g.wires for g in grids), sum(g.cells for g in grids)


def test_lenet_takes_121_tiles_and_14425_wires() -> None:
    assert totals(LENET) == (1 + 8 + 13 * 8 + 8, 14_425, 430_500)


def test_convnet_takes_44_tiles_and_4171_wires() -> None:
    assert totals(CONVNET) == (2 + 13 + 13 + 16, 4_171, 89_440)


def test_equal_tiling_takes_the_largest_divisors() -> None:
    assert TileGrid(800, 500, Crossbar(64, 64), "equal").shape == (16, 10)  # tiles of 50 x 50
    assert TileGrid(67, 2, Crossbar(64, 64), "equal").shape == (67, 1)  # a prime falls apart into single rows
    assert TileGrid(64, 64, Crossbar(64, 64), "equal").shape == (1, 1)


def test_full_tiling_leaves_one_smaller_remainder() -> None:
    assert TileGrid(130, 5, Crossbar(64, 2)).row_edges == (0, 64, 128, 130)
    assert TileGrid(130, 5, Crossbar(64, 2)).col_edges == (0, 2, 4, 5)


def test_a_zero_row_costs_no_wire_and_no_cells() -> None:
    found = TileGrid(3, 4, Crossbar(2, 2)).occupancy(np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 2.0]]))
    assert (found.tiles, found.cells, found.wires) == (3, 1 + 2 + 1, 2 + 3 + 2)
    assert found.live_rows.tolist() == [[1, 0], [1, 1]]
    assert found.live_cols.tolist() == [[1, 0], [2, 1]]


def test_an_empty_matrix_has_no_tiles() -> None:
    found = TileGrid(0, 5, Crossbar(4, 4)).occupancy(np.zeros((0, 5)))
    assert (found.tiles, found.cells, found.wires) == (0, 0, 0)


@given(sizes, sizes, st.integers(1, 20), st.integers(1, 20), tilings)
def test_tiles_cover_every_cell_exactly_once(n: int, m: int, rows: int, cols: int, tiling: Tiling) -> None:
    grid = TileGrid(n, m, Crossbar(rows, cols), tiling)
    seen = np.zeros((n, m), int)
    for down, across in product(grid.row_slices, grid.col_slices):
        assert 0 < down.stop - down.start <= rows
        assert 0 < across.stop - across.start <= cols
        seen[down, across] += 1
    assert (seen == 1).all()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20), st.integers(1, 20), tilings, st.integers(0, 9))
def test_counts_equal_plain_arithmetic(n: int, m: int, rows: int, cols: int, tiling: Tiling, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((n, m)) * (rng.random((n, m)) > 0.8)
    grid = TileGrid(n, m, Crossbar(rows, cols), tiling)
    tiles = cells = wires = 0
    for down, across in product(grid.row_slices, grid.col_slices):
        alive = weights[down, across] != 0
        high, wide = int(alive.any(1).sum()), int(alive.any(0).sum())
        tiles, cells, wires = tiles + (high > 0), cells + high * wide, wires + high + wide
    found = grid.occupancy(weights)
    assert (found.tiles, found.cells, found.wires) == (tiles, cells, wires)


@given(st.integers(1, 500), st.integers(1, 100))
def test_the_largest_divisor_divides_and_no_larger_one_does(number: int, limit: int) -> None:
    found = largest_divisor(number, limit)
    assert number % found == 0
    assert found <= limit
    assert all(number % d for d in range(found + 1, min(number, limit) + 1))


@pytest.mark.parametrize(
    "text", ["64", "0x64", "64x0", "64x-1", "x", "", "64x64x64", "6.4x64", "64 x 64", "٣x٣", "1e3x4"]
)
def test_a_size_that_is_none_is_refused_with_the_size(text: str) -> None:
    with pytest.raises(UsageError, match="crossbar size"):
        Crossbar.parse(text)


def test_a_size_is_read_as_it_is_printed() -> None:
    assert Crossbar.parse(" 128X64 ") == Crossbar(128, 64)
    assert str(Crossbar(128, 64)) == "128x64"
