"""Ridge regression towards what is there: as far as held-out samples say that it helps."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.compensation.moments import PairMoments
from gscompile.compensation.ridge import STRENGTHS, best_strength, ridge, ridge_path

TRUTH = np.array([[2.0], [-1.0]])
PRIOR = np.array([[1.0], [1.0]])


def folds(samples: int, noise: float, seed: int = 0) -> list[PairMoments]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, samples, 2))
    return [PairMoments.of(part, part @ TRUTH + 5 + noise * rng.standard_normal((samples, 1))) for part in x]


def test_the_path_leads_from_least_squares_to_the_prior() -> None:
    centred = folds(50, noise=0.0)[0].centred()
    loose, tight = ridge_path(centred, PRIOR, [1e-9, 1e9])
    np.testing.assert_allclose(loose, TRUTH, atol=1e-6)
    np.testing.assert_allclose(tight, PRIOR, atol=1e-6)


def test_half_way_of_one_direction() -> None:
    moments = PairMoments.of(np.array([[-1.0], [1.0]]), np.array([[-3.0], [3.0]]))  # y = 3 x, E[x x] = 1
    (found,) = ridge_path(moments.centred(), np.array([[1.0]]), [1.0])
    assert found.item() == pytest.approx(2.0)  # strength 1 of a mean diagonal of 1: half of the way from 1 to 3


def test_what_samples_say_is_learned_with_its_bias() -> None:
    solved_on, tested_on, *_ = folds(50, noise=0.0)
    strength = best_strength(solved_on, tested_on, PRIOR, np.eye(1))
    assert strength == STRENGTHS[0]
    weights, bias = ridge(solved_on, PRIOR, strength)
    np.testing.assert_allclose(weights, TRUTH, atol=1e-3)
    assert bias.item() == pytest.approx(5.0, abs=1e-3)


def test_noise_leaves_the_prior_where_it_is() -> None:
    """8 samples that have nothing to do with the 30 inputs: a strong ridge, or no solve, does least harm to others."""
    rng = np.random.default_rng(1)
    solved_on, tested_on = (
        PairMoments.of(rng.standard_normal((8, 30)), rng.standard_normal((8, 100))) for _ in range(2)
    )
    strength = best_strength(solved_on, tested_on, np.zeros((30, 100)), np.eye(100))
    weights, _ = ridge(solved_on, np.zeros((30, 100)), strength)
    assert np.abs(weights).max() < 0.05


def test_constant_samples_change_no_weight() -> None:
    same = PairMoments.of(np.ones((8, 2)), np.full((8, 1), 4.0))
    assert best_strength(same, same, PRIOR, np.eye(1)) is None
    weights, bias = ridge(same, PRIOR, None)
    assert weights.tolist() == PRIOR.tolist()
    assert bias.item() == pytest.approx(2.0)  # 4 - (1 + 1)


def test_no_strength_is_the_prior() -> None:
    weights, bias = ridge(folds(50, noise=0.0)[0], PRIOR, None)
    assert weights.tolist() == PRIOR.tolist()
    assert abs(bias.item() - 5.0) < 1.5  # 5 and what the prior is off by at the mean of the inputs
