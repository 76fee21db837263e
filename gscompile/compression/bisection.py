"""How far one may go: the last of the things made from a number that fits, by halving or by a measured slope."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
CLOSE_ENOUGH = 0.05  # an excess this little below zero is as good as none
MAX_SLOPE_RATIO = 4.0  # times the slope that was expected, or one over that


def bisect_largest(
    make: Callable[[float], T],
    fits: Callable[[T], bool],
    good: float,
    bad: float,
    rounds: int,
    over: Callable[[], bool] = lambda: False,
) -> T | None:
    """What was made nearest to `bad` and fits, of `rounds` trials between it and `good`; None where none fits.

    Ends before a trial when it is `over`.

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
        made = make(middle)
        if fits(made):
            best, good = made, middle
        else:
            bad = middle
        del made  # it may be large, and the next one is made before it is forgotten
    return best


def bracket(is_so: Callable[[float], bool], low: float, high: float, near: float) -> tuple[float, float]:
    """Return the ends, at most `near` apart, between which something begins to be so; it is taken to be so at `high`.

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
    """Return the result whose `excess` is closest to zero from below; None when no trial fits.

    `excess` is at most 0 for a result that fits, and minus infinity for one that fits but saves nothing.

    It is expected to grow by `slope` for each unit from `good` to `bad`; what two trials say of that counts from then
    on (the secant method, within the bracket). Where two trials in a row have each taken less than a quarter off the
    bracket, the next one halves it: excess may grow by leaps. The search ends at a result that fits with `CLOSE_ENOUGH`
    or less to spare. The first trial is at `first`, or in the middle.

    >>> secant_closest(lambda x: x, lambda x: x - 5, good=0, bad=8, slope=1, rounds=2)
    4.975
    """
    best, known, seen, at, slow = None, slope, None, 0.5 * (good + bad) if first is None else first, 0
    for _ in range(rounds):
        if over():
            break
        made, width = make(at), abs(bad - good)
        found = excess(made)
        if found <= 0:
            best, good = made if found > -math.inf else best, at
        else:
            bad = at
        if -CLOSE_ENOUGH <= found <= 0 or good == bad:
            break
        del made  # it may be large, and the next one is made before it is forgotten
        if seen is not None:
            known = _slope(seen, (at, found), slope)
        guess = at - (found + CLOSE_ENOUGH / 2) / known
        seen = at, found
        slow = slow + 1 if abs(bad - good) > 0.75 * width else 0
        at = guess if slow < 2 and min(good, bad) < guess < max(good, bad) else 0.5 * (good + bad)
    return best


def _slope(first: tuple[float, float], second: tuple[float, float], expected: float) -> float:
    """Between two trials (where, excess), within a factor of what was expected; that where they do not tell."""
    between = (second[1] - first[1]) / (second[0] - first[0])
    return (
        expected * min(max(between / expected, 1 / MAX_SLOPE_RATIO), MAX_SLOPE_RATIO)
        if math.isfinite(between)
        else expected
    )
