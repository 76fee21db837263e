"""How far one may go: the last of the things made from a number that fits, by halving."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def furthest(
    make: Callable[[float], T],
    fits: Callable[[T], bool],
    good: float,
    bad: float,
    rounds: int,
    over: Callable[[], bool] = lambda: False,
) -> T | None:
    """What was made nearest to `bad` and fits, of `rounds` trials between it and `good`; None where none fits.

    Ends before a trial when it is `over`.

    >>> furthest(lambda x: x, lambda x: x <= 5, good=0, bad=8, rounds=3)
    5.0
    >>> furthest(lambda x: x, lambda x: x >= 5, good=8, bad=0, rounds=2)
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
