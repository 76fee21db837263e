"""Bringing a network back within the budget: tuned for long, in long steps that are then let down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gscompile.compression.passes import Context
from gscompile.graph.network import Network

if TYPE_CHECKING:  # torch is handed to passes, never imported by them
    from gscompile.compression.throughput import Throughput
    from gscompile.compression.trainer import Trainer

ScoredNetwork = tuple[Network, float]
RECOVERY_LR_SCALE = 3.0  # times as long as others are the steps of a recovery, before they are let down
ROUND_RECOVERIES = (
    1.3  # recoveries' worth of time that a round is begun with: itself a sixth, a recovery, and a tenth to spare
)
MIN_RECOVERY_SHARE = 0.5  # of a recovery, which is worth the try
SHORT_ROUND = 0.75  # recoveries' worth of time for a round and the least of one
SLOWER = 1.5  # times as long takes a step that normalises: 1.4 of ResNet-20, 1.6 where a third of its cells is left
CHANCES = 2.0  # standard errors that the middle of a recovery may be short by: what shakes it then is let down later


@dataclass(frozen=True)
class Recovery:
    """Of `epochs`, whose optimiser steps are `heat` times as long as others, where that does no harm.

    Where another network waits to be tried, time is kept for the least of a recovery; `is_last` where none does.
    Deep networks are normalised over batches where `normalize` says so.
    """

    epochs: float
    heat: float
    context: Context
    trainer: Trainer
    is_last: bool = True
    normalize: bool = False

    @property
    def _pace(self) -> Throughput:
        pace = self.trainer.pace
        return replace(pace, epoch=SLOWER * pace.epoch) if self.normalize else pace

    @property
    def seconds(self) -> float:
        """Return the planned duration in seconds."""
        return self._pace.seconds(self._planned)

    @property
    def with_round(self) -> float:
        """Seconds that are kept for a round and the recovery after it."""
        return min(ROUND_RECOVERIES * self.seconds, self.context.longest)

    @property
    def with_short_round(self) -> float:
        """Seconds that are enough for a round and the least of a recovery after it."""
        return SHORT_ROUND * self.seconds

    def of(self, network: Network, before: float) -> ScoredNetwork:
        """The network tuned for long, as far as there is time, and its score, which was `before`.

        The learning rate is let down after a third; not where that third has not come half of the way to the budget.
        """
        third = self._affordable / 3
        network, score = self._heated(network, third, before)
        if self._promises(score, before):
            network, score = self._let_down(network, 2 * third, before)
        return network, score

    def _scored(self, network: Network) -> ScoredNetwork:
        """With its score, which whoever watches is told."""
        score = self.trainer.score(network)
        self.context.told(network, score)
        return network, score

    @property
    def _planned(self) -> float:
        """Epochs, as far as one recovery may plan."""
        return min(self.epochs, self._pace.epochs(self.context.longest))

    @property
    def _affordable(self) -> float:
        """Epochs: as planned, and all that there is time for where that is too little for another round after it."""
        is_known = self.seconds > 0  # before the first training run nobody knows what one takes
        left = self.context.time_left()
        if not is_known or left - self.seconds > self.with_round:
            return self._planned
        return max(min(self._planned, self._in(left)), self._in(left - self._kept))

    @property
    def _kept(self) -> float:
        """Seconds for the network that waits to be tried."""
        return 0.0 if self.is_last else MIN_RECOVERY_SHARE * self.seconds

    def _in(self, seconds: float) -> float:
        """Epochs that there is time for, and a tenth to spare."""
        return self._pace.epochs(0.9 * seconds)

    def _heated(self, network: Network, epochs: float, before: float) -> ScoredNetwork:
        """Tuned in long steps. Where they do harm they are as long as others from then on, and it is tuned anew."""
        tuned, score = self._scored(self.trainer.tune(network, epochs, lr=self._lr, normalize=self.normalize))
        harm = score < before and not self._promises(score, before)
        if harm and self._lr > 1 and not self.context.out_of_time():
            self.trainer.hottest = 1.0
            return self._heated(network, epochs, before)
        return tuned, score

    @property
    def _lr(self) -> float:
        return min(self.heat, self.trainer.hottest)

    def _promises(self, score: float, before: float) -> bool:
        """Return whether the first half of the recovery has closed half of the gap, within the standard error."""
        bar = self.context.bar
        return score >= min(bar, 0.5 * (before + bar)) - CHANCES * self.context.blur

    def _let_down(self, network: Network, epochs: float, before: float) -> ScoredNetwork:
        """Let down, and again for twice as long each time (Loshchilov and Hutter 2017), as long as that may suffice.

        It may where the last time brought at least half of what still lacks.
        """
        network, score = self._scored(self.trainer.let_down(network, epochs, self._lr, self.normalize))
        lacks, gained = self.context.floor - score, score - before
        longer = min(2 * epochs, self._in(self.context.time_left() - self._kept))
        if 0 < lacks <= 2 * gained and longer > epochs:
            again, then = self._let_down(network, longer, score)
            network, score = (again, then) if then > score else (network, score)
        return network, score
