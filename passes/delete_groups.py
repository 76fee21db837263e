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
from gscompile.graph.network import Network

SHORT_OF = 0.95  # of what was too much to lose
STEP_GROWTH = 1.5  # of a round after one whose score is within the budget
DEPTH = 2.0  # times as far below the budget rounds end before any recovery: it brings more to what was never tuned long


@dataclass(frozen=True)
class DeleteGroups:
    """Delete groups in rounds, as far as the accuracy budget allows.

    A round chooses the groups that cost the loss least for the cells and wires they save, until `step` of both is
    chosen; a training run shrinks them to exactly zero by proximal group-lasso steps, then tunes the rest. While
    the score stays within the budget rounds grow, to twice that. They go on until the score has left the budget by more
    than chance, or by twice as much before any recovery. A recovery of `recover` epochs, or of a third of the time,
    whose optimiser steps are `heat` times as long, where that does no harm, and then let down, brings it back, and
    further rounds go on from there. It goes on for as long as that may suffice, and one that no round can follow takes
    the time that is left, but for half of one where a larger network waits to be tried. Where it does not come back,
    they go on from the last network that did, in steps half as large, down to `least`, or to less in proportion where
    there is more effort than usual.
    `units` lets whole channels, neurons and ranks go as well, and with `ranks` a round clips them instead where that
    leaves a better score before tuning than groups that save as much. With `normalize`, networks of eight convolutions
    or more are normalised over batches as they recover. A frontier walks on without recoveries until the score is
    `slack` points below the budget.
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
        least = self.least / max(1.0, context.effort)
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
        """Round by round smaller networks with their scores, until one is `slack` below the budget."""
        slack = min(self.slack, 0.5 * (100 - context.floor))  # points weigh more where few are missing
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
        clips, recovery = self.ranks, self._recovery(context)
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
        normalize = self.normalize and context.trainer.normalizes
        return Recovery(self.recover * context.effort, self.heat, context, context.trainer, is_last, normalize)

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
