"""Search along a line: the last candidate that fits, by bisection or by the secant method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
CLOSE_ENOUGH = 0.05  # excess below zero at which a search ends
MAX_SLOPE_RATIO = 4.0  # of a measured slope to the expected one, either way


def bisect_largest(
    make: Callable[[float], T],
    fits: Callable[[T], bool],
    good: float,
    bad: float,
    rounds: int,
    over: Callable[[], bool] = lambda: False,
) -> T | None:
    """Return the candidate nearest to `bad` that fits, of `rounds` trials between `good` and `bad`; None if none fits.

    `make` makes a candidate from a number. The search ends before a trial if `over` returns True.

    >>> bisect_largest(lambda x: x, lambda x: x <= 5, good=0, bad=8, rounds=3)
    5.0
    >>> bisect_largest(lambda x: x, lambda x: x >= 5, good=8, bad=0, rounds=2)
    6.0
    """
    best = None
    for _ in range(rounds):
        if over():
            break
        middle = 0.5 * (good + bad)
        candidate = make(middle)
        if fits(candidate):
            best, good = candidate, middle
        else:
            bad = middle
        del candidate  # it may be large; without this it would stay while the next one is made
    return best


def bracket(is_so: Callable[[float], bool], low: float, high: float, near: float) -> tuple[float, float]:
    """Return two numbers, at most `near` apart, between which `is_so` becomes True; it is assumed True at `high`.

    >>> bracket(lambda x: x > 5, low=0, high=8, near=1)
    (5.0, 6.0)
    """
    while high - low > near:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if is_so(middle) else (middle, high)
    return low, high


def secant_closest(
    make: Callable[[float], T],
    excess: Callable[[T], float],
    good: float,
    bad: float,
    slope: float,
    rounds: int,
    over: Callable[[], bool] = lambda: False,
    first: float | None = None,
) -> T | None:
    """Return the candidate whose `excess` is closest to zero from below; None if no trial fits.

    The secant method within a bracket. If two trials in a row each cut less than a quarter off the bracket, the next
    one halves it, for the excess may have steps. The search ends at an excess between -`CLOSE_ENOUGH` and 0.

    Args:
        make: Function that makes a candidate from a number.
        excess: Function of a candidate: at most 0 if it fits, minus infinity if it fits but saves nothing.
        good, bad: Ends of the bracket.
        slope: Expected growth of the excess per unit; two trials replace it by a measured slope.
        rounds: Largest number of trials.
        over: The search ends before a trial if this function returns True.
        first: Number of the first trial; the middle if None.

    >>> secant_closest(lambda x: x, lambda x: x - 5, good=0, bad=8, slope=1, rounds=2)
    4.975
    """
    best, known, last, at, slow = None, slope, None, 0.5 * (good + bad) if first is None else first, 0
    for _ in range(rounds):
        if over():
            break
        candidate, width = make(at), abs(bad - good)
        over_limit = excess(candidate)
        if over_limit <= 0:
            best, good = candidate if over_limit > -math.inf else best, at
        else:
            bad = at
        if -CLOSE_ENOUGH <= over_limit <= 0 or good == bad:
            break
        del candidate  # it may be large; without this it would stay while the next one is made
        if last is not None:
            known = _slope(last, (at, over_limit), slope)
        guess = at - (over_limit + CLOSE_ENOUGH / 2) / known
        last = at, over_limit
        slow = slow + 1 if abs(bad - good) > 0.75 * width else 0
        at = guess if slow < 2 and min(good, bad) < guess < max(good, bad) else 0.5 * (good + bad)
    return best


def _slope(first: tuple[float, float], second: tuple[float, float], expected: float) -> float:
    """Return the slope between two trials (number, excess), within a factor of the expected one; that if infinite."""
    between = (second[1] - first[1]) / (second[0] - first[0])
    return (
        expected * min(max(between / expected, 1 / MAX_SLOPE_RATIO), MAX_SLOPE_RATIO)
        if math.isfinite(between)
        else expected
    )
