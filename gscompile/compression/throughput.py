"""The speed of training: conversion between epochs and seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """Measured seconds per epoch; the next `uncached_epochs` epochs also take `teacher_seconds` each.

    The teacher is run in epochs whose outputs are not in the cache yet. 0 seconds: nothing was measured so far.
    """

    epoch: float = 0.0
    teacher_seconds: float = 0.0
    uncached_epochs: float = 0.0

    def seconds(self, epochs: float) -> float:
        """Return the seconds that so many epochs take.

        >>> Throughput(10.0).seconds(6), Throughput(10.0, teacher_seconds=5.0, uncached_epochs=4).seconds(6)
        (60.0, 80.0)
        """
        teacher = self.teacher_seconds * min(epochs, self.uncached_epochs) if self.teacher_seconds else 0.0
        return self.epoch * epochs + teacher

    def epochs(self, seconds: float) -> float:
        """Return the epochs that fit into so many seconds; 0 in negative time, infinity if nothing was measured.

        >>> Throughput(10.0, teacher_seconds=5.0, uncached_epochs=4).epochs(80.0)
        6.0
        >>> Throughput(10.0, teacher_seconds=5.0, uncached_epochs=4).epochs(30.0)
        2.0
        """
        if not self.epoch:
            return math.inf
        uncached = max(seconds, 0.0) / (self.epoch + self.teacher_seconds)
        if uncached <= self.uncached_epochs:
            return uncached
        return (seconds - self.teacher_seconds * self.uncached_epochs) / self.epoch
