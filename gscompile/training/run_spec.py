"""The specification of a training run, as data that processes can send each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Shrink:
    """Weights that a training run brings to exactly zero, by layer and by vector key.

    Every step is the proximal step of the group lasso on the chosen groups (a soft threshold on the group's norm);
    the threshold is the norm over the steps that are left, so strength follows the weights' own scale, and
    every chosen group reaches zero at `share` of the run. After that it is held there.
    """

    layers: Masks
    vectors: Masks = field(default_factory=dict)
    share: float = 0.6


@dataclass(frozen=True)
class RunSpec:
    """The specification of one training run.

    Args:
        steps: Number of optimizer steps.
        seed: Seed of the sample order and the augmentation.
        anneal: Decay the learning rate to zero along a cosine.
        lr: Learning rate.
        shrink: Weights that go to zero.
        augmented: Train on augmented samples.
        epoch: Number of the first epoch, counted over all runs.
        period: Epochs after which sample order and augmentation repeat; 0 if they never do.
    """

    steps: int
    seed: int
    anneal: bool
    lr: float
    shrink: Shrink | None = None
    augmented: bool = True
    epoch: int = 0
    period: int = 0

    def seed_of(self, epoch: int) -> int:
        """Return the seed of an epoch of the run, counted from 0."""
        return self.seed + ((self.epoch + epoch) % self.period if self.period else epoch)


@dataclass
class RunNumbers:
    """The numbers of training runs and of their epochs, which give every run samples in an order of its own."""

    seed: int
    runs: int = 0
    epochs: int = 0

    def next_spec(
        self,
        *,
        steps: int,
        steps_per_epoch: int,
        lr: float,
        shrink: Shrink | None,
        anneal: bool,
        augmented: bool,
        period: int,
    ) -> RunSpec:
        """Return the specification of the next run; its augmentations repeat after `period` epochs, if not 0."""
        self.runs += 1
        seed, first = self.seed + (0 if period else 1000 * self.runs), self.epochs
        self.epochs += math.ceil(steps / steps_per_epoch)
        return RunSpec(steps, seed, anneal, lr, shrink=shrink, augmented=augmented, epoch=first, period=period)
