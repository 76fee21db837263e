"""Which learning rate does a trained network no harm."""

from __future__ import annotations

from collections.abc import Callable

RATES = (1e-3, 3e-4, 1e-4)  # to choose from


def largest_harmless(toll: Callable[[float], float], chance: float) -> tuple[float, float]:
    """The largest of `RATES` whose toll is about that of the gentlest, but for half of `chance`; and that toll.

    Smaller ones are tried until one takes no more than chance. Varied samples take something at any rate, for which
    none is to blame.
    """
    tolls: dict[float, float] = {}
    for rate in RATES:
        tolls[rate] = toll(rate)
        if tolls[rate] <= chance:
            break
    least = min(tolls.values())
    return next((rate, taken) for rate, taken in tolls.items() if taken <= least + chance / 2)
