"""The budget of a score: the lowest score, the standard error, and how many of them a score is short of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gscompile.scoring.score_budget import ScoreBudget


def test_a_score_at_the_limit_is_within_the_budget_and_rounding_does_not_matter() -> None:
    budget = ScoreBudget(base=91.3, max_drop=1.1)
    assert budget.met(91.3 - 1.1)
    assert budget.met(90.2)
    assert not budget.met(90.19)


def test_the_standard_error_is_that_of_a_score_at_the_limit() -> None:
    """90 % of 900 samples: sqrt(0.9 * 0.1 / 900) = 0.01."""
    budget = ScoreBudget.of(91.0, 1.0, 2.0, samples=900)
    assert budget.standard_error == pytest.approx(1.0)
    assert budget.min_score == pytest.approx(92.0)
    assert ScoreBudget.of(91.0, 1.0, 2.0, samples=900, is_exact=True).min_score == pytest.approx(90.0)


def test_a_score_is_below_by_standard_errors_from_where_a_recovery_is_expected_to_suffice() -> None:
    budget = ScoreBudget(base=91.0, max_drop=1.0, standard_error=0.5, tuning_loss=0.25)
    assert budget.recoverable_score == pytest.approx(89.75)
    assert not budget.below(89.3, n_errors=1)
    assert budget.below(89.2, n_errors=1)


def test_half_of_the_budget_is_left_to_later_passes() -> None:
    whole = ScoreBudget.of(91.0, 2.0, 1.0, samples=900)
    assert whole.half() == replace(whole, max_drop=1.0, margin=0.0)
    assert whole.half().standard_error == whole.standard_error


def test_without_a_limit_of_the_drop_every_score_is_within_the_budget() -> None:
    budget = ScoreBudget.of(91.0, float("inf"), samples=100)
    assert budget.met(0.0)
    assert budget.met_by_written(0.0, base=91.0)
