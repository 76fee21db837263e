"""Rank clipping: a weight matrix becomes two thin ones, its rank clipped while the network keeps training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from gscompile.compensation.search import compressed_by_closed_form
from gscompile.compensation.without_data import compressed_without_data
from gscompile.compression.bisection import bisect_largest, bracket, secant_closest
from gscompile.compression.decomposition import WeightSpectrum, pca_rank, weight_spectrum
from gscompile.compression.linear_maps import LinearMap, cells, linear_maps, pays
from gscompile.compression.passes import OUT_OF_TIME, Change, Context, PassResult
from gscompile.compression.rank_allocation import (
    EXACT,
    NO_CHANGE,
    UNIFORM,
    FactorizationChoice,
    RankAllocator,
    deleting_costs_less,
    replace,
)
from gscompile.compression.ranking import ranked
from gscompile.crossbars.mapping import footprint
from gscompile.declaration import option
from gscompile.errors import UsageError
from gscompile.graph.network import Layer, Network

DELETION = "delete-groups"
FARTHEST = 24.0  # powers of two in drift, from what is expected to fit: the resolution of single precision
COARSE, FINE = 0.25, 1e-3  # the same: how narrowly the ends of a search are found before anything is run
MAX_RUNS = 12  # runs of one search


@dataclass(frozen=True)
class RankClip:
    """Clip ranks and fine-tune, again and again, as far as the accuracy budget allows.

    `output`: components are clipped over all layers at once, where the loss grows least for what that saves, at most
    half of them in a round. If groups are deleted later, clipping ends when groups that save as much would cost less.
    Kernels may be split along their axes, into two convolutions with few channels between them.
    `pca` (Group Scissor, DAC 2017): every layer but the last keeps the smallest rank whose relative weight error is at
    most `epsilon`; ranks are chosen again every `clip_every_steps` steps.
    """

    method: Literal["output", "pca"] = option("output", "output: by the estimated loss; pca: the rule of the paper.")
    max_drop_per_round: float = option(
        1.0,
        "Score that a round may cost before it is fine-tuned.",
        minimum=0,
        unit="percentage points",
        aliases=("reach",),
    )
    epsilon: float = option(0.03, "pca: relative error of the weights.", minimum=0, maximum=1, unit="share")
    clip_every_steps: int = option(
        500, "pca: distance between two looks at the ranks.", minimum=1, unit="training steps", aliases=("every",)
    )
    epochs: float = option(12.0, "pca: training in all.", minimum=1e-6, unit="epochs")
    clip_until_fraction: float = option(
        0.6, "pca: part of the training after which ranks stay.", minimum=0, maximum=1, unit="share", aliases=("stop",)
    )
    ranks: str | None = option(
        None, "pca: ranks to reach, one for every layer but the last.", expected="whole numbers, as in 5/12/36"
    )

    @property
    def name(self) -> str:
        return "rank-clip"

    def run(self, network: Network, context: Context) -> PassResult:
        before, start = {m.origin: m for m in linear_maps(network)}, network
        if self.method == "pca":
            network = self._by_pca(network, context)
        elif context.trainer is None and (context.refit is not None or context.size is not None):
            network = compressed_without_data(network, context)
        elif context.refit is not None:
            network = compressed_by_closed_form(network, context)
        elif context.trainer is not None:
            network = self._by_budget(network, context)
        else:
            network = self._by_drift(network, context)
        if self.ranks is None and DELETION not in context.later and _grew(start, network, context):
            network = start
            context.stopped("every network of lower ranks takes more of what --minimize names")
        after = [m for m in linear_maps(network) if m.v is not None and m.origin in before]
        return PassResult(network, tuple(change for m in after for change in _changes(before[m.origin], m)))

    # -- ours -------------------------------------------------------------------------------------------------

    def _by_budget(self, network: Network, context: Context) -> Network:
        """Clip in rounds until the score falls by `max_drop_per_round`, and fine-tune: an epoch where half was clipped.

        The first that does not come back, but for what chance makes of it, ends it; a first round is tried once more, a
        third as far. Where nothing comes back, and no groups are deleted later, it goes as far as it can untuned.
        """
        context = context.ready_for_training()
        start, score, clipper = network, context.required_trainer().score, RankAllocator.of(network, context)
        for reach in (self.max_drop_per_round, self.max_drop_per_round / 3):
            network = self._clipped(start, clipper, context, reach)
            if network is not start or context.out_of_time():
                return network
        if DELETION in context.later:
            return start
        context.stopped("no clipped network recovered by fine-tuning: the smallest that fits without it is kept")
        return self._fewest_cells(clipper, context, lambda candidate: context.budget.met(score(candidate)))

    def _clipped(self, network: Network, clipper: RankAllocator | None, context: Context, reach: float) -> Network:
        """The last network that came back; the one that is given, and its clipper, where none did."""
        while not context.out_of_time():
            clipper = clipper or RankAllocator.of(network, context)
            candidate = self._within_reach(clipper, context, reach)
            judged = dict.fromkeys((candidate, clipper.half))  # often the same
            saved = context.saving(network)(candidate)
            if saved <= 0:
                context.stopped(f"no lower rank keeps the score within {reach:.2g} points of the budget before tuning")
                return network
            if self._is_over(network, judged, context):
                context.stopped("deleting groups that save as much costs the loss less than lower ranks")
                return network
            candidate, returned = self._tuned(candidate, context, 2 * saved)
            if not returned:
                context.stopped("the next lower ranks did not recover the score by fine-tuning")
                return network
            network, clipper = candidate, None
        context.stopped(OUT_OF_TIME)
        return network

    @staticmethod
    def _is_over(network: Network, clipped: Iterable[Network], context: Context) -> bool:
        """Whether groups will do better, if any are deleted later: as far as a round goes and at half of it.

        There are always a few groups that cost nothing, and they say little of those that come after them.
        """
        if DELETION not in context.later:
            return False
        return deleting_costs_less(network, ranked(network, context), clipped, context)

    def _within_reach(self, clipper: RankAllocator, context: Context, reach: float) -> Network:
        """Return half of what there is, or less, so that the untuned score is at most `reach` points below the budget.

        More than half at a time does not come back as well: what is left has to take over what was clipped.
        """
        assert context.trainer is not None
        score, lowest = context.trainer.score, context.budget.recoverable_score - reach
        if score(clipper.half) >= lowest:
            return clipper.half
        best = bisect_largest(clipper.part, lambda candidate: score(candidate) >= lowest, good=0.9, bad=0.5, rounds=3)
        return clipper.part(0.9) if best is None else best

    def _tuned(self, network: Network, context: Context, epochs: float) -> tuple[Network, bool]:
        """Tuned, and for an epoch with the learning rate let down where that is not enough; whether it is.

        As it was, where that is enough and tuning has made it worse.
        """
        assert context.trainer is not None
        tuned = context.trainer.tune(network, epochs * context.effort)
        lowest = context.budget.recoverable_score - 0.5 * context.budget.standard_error
        if (score := context.trainer.score(tuned)) < lowest:
            tuned = context.trainer.tune(tuned, context.effort, anneal=True)
            score = context.trainer.score(tuned)
        if score < lowest and (was := context.trainer.score(network)) >= lowest:
            tuned, score = network, was
        context.progress.figures(accuracy=score, cells=cells(tuned))
        return tuned, score >= lowest

    def _by_drift(self, network: Network, context: Context) -> Network:
        """Return the network that saves most of those whose outputs stay within `max_error`.

        Ranks are first chosen by what the layers may lose together; then by one threshold for all layers, by each of
        the rules in `UNIFORM`. A rule is tried only from where it saves more than the best so far.
        """
        clipper = RankAllocator.of(network, context).probed(context)
        trials = _Trials(clipper, context)
        maps = 1 if clipper.is_probed else len(clipper.maps)  # not probed, losses are relative, of each map
        start = maps * max(context.max_error, NO_CHANGE, EXACT) ** 2
        best = trials.best(lambda x: clipper.within(start * 4.0**x), None, -FARTHEST, FARTHEST)
        for rule in UNIFORM:
            best = trials.best(partial(clipper.uniform, rule), best, -FARTHEST, 0.0) or best
        fewest = f"no lower ranks were found within an output error of {context.max_error:g}"
        context.stopped(OUT_OF_TIME if context.out_of_time() else fewest)
        return network if best is None else clipper.clipped(best)

    def _fewest_cells(self, clipper: RankAllocator, context: Context, fits: Callable[[Network], bool]) -> Network:
        """Return the network that saves most and fits, by bisection; the network itself where nothing smaller fits."""
        network, saved = clipper.network, context.saving(clipper.network)

        def smaller(candidate: Network) -> bool:
            return saved(candidate) > 0 and fits(candidate)

        best = bisect_largest(clipper.part, smaller, 1.0, 0.0, 7, context.out_of_time)
        return network if best is None else best

    # -- the paper's ------------------------------------------------------------------------------------------

    def _by_pca(self, network: Network, context: Context) -> Network:
        asked = f"every rank is the smallest within a relative weight error of {self.epsilon:g}"
        context.stopped(asked if self.ranks is None else f"the ranks asked for are reached: {self.ranks}")
        if context.trainer is None:
            return self._clip_by_pca(network, self._limits(network, 1.0))
        per_epoch = context.trainer.steps_per_epoch
        rounds = max(1, round(self.epochs * context.effort * per_epoch / self.clip_every_steps))
        for number in range(rounds):
            progress = (number + 1) / max(1, round(self.clip_until_fraction * rounds))
            if progress <= 1:
                network = self._clip_by_pca(network, self._limits(network, progress))
            last = number >= 0.8 * rounds
            network = context.trainer.tune(network, self.clip_every_steps / per_epoch, lr=0.1 if last else 1.0)
        return network

    def _limits(self, network: Network, progress: float) -> dict[str, int]:
        """Ranks that were asked for, approached from full rank along a geometric line."""
        if self.ranks is None:
            return {}
        maps = linear_maps(network)[:-1]
        try:
            wanted = [int(rank) for rank in self.ranks.split("/")]
        except ValueError:
            raise UsageError(f"rank-clip: ranks {self.ranks!r}; write whole numbers, as in 5/12/36") from None
        if len(wanted) != len(maps):
            raise UsageError(
                f"rank-clip: {len(wanted)} ranks for {len(maps)} layers ({', '.join(m.origin for m in maps)})"
            )
        return {
            m.origin: max(rank, round(min(m.shape[1:]) ** (1 - progress) * rank**progress))
            for m, rank in zip(maps, wanted, strict=True)
        }

    def _clip_by_pca(self, network: Network, limits: dict[str, int]) -> Network:
        network = network.copy()
        chosen: list[tuple[LinearMap, list[WeightSpectrum], int]] = []
        for linear in linear_maps(network)[:-1]:
            if linear.shape[0] == 1 and linear.factorable:
                rank = limits.get(linear.origin) or pca_rank(linear.product[0], self.epsilon)
                if pays(linear, rank) and (linear.v is None or rank < linear.rank):
                    chosen.append((linear, [weight_spectrum(linear.product[0])], max(rank, 1)))
        replace(network, chosen)
        return network


@dataclass(frozen=True, eq=False)
class _Trials:
    """Judge choices of factorizations by the output error of the networks that they make, each choice once."""

    clipper: RankAllocator
    context: Context
    judged: dict[tuple[int, ...], float] = field(default_factory=dict)

    def best(
        self, make: Callable[[float], FactorizationChoice], known: FactorizationChoice | None, low: float, high: float
    ) -> FactorizationChoice | None:
        """Return what saves most and fits, of what is made from a number between `low` and `high`, the more the larger.

        None where nothing saves more than `known`. The bracket reaches from where more than that is saved to where
        nothing more is to be had, however far off: outputs may not move at all, and then leap. The first trial is in
        the middle where nothing is known, else the smallest step beyond `known`.
        """
        saved, slope = self.clipper.saved, math.log(2)  # the drift goes with the root of the loss
        least, most = saved(known) if known else 0.0, saved(make(high))
        if most <= least:
            return None
        near = COARSE if known is None else FINE
        good, gentlest = bracket(lambda x: saved(make(x)) > least, low, high, near)
        bad = bracket(lambda x: saved(make(x)) >= most, good, high, near)[1] + 1.0  # within reach of halving
        first = min(max(gentlest, 0.5 * (low + high)), bad) if known is None else gentlest

        def excess(options: FactorizationChoice) -> float:
            return -math.inf if saved(options) <= least else self.excess(options)

        return secant_closest(make, excess, good, bad, slope, MAX_RUNS, self.context.out_of_time, first)

    def excess(self, options: FactorizationChoice) -> float:
        """Return the logarithm of the drift relative to what is allowed; at most 0 where it fits."""
        key = tuple(options)
        if key not in self.judged:
            assert self.context.drift is not None
            drift = self.context.drift(self.clipper.clipped(options))
            self.judged[key] = math.log(max(drift, NO_CHANGE) / max(self.context.max_error, NO_CHANGE))
        return self.judged[key]


def _grew(before: Network, after: Network, context: Context) -> bool:
    """Return True if anything that the user minimises takes more than before."""
    return context.price.grew(*(footprint(network, context.mapping) for network in (before, after)))


def _changes(before: LinearMap, after: LinearMap) -> Iterator[Change]:
    """Yield the changes of a map: a lower rank, or a kernel that became two."""
    if before.taps != after.taps:
        assert after.v is not None
        whole, u, v = (_kernel(layer) for layer in (before.u, after.u, after.v))
        yield Change(after.origin, "kernel", whole, f"{u} and {v}, {after.rank} channels between them")
    elif after.rank < before.rank:
        yield Change(after.origin, "rank", str(before.rank), str(after.rank))


def _kernel(layer: Layer) -> str:
    return "x".join(map(str, layer.layout.shape[2:]))
