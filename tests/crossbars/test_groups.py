"""Groups are blocks of a partition, and what they save is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.groups import GroupMember, Price, deleted, families, savings
from gscompile.crossbars.mapping import MapOptions
from tests.small_networks import network

M = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
TILES = MapOptions(Crossbar(2, 2))
NET = "g (float[n,3] x) => (float[n,4] y) <float[3,4] w> { y = MatMul (x, w) }"
TWO = "g (float[n,3] x) => (float[n,2] y) <float[3,4] a, float[4,2] b> { h = MatMul (x, a)  r = Relu (h)  y = MatMul (r, b) }"

SCORES = """g (float[n,5,3] x) => (float[n,5,5] y) <float[3,4] q, float[3,4] k> { a = MatMul (x, q)  b = MatMul (x, k)
    t = Transpose <perm = [0,2,1]> (b)  y = MatMul (a, t) }"""


def member(rows: list[int], cols: list[int]) -> GroupMember:
    return GroupMember("w", 0, np.array(rows), np.array(cols))


def test_row_groups_of_tiles_are_summed_tile_by_tile() -> None:
    rows = member([0, 1, 2], [0, 0, 1, 1])
    assert rows.shape == (3, 2)
    assert rows.total(M).tolist() == [[3, 7], [11, 15], [19, 23]]


def test_column_groups_and_units_are_summed_too() -> None:
    assert member([0, 0, 1], [0, 1, 2, 3]).total(M).tolist() == [[6, 8, 10, 12], [9, 10, 11, 12]]
    assert member([0, 0, 0], [0, 0, 1, 1]).total(M).tolist() == [[33, 45]]  # units of two columns
    assert member([0, 1, 0], [0, 0, 0, 0]).total(M).tolist() == [[52], [26]]  # a unit whose rows are apart


def test_chosen_groups_are_spread_over_their_cells() -> None:
    spread = member([0, 1, 2], [0, 0, 1, 1]).spread(np.array([0, 0, 0, 1, 1, 0], bool))
    assert spread.astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0]]


def test_a_row_group_saves_its_cells_and_one_wire() -> None:
    net = network(NET, w=M)
    rows, cols = families(net, TILES)
    assert (rows.kind, rows.size, cols.kind, cols.size) == ("row group", 6, "column group", 8)
    assert savings(net, rows, TILES, Price(1, 0)).tolist() == [2] * 6
    assert savings(net, rows, TILES, Price(0, 1)).tolist() == [1] * 6
    assert savings(net, cols, TILES, Price(1, 0)).tolist() == [2, 2, 2, 2, 1, 1, 1, 1]
    assert savings(net, cols, TILES, Price(0, 1)) == pytest.approx([1] * 8)


def test_what_is_deleted_already_saves_nothing() -> None:
    net = network(NET, w=np.where(np.arange(3)[:, None] == 1, 0, M))
    rows, _ = families(net, TILES)
    assert savings(net, rows, TILES, Price(1, 1)).tolist() == [3, 3, 0, 0, 3, 3]


def test_a_row_that_is_whole_saves_its_share_of_the_tiles_that_others_leave_behind() -> None:
    tall = "g (float[n,6] x) => (float[n,2] y) <float[6,2] w> { y = MatMul (x, w) }"
    rows, cols = families(network(tall), TILES)
    # 3 tiles of 2 rows and 2 columns: without 4 of the rows 2 tiles are gone, and so are 4 wires at columns
    assert savings(network(tall), rows, TILES, Price(0, 1)) == pytest.approx([1 + 4 / 6] * 6)
    assert savings(network(tall), cols, TILES, Price(0, 1)) == pytest.approx([1] * 6)  # no row moves
    (short, _) = families(network(tall), MapOptions(Crossbar(6, 2)))
    assert savings(network(tall), short, MapOptions(Crossbar(6, 2)), Price(0, 1)) == pytest.approx([1] * 6)


def test_a_unit_saves_its_column_and_its_row_with_all_their_wires() -> None:
    net = network(TWO)
    (unit,) = [family for family in families(net, TILES) if family.kind == "unit"]
    assert [m.layer for m in unit.members] == ["n0", "n2"]
    # column of a 3 x 4: 3 cells, a wire in each of 2 tiles; row of a 4 x 2: 2 cells, a wire in 1 tile
    assert savings(net, unit, TILES, Price(1, 0)).tolist() == [5] * 4
    # and as columns and rows move up, a quarter of the second column of tiles, 3 wires, and of the second row, 2
    assert savings(net, unit, TILES, Price(0, 1)) == pytest.approx([3 + 3 / 4 + 2 / 4] * 4)
    gone = deleted(net, {unit: np.array([False, True, False, False])})
    assert np.flatnonzero(gone["n0"].any(axis=(0, 1))).tolist() == [1]
    assert np.flatnonzero(gone["n2"].any(axis=(0, 2))).tolist() == [1]


def test_a_place_of_queries_and_keys_goes_from_both() -> None:
    net = network(SCORES)
    (unit,) = [family for family in families(net, TILES) if family.kind == "unit"]
    assert [m.layer for m in unit.members] == ["n0", "n1"]
    assert savings(net, unit, TILES, Price(1, 0)).tolist() == [6] * 4  # a column of 3 in each


def test_units_that_are_pinned_are_no_groups() -> None:
    assert {family.kind for family in families(network(NET), TILES)} == {"row group", "column group"}
    assert not any(family.kind == "unit" for family in families(network(TWO), TILES, units=False))
