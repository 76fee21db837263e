"""Which learning rate does a trained network no harm."""

from __future__ import annotations

from collections.abc import Callable
from itertools import dropwhile

from gscompile.compression.recovery import RECOVERY_LR_SCALE

RATES = (1e-3, 3e-4, 1e-4)  # to choose from
WILD = 0.5  # of a network's errors: what makes more of them is not let down again


def largest_harmless(toll: Callable[[float], float], chance: float, wild: float) -> tuple[float, float]:
    """The largest of `RATES` whose toll is about that of the gentlest, but for half of `chance`; and that toll.

    Rates that take more than `wild` at `RECOVERY_LR_SCALE` times their size are left out, but for the smallest.
    Smaller ones are tried until one takes no more than chance. Varied samples
    take something at any rate.

    >>> largest_harmless({3e-3: 2.5, 1e-3: 0.4}.__getitem__, chance=0.5, wild=9.0)
    (0.001, 0.4)
    """
    tolls: dict[float, float] = {}
    for rate in dropwhile(lambda rate: rate > RATES[-1] and toll(RECOVERY_LR_SCALE * rate) > wild, RATES):
        tolls[rate] = toll(rate)
        if tolls[rate] <= chance:
            break
    least = min(tolls.values())
    return next((rate, taken) for rate, taken in tolls.items() if taken <= least + chance / 2)
