"""A trainer for tests of the search: it leaves networks as they are and gives the scores it is told to give."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from gscompile.compression.passes import Context
from gscompile.compression.throughput import Throughput
from gscompile.compression.trainer import LearningRate, Trainer
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions
from gscompile.graph.network import Network
from gscompile.scoring.score_budget import ScoreBudget
from tests.small_networks import network

MAPPING = MapOptions(Crossbar(8, 8))
# Scores of 90 % are within the budget; a standard error is a point.
BUDGET = ScoreBudget(base=91.0, max_drop=1.0, standard_error=1.0)


class Coach:
    """A trainer of 10 seconds an epoch that records what it is asked for."""

    can_reinsert_batch_norm = False
    steps_per_epoch = 10

    def __init__(self, *scores: float, tuning_loss: float = 0.0) -> None:
        self.scores, self.tuning_loss = iter(scores), tuning_loss
        self.epochs, self.annealed, self.max_lr_scale = 0.0, 0.0, math.inf
        self.rates, self.normalized = list[float](), list[bool]()
        self.throughput = Throughput(10.0)

    def choose_learning_rate(self) -> LearningRate:
        return LearningRate(1e-3, self.tuning_loss)

    def limit_lr_scale(self, scale: float) -> None:
        self.max_lr_scale = scale

    def tune(
        self,
        net: Network,
        epochs: float,
        shrink: Any = None,  # noqa: ARG002
        anneal: bool = False,
        lr: float = 1.0,
        normalize: bool = False,
    ) -> Network:
        self.epochs += epochs
        self.normalized.append(normalize)
        self.annealed += epochs if anneal else 0.0
        self.rates.append(lr)
        return net

    def anneal(self, net: Network, epochs: float, lr: float = 1.0, normalize: bool = False) -> Network:
        return self.tune(net, epochs, anneal=True, lr=lr, normalize=normalize)

    def score(self, _: Network) -> float:
        return next(self.scores)


def coached(coach: Coach, **more: Any) -> Context:
    """Return a context whose trainer is the coach, with `BUDGET`."""
    return Context(MAPPING, trainer=cast(Trainer, coach), budget=BUDGET, **more)


def without(columns: int) -> Network:
    """Return a network of 4 x 8 cells without the first columns."""
    w = np.ones((4, 8), np.float32)
    w[:, :columns] = 0
    return network("g (float[n,4] x) => (float[n,8] y) <float[4,8] w> { y = MatMul (x, w) }", w=w)
