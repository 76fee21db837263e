"""How long training takes, and how much of it there is time for."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """Seconds that an epoch takes; `asking` more in each of the next `unasked` epochs, in which a teacher is asked."""

    epoch: float = 0.0
    asking: float = 0.0
    unasked: float = 0.0

    def seconds(self, epochs: float) -> float:
        """Return the seconds that so many epochs take.

        >>> Throughput(10.0).seconds(6), Throughput(10.0, asking=5.0, unasked=4).seconds(6)
        (60.0, 80.0)
        """
        return self.epoch * epochs + (self.asking * min(epochs, self.unasked) if self.asking else 0.0)

    def epochs(self, seconds: float) -> float:
        """How many there is time for, the other way round; none where there is no time.

        >>> Throughput(10.0, asking=5.0, unasked=4).epochs(80.0), Throughput(10.0, asking=5.0, unasked=4).epochs(30.0)
        (6.0, 2.0)
        """
        if not self.epoch:
            return math.inf
        asked = max(seconds, 0.0) / (self.epoch + self.asking)
        return asked if asked <= self.unasked else (seconds - self.asking * self.unasked) / self.epoch
