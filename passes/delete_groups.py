"""Group connection deletion: rows and columns of crossbars, and whole units, go to zero and are deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gscompile.compression.passes import Change, Context, PassResult
from gscompile.crossbars.mapping import footprint
from gscompile.graph.network import Network
from gscompile.search.recovery import ScoredNetwork, recover
from gscompile.search.settings import RECOVERY_LR_SCALE, SearchSettings
from gscompile.search.strategy import prune_below, prune_within


@dataclass(frozen=True)
class DeleteGroups:
    """Delete groups in rounds of pruning and fine-tuning, as far as the accuracy budget allows.

    The search is in `gscompile/search/strategy.py`. The options are:

    - `step`: share of the network, by `--minimize`, that the first round removes. Rounds grow to twice that while the
      score is within the budget.
    - `epochs`: epochs of fine-tuning in a round.
    - `recover`: epochs of a recovery, the long fine-tuning after the score has left the budget. It plans for a third of
      the time at most, is extended while it closes the gap, and the last one takes the time that is left.
    - `heat`: factor of the learning rate at which a recovery starts. It is 1 from the first time that it does harm.
    - `least`: step at which the search ends. A step is halved when a recovery fails.
    - `slack`: points below the budget down to which a frontier is pruned without recoveries.
    - `units`: delete whole channels, neurons and ranks as well.
    - `ranks`: clip ranks in a round if that leaves a better score than deleting groups that save as much.
    - `normalize`: reinsert batch normalization during recoveries of networks of eight convolutions or more.
    """

    step: float = 0.25
    epochs: float = 1.0
    recover: float = 6.0
    heat: float = RECOVERY_LR_SCALE
    least: float = 0.05
    slack: float = 1.0
    units: bool = True
    ranks: bool = True
    normalize: bool = True

    @property
    def name(self) -> str:
        return "delete-groups"

    @property
    def settings(self) -> SearchSettings:
        """Return the settings of the search, with the options of this pass."""
        return SearchSettings(
            step=self.step,
            round_epochs=self.epochs,
            recovery_epochs=self.recover,
            recovery_lr_scale=self.heat,
            min_step=self.least,
            curve_slack=self.slack,
            prune_units=self.units,
            clip_ranks=self.ranks,
            reinsert_batch_norm=self.normalize,
        )

    def run(self, network: Network, context: Context) -> PassResult:
        before = footprint(network, context.mapping)
        if context.trainer is None:
            context.stopped("groups are deleted while fine-tuning, which needs --data")
        elif context.refit is not None:
            context.stopped("groups are deleted while fine-tuning, which --finetune none excludes")
        else:
            network = prune_within(network, context, self.settings)
        after = footprint(network, context.mapping)
        change = Change(layer="all layers", what="wires", before=str(before.wires), after=str(after.wires))
        return PassResult(network, (change,) if after != before else ())

    def walk(self, network: Network, context: Context) -> Iterator[ScoredNetwork]:
        """Yield smaller and smaller networks with their scores, until a score is `slack` points below the budget."""
        return prune_below(network, context, self.settings)

    def recovered(self, network: Network, context: Context) -> ScoredNetwork:
        """Return a network after a recovery, and its score."""
        context = context.ready_for_training()
        return recover(network, context.required_trainer().score(network), context, self.settings)
