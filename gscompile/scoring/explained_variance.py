"""How near values come to the original's: the share of what those vary by that is met, sample against sample.

What counts is how an output follows its input. Against the mean over the samples, entry by entry, an output that is
always the same explains nothing, however near its entries are to what they mostly are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Closeness:
    """Gathers an output batch by batch, [samples, ...]; samples of several shapes are each kept with their like."""

    def __init__(self) -> None:
        self._error, self._gap = 0.0, 0.0
        self._alike: dict[tuple[int, ...], _OutputVariance] = {}
        self._all = _OutputVariance()

    def add(self, ours: NDArray[Any], theirs: NDArray[Any]) -> None:
        """One batch; where the original is not finite, ours has to be the same."""
        theirs = np.atleast_1d(theirs).astype(np.float64)
        gap = differences(np.atleast_1d(ours), theirs)
        finite = np.where(np.isfinite(theirs), theirs, 0.0)
        with np.errstate(over="ignore"):
            self._error += float(np.square(gap).sum())
        self._gap = max(self._gap, float(gap.max(initial=0.0)))
        self._alike.setdefault(theirs.shape[1:], _OutputVariance()).add(finite)
        self._all.add(finite.reshape(-1, 1))

    def share(self, tolerance: float) -> float:
        """0 to 1: the share of the variance that is explained; 1 where no value is further off than `tolerance`
        times the most that any value varies by."""
        variance, swing = self._variation()
        if self._gap <= tolerance * swing:
            return 1.0
        return max(0.0, 1 - self._error / max(variance, 1e-30)) if np.isfinite(self._error) else 0.0

    def _variation(self) -> tuple[float, float]:
        """Squares about the mean, and the widest range, entry by entry; of all entries alike where no two
        samples differ, as of a single one."""
        variance = sum(spread.variance for spread in self._alike.values())
        if not variance:
            return self._all.variance, self._all.swing
        return variance, max(spread.swing for spread in self._alike.values())


@dataclass
class _OutputVariance:
    """Mean, squares about it, and range of every entry of arrays [samples, ...], merged batch by batch (Chan 1979)."""

    count: int = 0
    mean: Floats = field(default_factory=lambda: np.zeros(()))
    squares: Floats = field(default_factory=lambda: np.zeros(()))
    low: Floats = field(default_factory=lambda: np.full((), np.inf))
    high: Floats = field(default_factory=lambda: np.full((), -np.inf))

    def add(self, samples: Floats) -> None:
        more = len(samples)
        if not samples.size:
            return
        mean = samples.mean(0)
        step, total = mean - self.mean, self.count + more
        self.squares = self.squares + np.square(samples - mean).sum(0) + step**2 * (self.count * more / total)
        self.mean = self.mean + step * (more / total)
        self.low, self.high = np.minimum(self.low, samples.min(0)), np.maximum(self.high, samples.max(0))
        self.count = total

    @property
    def variance(self) -> float:
        """Squares about the mean, of all entries."""
        return float(self.squares.sum())

    @property
    def swing(self) -> float:
        """The widest range of an entry."""
        return float((self.high - self.low).max()) if self.count else 0.0


def differences(ours: NDArray[Any], theirs: NDArray[Any]) -> Floats:
    """The difference of every value; none between the same infinities, or NaN and NaN; infinite where only one is."""
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same, 0.0, np.abs(np.subtract(ours, theirs, dtype=np.float64)))
    return np.nan_to_num(gap, nan=np.inf, posinf=np.inf)
