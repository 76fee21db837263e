"""Rows of tiles that are deleted while others take over their work: prices, order, and what is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gscompile.compensation.surgeon import deletions
from gscompile.compensation.tile_rows import RowDeletions, price_within, priced_rows, row_order, without_rows
from gscompile.compression.moments import Moments
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import MapOptions, footprint
from tests.small_networks import network

COPIES = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # inputs 0 and 1 are the same
WEIGHTS = np.array([[2.0, 1.0], [3.0, 1.0], [0.5, 2.0]])
EVERY = np.ones(3, bool)


def rows_of(order: list[int], losses: list[float], worth: list[float]) -> RowDeletions:
    return RowDeletions("w", 0, np.array([0, 1]), COPIES, np.array(order), np.array(losses), np.array(worth))


def test_rows_go_as_groups_of_one_row_do() -> None:
    rng = np.random.default_rng(0)
    x, w, y = rng.standard_normal((20, 6)), rng.standard_normal((6, 4)), rng.standard_normal((20, 4))
    found, losses = row_order(w, x.T @ x, y.T @ y, np.ones(6, bool))
    wanted = deletions(w, x.T @ x, y.T @ y, np.arange(6), 6)
    assert found == wanted.order.tolist()
    np.testing.assert_allclose(np.cumsum(losses), wanted.loss[1:])


def test_a_row_that_was_not_exercised_stays() -> None:
    order, _ = row_order(WEIGHTS, COPIES, np.eye(2), np.array([True, False, True]))
    assert sorted(order) == [0, 2]


def test_a_copy_takes_over_the_work_of_a_row() -> None:
    matrix = WEIGHTS.copy()
    rows_of([0], [0.0], [1.0]).delete(matrix, 1)
    np.testing.assert_allclose(matrix, [[0.0, 0.0], [5.0, 2.0], [0.5, 2.0]], atol=1e-2)


def test_the_price_is_the_highest_at_which_rows_lose_no_more_than_is_allowed() -> None:
    cheap, dear = rows_of([0, 1], [1.0, 4.0], [1.0, 1.0]), rows_of([2], [3.0], [1.0])
    price = price_within([cheap, dear], 4.5)
    assert price == pytest.approx(3.0)  # 1 and 3 go, and 4 would be too much
    assert [each.count(price) for each in (cheap, dear)] == [1, 1]
    assert price_within([cheap, dear], 0.5) == 0.0


def test_tiles_of_one_matrix_lose_rows_of_their_own() -> None:
    """Inputs 0 and 1 are the same. The outputs of the second tile do not read input 2, which is not theirs to lose."""
    weights = np.array([[1.0, 1, 1, 1], [1, 1, 1, 1], [9, 9, 9, 9]], np.float32)
    original = network("g (float[n,3] x) => (float[n,4] y) <float[3,4] w> { y = MatMul (x, w) }", w=weights)
    (layer,) = original.layers
    moments = {layer.name: Moments(COPIES[None], np.eye(4)[None])}
    mapping = MapOptions(Crossbar(4, 2))
    seen: list[Any] = []

    def error(_: Any, matrices: Any) -> float:
        seen.append(matrices)
        return 0.1

    rows = priced_rows(original, moments, mapping, Price(1.0, 1.0), error, frozenset())
    assert [each.cols.tolist() for each in rows] == [[0, 1], [2, 3]]
    smaller = without_rows(original, rows, price_within(rows, 0.02))
    assert footprint(smaller, mapping).wires < footprint(original, mapping).wires
    kept = smaller.matrices(layer.name)[0]
    np.testing.assert_allclose(np.array([1.0, 1, 1]) @ kept, np.array([1.0, 1, 1]) @ weights, rtol=1e-2)
    assert priced_rows(original, moments, mapping, Price(1.0, 1.0), error, frozenset({layer.origin})) == []
