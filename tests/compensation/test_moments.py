"""Second moments of pairs: sums that add up, and errors that need no samples any more."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.compensation.moments import PairMoments

X = np.array([[1.0], [3.0]])
Y = np.array([[2.0], [8.0]])


def test_moments_are_sums_over_pairs_with_a_one_appended() -> None:
    found = PairMoments.of(X, Y)
    assert found.inputs.tolist() == [[10.0, 4.0], [4.0, 2.0]]
    assert found.cross.tolist() == [[26.0], [10.0]]
    assert found.targets.tolist() == [[68.0]]
    assert found.count == 2


def test_a_stream_gives_what_all_samples_give_at_once() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    streamed, whole = PairMoments.of(x[:4], y[:4]) + PairMoments.of(x[4:], y[4:]), PairMoments.of(x, y)
    np.testing.assert_allclose(streamed.inputs, whole.inputs)
    np.testing.assert_allclose((whole - PairMoments.of(x[:4], y[:4])).cross, PairMoments.of(x[4:], y[4:]).cross)


def test_centred_moments_are_about_the_means() -> None:
    centred = PairMoments.of(X, Y).centred()
    assert centred.inputs.tolist() == [[1.0]]  # 1 and 3 are 1 away from 2
    assert centred.cross.tolist() == [[3.0]]
    assert centred.bias(np.array([[3.0]])).tolist() == [-1.0]  # 5 - 3 * 2


def test_without_an_intercept_they_are_about_zero() -> None:
    centred = PairMoments.of(X, Y).centred(intercept=False)
    assert centred.inputs.tolist() == [[5.0]]
    assert centred.bias(np.array([[3.0]])).tolist() == [0.0]


@pytest.mark.parametrize(("bias", "error"), [(-1.0, 0.0), (0.0, 1.0), (1.0, 4.0)])
def test_the_error_is_that_of_the_samples(bias: float, error: float) -> None:
    found = PairMoments.of(X, Y).error(np.array([[3.0]]), np.array([bias]), np.eye(1))
    assert found == pytest.approx(error, abs=1e-12)


def test_a_part_has_the_moments_of_some_entries() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    part = PairMoments.of(x, y).part(np.array([True, False, True]), np.array([False, True]))
    np.testing.assert_allclose(part.cross, PairMoments.of(x[:, [0, 2]], y[:, 1:]).cross)
