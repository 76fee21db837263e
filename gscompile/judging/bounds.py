"""The bounds that a search is given in turn, until what it finds is just within the bound that was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

SLACKER = 1.1  # a bound is tightened by so much more than it was passed
MOST_TIGHTER = 8.0  # times in one round
CLOSE = 0.5  # of what is allowed: a network that uses as much is not worth another round
MAX_EXPONENT = 4.0  # of log(excess) over log(bound), or one over that: 1 where errors are in proportion


@dataclass(frozen=True)
class Bounds:
    """The bound of the next round, and what earlier rounds said.

    `low` is the largest bound that was kept or saved nothing, 0 before there is one; `high` is the smallest that was
    passed; `passed` is by how many times. `bound` is the next one to try.
    """

    bound: float
    low: float = 0.0
    high: float = math.inf
    passed: float = 1.0
    slope: float = 1.0
    is_done: bool = False

    def after(self, excess: float) -> Bounds:
        """Return the bounds after a round at `bound`, whose network has `excess` times the error that was asked for.

        0 is for no network, or one without error.

        >>> Bounds(0.05).after(2.0).bound  # twice too much: half the bound, and a tenth less
        0.022727272727272728
        >>> Bounds(0.05).after(0.5).is_done  # the first bound is the largest
        True
        >>> Bounds(0.0).after(2.0).is_done
        True
        """
        if self.bound <= 0:  # no bound is tighter, and none looser was asked for
            return replace(self, is_done=True)
        if excess > 1:
            slope = self._slope(excess) if math.isfinite(self.high) else self.slope
            below = replace(self, high=self.bound, passed=excess, slope=slope)
            factor = min((SLACKER * excess) ** (1 / slope), MOST_TIGHTER) if math.isfinite(excess) else MOST_TIGHTER
            wanted = self.bound / factor
            return replace(below, bound=wanted if wanted > self.low else math.sqrt(self.low * self.bound))
        if not math.isfinite(self.high) or excess >= CLOSE:
            return replace(self, is_done=True)
        return replace(self, low=self.bound, bound=math.sqrt(self.bound * self.high))

    def _slope(self, excess: float) -> float:
        """Return the slope between this round and the last that was passed; 1 where the two do not tell."""
        apart = math.log(self.high / self.bound)
        found = math.log(self.passed / excess) / apart if apart > 0 and math.isfinite(self.passed / excess) else 1.0
        return min(max(found, 1 / MAX_EXPONENT), MAX_EXPONENT)
