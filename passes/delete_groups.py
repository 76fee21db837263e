"""Group connection deletion: rows and columns of crossbars, and whole units, go to zero and are deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gscompile.compression.passes import Change, Context, PassResult
from gscompile.crossbars.mapping import footprint
from gscompile.declaration import option
from gscompile.graph.network import Network
from gscompile.search.recovery import ScoredNetwork, recover
from gscompile.search.settings import RECOVERY_LR_SCALE, SearchSettings
from gscompile.search.strategy import prune_below, prune_within


@dataclass(frozen=True)
class DeleteGroups:
    """Delete groups in rounds of pruning and fine-tuning, as far as the accuracy budget allows.

    A round chooses the groups that cost the loss least for the cells and wires they save, shrinks them to exactly zero
    by proximal group-lasso steps, and fine-tunes the rest. Rounds grow while the score is within the budget, to twice
    `step`, and end when the score is a standard error below it, or two before the first recovery. A recovery is a long
    fine-tuning that starts at a high learning rate; rounds continue from a network that recovered. If none recovers,
    they continue from the last that did, with half the step, down to `min_step`. The last recovery takes the time that
    is left.

    The search is in `gscompile/search/strategy.py`.
    """

    step: float = option(0.25, "Share of the network that a round deletes.", minimum=0.001, maximum=1, unit="share")
    epochs: float = option(1.0, "Training of a round.", minimum=1e-6, unit="epochs")
    recovery_epochs: float = option(6.0, "Training of a recovery.", minimum=1e-6, unit="epochs", aliases=("recover",))
    recovery_lr_scale: float = option(
        RECOVERY_LR_SCALE,
        "Learning rate of a recovery, relative to that of a round.",
        minimum=0.01,
        maximum=100,
        aliases=("heat",),
    )
    min_step: float = option(
        0.05,
        "Smallest step: the search ends when its step is smaller.",
        minimum=0.001,
        maximum=1,
        unit="share",
        aliases=("least",),
    )
    curve_slack: float = option(
        1.0,
        "Score below the budget at which the walk of a frontier ends.",
        minimum=0,
        unit="percentage points",
        aliases=("slack",),
    )
    units: bool = option(True, "Delete whole channels, neurons and ranks, too.")
    allow_rank_clipping: bool = option(True, "Clip ranks in a round where that costs less.", aliases=("ranks",))
    reinsert_batch_norm: bool = option(
        True,
        "Reinsert batch normalization in recoveries of networks with eight convolutions or more.",
        aliases=("normalize",),
    )

    @property
    def name(self) -> str:
        return "delete-groups"

    @property
    def settings(self) -> SearchSettings:
        """Return the settings of the search, with the options of this pass."""
        return SearchSettings(
            step=self.step,
            round_epochs=self.epochs,
            recovery_epochs=self.recovery_epochs,
            recovery_lr_scale=self.recovery_lr_scale,
            min_step=self.min_step,
            curve_slack=self.curve_slack,
            prune_units=self.units,
            clip_ranks=self.allow_rank_clipping,
            reinsert_batch_norm=self.reinsert_batch_norm,
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
        """Yield smaller and smaller networks with their scores, down to `curve_slack` points below the budget."""
        return prune_below(network, context, self.settings)

    def recovered(self, network: Network, context: Context) -> ScoredNetwork:
        """Return a network after a recovery, and its score."""
        context = context.ready_for_training()
        return recover(network, context.required_trainer().score(network), context, self.settings)
