"""How near values come to the original's, computed in the head."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.scoring.explained_variance import Closeness


def share(ours: object, theirs: object, tolerance: float = 0.0) -> float:
    closeness = Closeness()
    closeness.add(np.asarray(ours, np.float32), np.asarray(theirs, np.float32))
    return closeness.share(tolerance)


def test_the_share_is_of_what_samples_differ_by() -> None:
    assert share([[0.0], [3.0]], [[0.0], [4.0]]) == 0.875  # error 1, squares about the mean 4 + 4
    assert share([[0.0], [4.0]], [[0.0], [4.0]]) == 1


def test_an_output_that_is_always_the_same_explains_nothing_however_near_it_is() -> None:
    theirs = [[100.0, -100.0], [100.1, -100.1]]
    assert share([[100.05, -100.05]] * 2, theirs, tolerance=0.1) == pytest.approx(0)


def test_values_within_the_tolerance_of_what_an_entry_varies_by_are_unchanged() -> None:
    theirs = [[0.0, 7.0], [10.0, 7.0]]
    assert share([[0.1, 7.0], [10.0, 7.1]], theirs, tolerance=0.011) == 1
    assert share([[0.1, 7.0], [10.0, 7.2]], theirs, tolerance=0.011) == pytest.approx(1 - 0.05 / 50, abs=1e-6)


def test_batches_and_their_sizes_make_no_difference() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.standard_normal((7, 3, 2)) + 1000
    ours = theirs + 0.1 * rng.standard_normal((7, 3, 2))
    whole, parts = Closeness(), Closeness()
    whole.add(ours, theirs)
    for rows in (slice(0, 1), slice(1, 5), slice(5, 7)):
        parts.add(ours[rows], theirs[rows])
    assert parts.share(0) == pytest.approx(whole.share(0), rel=1e-9)
    assert 0.9 < parts.share(0) < 1


def test_a_single_sample_is_compared_with_its_own_mean() -> None:
    assert share([[0.0, 1.0]], [[0.0, 2.0]]) == 0.5  # error 1, squares about 1: 1 + 1


def test_samples_of_several_shapes_are_compared_with_their_like() -> None:
    closeness = Closeness()
    for sample in ([[0.0]], [[2.0]], [[5.0, 5.0]]):
        closeness.add(np.array(sample), np.array(sample) if len(sample[0]) == 1 else np.array([[5.0, 6.0]]))
    assert closeness.share(0) == pytest.approx(0.5)  # error 1 beside squares of 1 + 1


def test_what_is_not_finite_has_to_be_the_same() -> None:
    theirs = [[np.inf], [np.nan], [1.0], [2.0]]
    assert share(theirs, theirs) == 1
    assert share([[np.nan], [np.nan], [1.0], [2.0]], theirs) == 0
    assert share([[np.inf], [np.nan], [np.nan], [2.0]], theirs, tolerance=0.5) == 0
