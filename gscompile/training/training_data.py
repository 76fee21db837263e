"""The training samples: how many steps an epoch has, and a few batches for measurements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from gscompile.data.dataset import Batch, Dataset
from gscompile.training.batches import BatchLoader

MIN_RUN_STEPS = 150  # steps of a run of one epoch; small data is passed through several times
MAX_PASSES = 32  # passes over data so small that a network would overfit


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The training samples as `feeder` loads them; `is_small` if they are too few to judge classes by."""

    train: Dataset
    feeder: BatchLoader
    seed: int
    is_small: bool

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in one pass over the data; a partial batch is dropped when shuffling."""
        return max(1, len(self.train) // self.feeder.unit(self.train))

    @property
    def steps_per_run(self) -> int:
        """Return the number of steps of a run of one epoch: one pass, or several if the data is small."""
        most = self.steps_per_epoch * MAX_PASSES if self.is_small else MIN_RUN_STEPS
        return max(self.steps_per_epoch, min(MIN_RUN_STEPS, most))

    def sample_batches(self, count: int) -> Iterator[Batch]:
        """Yield up to `count` shuffled batches; exactly as many, in several passes, if the data is small."""
        passes = count if self.is_small else 1
        seeds = range(self.seed, self.seed + passes)
        yield from islice((batch for seed in seeds for _, batch in self.feeder.batches(self.train, seed)), count)
