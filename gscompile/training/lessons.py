"""What a teacher says of training samples as they are varied, the same in every so many epochs: it is asked once.

A teacher and who learns from it have to look at the same view of a sample, and at many of them (Beyer et al. 2022); a
large one takes longer to ask than a small one to train.
"""

from __future__ import annotations

import math
import time

from torch import Tensor

from gscompile.training.feeder import Part
from gscompile.training.teacher import CACHE_BYTES, Answers

EPOCHS = 12  # that differ: who sees each several times learns from that many views as from ever new ones


class Lessons:
    """A teacher's answers by epoch and batch, remembered as far as they fit in memory."""

    def __init__(self, teacher: Answers, mixed: bool) -> None:
        self.teacher, self.mixed = teacher, mixed
        self._known: dict[tuple[int, int], dict[str, Tensor]] = {}
        self._free = CACHE_BYTES
        self._asked, self.seconds = 0, 0.0  # times, and what they took

    @property
    def pace(self) -> float:
        """Seconds that asking about a batch takes."""
        return self.seconds / max(self._asked, 1)

    def left(self, batches: int) -> float:
        """How many batches are still to be asked about, of so many an epoch; without end where not all fits."""
        return EPOCHS * batches - len(self._known) if self._asked == len(self._known) else math.inf

    def of(self, seed: int, part: Part) -> dict[str, Tensor]:
        """The outputs by name for a part of a batch of the epoch that is mixed and varied by `seed`."""
        key = seed, int(part.rows[0])
        if (known := self._known.get(key)) is not None:
            return known
        began = time.monotonic()
        said = self.teacher.anew(part.feeds, self.mixed)
        self.seconds, self._asked = self.seconds + time.monotonic() - began, self._asked + 1
        size = sum(tensor.nbytes for tensor in said.values())
        if size <= self._free:
            self._known[key] = said
            self._free -= size
        return said
