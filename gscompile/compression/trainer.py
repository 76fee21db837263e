"""The trainer as passes see it: a protocol, so that passes and their helpers import neither torch nor `training`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gscompile.compression.throughput import Throughput
from gscompile.crossbars.groups import Family
from gscompile.graph.network import Network


class Trainer(Protocol):
    """Scores, saliencies and fine-tuning of networks that have the inputs and outputs of the original.

    `toll` is the accuracy, in percentage points, that a short fine-tuning costs the original itself. `hottest` is the
    largest factor of the learning rate that has done no harm in a recovery.
    """

    toll: float
    hottest: float

    @property
    def base(self) -> float:
        """Return the score of the original, in percent."""

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in one epoch."""

    @property
    def normalizes(self) -> bool:
        """Return whether batch normalization can be reinserted while networks are fine-tuned."""

    @property
    def pace(self) -> Throughput:
        """Return how long an epoch takes, as measured last."""

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

    def let_down(self, network: Network, epochs: float, lr: float = 1.0, normalize: bool = False) -> Network:
        """Return a copy of `network` fine-tuned while the learning rate decays to zero."""

    def follow(self) -> Any:
        """Train with the first process until it ends, as one of its helpers; return the last message."""
