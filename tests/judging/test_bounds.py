"""Bounds are tightened by what a round passed the bound by, and never past one that was kept."""

from __future__ import annotations

import math

import pytest

from gscompile.judging.bounds import Bounds


def test_the_next_bound_is_on_the_line_through_the_last_two() -> None:
    """Excess 4 at bound 1 and 2 at 1 / 4.4: the next bound follows the line through the two logarithms."""
    first = Bounds(1.0).after(4.0)
    assert first.bound == pytest.approx(1 / 4.4)
    shallow = first.after(2.0)  # error fell by the factor 2 where the bound fell by 4.4
    assert shallow.slope == pytest.approx(math.log(2) / math.log(4.4))
    assert shallow.bound == pytest.approx(first.bound / 2.2 ** (1 / shallow.slope))


def test_what_saves_nothing_or_leaves_much_to_spare_is_followed_by_a_bound_between() -> None:
    passed = Bounds(1.0).after(3.0)
    assert passed.after(0.0).bound == pytest.approx(math.sqrt(passed.bound))
    between = passed.after(0.4)
    assert (between.low, between.high) == (passed.bound, 1.0)
    assert between.after(5.0).bound > passed.bound
    assert between.after(0.9).is_done


def test_an_error_that_is_not_finite_is_followed_by_the_largest_step() -> None:
    assert Bounds(1.0).after(math.inf).bound == 1 / 8
    assert Bounds(1.0).after(math.inf).after(math.inf).bound == 1 / 64


def test_a_bound_of_nothing_is_the_only_one() -> None:
    assert all(Bounds(0.0).after(excess).is_done for excess in (0.0, 0.7, 2.0, math.inf))
