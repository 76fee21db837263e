"""Group connection deletion: rows and columns of crossbars, and whole units, go to zero and are deleted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gscompile.channels.dead_units import drop_dead_units
from gscompile.compression.bisection import bisect_largest
from gscompile.compression.passes import OUT_OF_TIME, Change, Context, PassResult
from gscompile.compression.rank_allocation import RankAllocator, deleting_costs_less
from gscompile.compression.ranking import Ranking, ranked, vector_masks, without_cheapest
from gscompile.compression.recovery import RECOVERY_LR_SCALE, Recovery, ScoredNetwork
from gscompile.crossbars.groups import deleted
from gscompile.crossbars.mapping import Footprint, footprint
from gscompile.declaration import option
from gscompile.graph.network import Network

SHORT_OF = 0.95  # of what was too much to lose
STEP_GROWTH = 1.5  # of a round after one whose score is within the budget
DEPTH = 2.0  # times as far below the budget rounds end before any recovery: it brings more to what was never tuned long


@dataclass(frozen=True)
class DeleteGroups:
    """Delete groups in rounds of pruning and fine-tuning, as far as the accuracy budget allows.

    A round chooses the groups that cost the loss least for the cells and wires they save, shrinks them to exactly zero
    by proximal group-lasso steps, and fine-tunes the rest. Rounds grow while the score is within the budget, to twice
    `step`, and end when the score is a standard error below it, or two before the first recovery. A recovery is a long
    fine-tuning that starts at a high learning rate; rounds continue from a network that recovered. If none recovers,
    they continue from the last that did, with half the step, down to `min_step`. The last recovery takes the time that
    is left.
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

    def run(self, network: Network, context: Context) -> PassResult:
        before = footprint(network, context.mapping)
        if context.trainer is None:
            context.stopped("groups are deleted while fine-tuning, which needs --data")
        elif context.refit is not None:
            context.stopped("groups are deleted while fine-tuning, which --finetune none excludes")
        else:
            network = self._search(network, context)
        after = footprint(network, context.mapping)
        change = Change("all layers", "wires", str(before.wires), str(after.wires))
        return PassResult(network, (change,) if after != before else ())

    def _search(self, start: Network, context: Context) -> Network:
        """The smallest network that comes back within the budget, on a way down that goes on from each that does."""
        context = _sharing_time(context)
        assert context.trainer is not None
        best, failed, step = start, None, self.step
        least = self.min_step / max(1.0, context.effort)
        if (score := context.trainer.score(start)) < context.bar - context.blur:
            best, _ = self.recovered(start, context, score)
        while step >= least and not context.out_of_time():
            depth = context.blur * (DEPTH if best is start else 1.0)
            way = [*self._rounds(best, context, step, context.bar - depth, failed)]
            best, fails = self._furthest(best, way, context)
            if fails is not None or not way:
                failed, step = fails or failed, step / 2
        tried = f"no network recovered after another round, down to rounds of {min(2 * step, self.step):.1%}"
        context.stopped(OUT_OF_TIME if context.out_of_time() else tried)
        if best is start and score < context.floor:  # rounds began all the same, from where one brings it back
            best, _ = self.recovered(start, context, score)
        return self._untuned(start, context) if best is start and not context.out_of_time() else best

    def _furthest(
        self, start: Network, way: Sequence[ScoredNetwork], context: Context
    ) -> tuple[Network, Network | None]:
        """The last network on the way that recovers, `start` where none does; and the first after it that does not.

        By bisection between the last that fits as it is and the end, which is tried first; going back no further than
        to where one comes back by as much as the last one did. One that fits as it is has been lucky, perhaps: it is
        tuned for long all the same.
        """
        low = fitting = max((i for i, (_, score) in enumerate(way) if score >= context.floor), default=-1)
        best, high, middle = start, len(way), len(way) - 1
        while low < high - 1 and not context.out_of_time():
            network, before = way[middle]
            tuned, score = self.recovered(network, context, before, is_last=middle - low == 1)
            if score >= context.floor:
                best, low = tuned, middle
            else:
                high = middle
            middle = _between(way, low, high, enough=context.floor - (score - before))
        if low == fitting >= 0:
            best = self._settled(*way[low], context)
        return best, way[high][0] if high < len(way) else None

    def _settled(self, network: Network, score: float, context: Context) -> Network:
        """A network that fits, tuned for long where there is time for that and it does it good."""
        if context.time_left() < self._recovery(context).seconds:
            return network
        tuned, then = self.recovered(network, context, score)
        return tuned if then >= score else network

    def walk(self, network: Network, context: Context) -> Iterator[ScoredNetwork]:
        """Round by round smaller networks with their scores, until one is `curve_slack` below the budget."""
        slack = min(self.curve_slack, 0.5 * (100 - context.floor))  # points weigh more where few are missing
        return self._rounds(network, _sharing_time(context), self.step, context.bar - slack)

    def _rounds(
        self, network: Network, context: Context, step: float, lowest: float, failed: Network | None = None
    ) -> Iterator[ScoredNetwork]:
        """Round by round smaller networks with their scores, until one is below `lowest`.

        While scores are within the budget rounds grow, to twice `step`; once they are not they are of `step`: what goes
        in small steps comes back better. One more that saves as much as the last may not bring them to the size of the
        network that `failed`. Time is kept for a recovery; for half of one it is enough to begin.
        """
        score, size, before = math.inf, step, footprint(network, context.mapping)
        start, price, too_much = before, context.price(before), _saved_by(failed, before, context)
        clips, recovery = self.allow_rank_clipping, self._recovery(context)
        wanted = recovery.with_short_round
        while score >= lowest and context.time_left() > wanted:
            groups = ranked(network, context, self.units)
            clipped = self._clipped(network, groups, context, size) if clips else None
            clips = clipped is not None
            network, score = self._tuned(clipped, context) if clipped else self._shrunk(network, groups, context, size)
            if (now := context.told(network, score)) == before:
                return
            yield network, score
            if price.saved(start, now) + price.saved(before, now) > SHORT_OF * too_much:
                return
            before, size = now, min(2 * step, STEP_GROWTH * size) if score >= context.floor else step
            wanted = recovery.with_round

    def _untuned(self, network: Network, context: Context) -> Network:
        """Return the smallest network that fits without fine-tuning, by bisection on the share."""
        assert context.trainer is not None
        score, groups = context.trainer.score, ranked(network, context, self.units)

        def fits(candidate: Network) -> bool:
            return score(candidate) >= context.floor

        def smaller(share: float) -> Network:
            return without_cheapest(network, groups, share)

        best = bisect_largest(smaller, fits, 0.0, 0.5, 6, context.out_of_time)
        return network if best is None else best

    def recovered(
        self, network: Network, context: Context, before: float | None = None, is_last: bool = True
    ) -> ScoredNetwork:
        """A network tuned for long, and its score, which was `before`; where it is not the last, others want time."""
        assert context.trainer is not None
        before = context.trainer.score(network) if before is None else before
        return self._recovery(context, is_last).of(network, before)

    def _recovery(self, context: Context, is_last: bool = True) -> Recovery:
        assert context.trainer is not None
        normalize = self.reinsert_batch_norm and context.trainer.normalizes
        return Recovery(
            self.recovery_epochs * context.effort, self.recovery_lr_scale, context, context.trainer, is_last, normalize
        )

    def _shrunk(self, network: Network, groups: Ranking, context: Context, step: float) -> ScoredNetwork:
        """Without the cheapest of the groups, as much as `step` of what there is."""
        assert context.trainer is not None
        chosen = groups.cheapest(step)
        shrink = context.trainer.shrink(deleted(network, chosen), vector_masks(network, chosen))
        network = context.trainer.tune(network, self.epochs * context.effort, shrink)
        drop_dead_units(network)
        return network, context.trainer.score(network)

    def _tuned(self, network: Network, context: Context) -> ScoredNetwork:
        assert context.trainer is not None
        network = context.trainer.tune(network, self.epochs * context.effort)
        return network, context.trainer.score(network)

    @staticmethod
    def _clipped(network: Network, groups: Ranking, context: Context, step: float) -> Network | None:
        """Ranks clipped to save `step`; None where there are none, or groups that save as much cost less."""
        if context.moments is None:
            return None
        clipped = RankAllocator.of(network, context).saving(step, context)
        return None if clipped is None or deleting_costs_less(network, groups, [clipped], context) else clipped


def _between(way: Sequence[ScoredNetwork], low: int, high: int, enough: float) -> int:
    """Half of the way from `low` to `high`, or farther on the last whose score is enough."""
    return max([(low + high) // 2, *(i for i in range(low + 1, high) if way[i][1] >= enough)])


def _sharing_time(context: Context) -> Context:
    """One recovery plans for a third of the time at the most: those of smaller networks want some as well."""
    return replace(context, longest=context.time_left() / 3)


def _saved_by(failed: Network | None, before: Footprint, context: Context) -> float:
    """Return the saving over `before` of a network that did not recover; infinite where it is not smaller."""
    price = context.price(before)
    share = price.saved(before, footprint(failed, context.mapping)) if failed is not None else 0.0
    return share if share > 0 else math.inf
