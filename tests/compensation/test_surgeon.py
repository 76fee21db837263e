"""Rows that are deleted while others take over their work: prices after compensation."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.compensation.surgeon import INPUT_RIDGE, compensated, deletions

COPIES = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # inputs 0 and 1 are the same


def test_a_copy_takes_over_all_the_work() -> None:
    found = compensated(np.array([[2.0], [3.0], [1.0]]), COPIES, np.array([True, False, False]))
    np.testing.assert_allclose(found, [[0.0], [5.0], [1.0]], atol=1e-2)


def test_one_copy_is_free_and_the_other_costs_what_both_do() -> None:
    found = deletions(np.array([[2.0], [3.0], [1.0]]), COPIES, np.eye(1), np.arange(3), 3)
    assert found.order[0] in (0, 1)
    assert found.loss[1] == pytest.approx(0.0, abs=0.02)
    assert found.order[1] == 2  # 1² = 1, where the copy that is left is worth (2 + 3)² = 25
    assert found.loss[2:] == pytest.approx([1.0, 26.0], rel=0.01)


def test_independent_rows_cost_their_squares() -> None:
    found = deletions(np.array([[3.0], [1.0], [2.0]]), np.eye(3), np.eye(1), np.arange(3), 3)
    assert found.order.tolist() == [1, 2, 0]
    np.testing.assert_allclose(found.loss, (1 + INPUT_RIDGE) * np.array([0.0, 1.0, 5.0, 14.0]))


def test_rows_of_a_group_go_together() -> None:
    found = deletions(np.array([[1.0], [1.0], [1.2]]), np.eye(3), np.eye(1), np.array([0, 0, 1]), 2)
    assert found.order.tolist() == [1, 0]  # 1.44 against 1 + 1


def test_the_curvature_tells_which_output_matters() -> None:
    weights = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert deletions(weights, np.eye(2), np.diag([9.0, 1.0]), np.arange(2), 2).order.tolist() == [1, 0]
    assert deletions(weights, np.eye(2), np.diag([1.0, 1.0]), np.arange(2), 2).order.tolist() == [0, 1]


def test_a_row_of_no_group_stays() -> None:
    found = deletions(np.array([[1.0], [5.0]]), np.eye(2), np.eye(1), np.array([0, -1]), 1)
    assert found.order.tolist() == [0]
