"""A matrix solved for from pairs: as far as pairs that were held out agree."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.compensation.layer_fit import LayerFit, Pairs, joined, regular

RNG = np.random.default_rng(0)
TRUTH = np.array([[2.0, 0.0], [0.0, -1.0]])


def pairs(samples: int = 64, noise: float = 0.0) -> Pairs:
    x = RNG.standard_normal((samples, 2)).astype(np.float32)
    y = (x @ TRUTH + 5 + noise * RNG.standard_normal((samples, 2))).astype(np.float32)
    return Pairs(x, y, np.arange(samples) % 4)


def test_a_matrix_and_its_bias_are_found_from_another() -> None:
    found = LayerFit(np.eye(2), np.eye(2)).solved(pairs(), np.eye(2), np.zeros(2))
    assert found is not None
    np.testing.assert_allclose(found[0][0], TRUTH, atol=0.01)
    np.testing.assert_allclose(found[1], [5.0, 5.0], atol=0.01)


def test_two_factors_keep_the_direction_that_matters() -> None:
    found = LayerFit(np.eye(2), np.eye(2), rank=1).solved(pairs(), np.eye(2), np.zeros(2))
    assert found is not None
    (u, v), _ = found
    np.testing.assert_allclose(u @ v, [[2.0, 0.0], [0.0, 0.0]], atol=0.3)  # 2 x0 counts four times what x1 does


def test_a_solution_that_does_no_good_to_the_last_fold_is_not_taken() -> None:
    """The weights that are there are right for the last fold; the other folds say the opposite."""
    seen = pairs()
    turned = Pairs(seen.x, np.where(seen.fold[:, None] == 3, seen.y, -seen.y), seen.fold)
    assert LayerFit(TRUTH, np.eye(2)).solved(turned, TRUTH, np.array([5.0, 5.0])) is None


def test_one_fold_holds_nothing_out() -> None:
    seen = pairs().of([0])
    assert LayerFit(np.eye(2), np.eye(2)).solved(seen, np.eye(2), np.zeros(2)) is None


def test_the_error_is_weighed_by_the_curvature() -> None:
    seen = Pairs(np.ones((2, 1), np.float32), np.zeros((2, 2), np.float32), np.arange(2))
    fit = LayerFit(np.zeros((1, 2)), np.diag([1.0, 3.0]))
    assert fit.error(seen, np.array([[1.0, 1.0]]), np.array([0.0, 1.0])) == pytest.approx(1 + 3 * 4)


def test_pairs_of_batches_are_joined_in_order() -> None:
    seen = pairs(8)
    halves = joined([seen.of([0, 1]), seen.of([2, 3])])
    assert halves.folds == [0, 1, 2, 3]
    assert len(halves.x) == 8


def test_no_output_is_worth_nothing() -> None:
    assert regular(np.diag([2.0, 0.0])).tolist() == [[2.001, 0.0], [0.0, 0.001]]
    assert np.linalg.eigvalsh(regular(np.zeros((3, 3)))).min() > 0
