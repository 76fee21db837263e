"""The trainer as passes see it: a protocol, so that passes and their helpers import neither torch nor `training`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gscompile.compression.throughput import Throughput
from gscompile.crossbars.groups import Family
from gscompile.graph.network import Network


@dataclass(frozen=True)
class LearningRate:
    """A learning rate, and the accuracy that a short fine-tuning at this rate costs the original, in points."""

    value: float
    tuning_loss: float = 0.0


class Trainer(Protocol):
    """Scores, saliencies and fine-tuning of networks that have the inputs and outputs of the original."""

    @property
    def max_lr_scale(self) -> float:
        """Return the largest factor of the learning rate that has not done harm in a recovery."""

    @property
    def can_reinsert_batch_norm(self) -> bool:
        """Return True if batch normalization can be reinserted while networks are fine-tuned."""

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in one epoch."""

    @property
    def throughput(self) -> Throughput:
        """Return how long an epoch takes, as measured in the last training run."""

    def choose_learning_rate(self) -> LearningRate:
        """Return the learning rate, which is chosen by short trials at the first call unless an option gives it."""

    def limit_lr_scale(self, scale: float) -> None:
        """Lower `max_lr_scale`, for a larger factor has done harm."""

    def score(self, network: Network) -> float:
        """Return the score of `network` on the validation data, in percent."""

    def saliency(self, network: Network, families: tuple[Family, ...]) -> dict[Family, NDArray[np.float64]]:
        """Return the estimated loss of setting each group of each family to zero."""

    def shrink(self, layers: Any, vectors: Any) -> Any:
        """Return what `tune` takes to bring the masked weights of layers and vectors to zero."""

    def tune(
        self,
        network: Network,
        epochs: float,
        shrink: Any = None,
        anneal: bool = False,
        lr: float = 1.0,
        normalize: bool = False,
    ) -> Network:
        """Return a fine-tuned copy of `network`; `lr` scales the learning rate, `anneal` decays it to zero."""

    def anneal(self, network: Network, epochs: float, lr: float = 1.0, normalize: bool = False) -> Network:
        """Return a copy of `network` fine-tuned while the learning rate decays to zero."""

    def run_worker(self) -> Any:
        """Train as a worker of the first process until it sends anything but a training run; return that message."""
