"""Rounds of pruning: each deletes the groups, or clips the ranks, that cost least, and fine-tunes for an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gscompile.channels.dead_units import drop_dead_units
from gscompile.compression.passes import Context
from gscompile.compression.rank_allocation import RankAllocator, deleting_costs_less
from gscompile.compression.ranking import Ranking, ranked, vector_masks
from gscompile.crossbars.groups import deleted
from gscompile.crossbars.mapping import footprint
from gscompile.graph.network import Network
from gscompile.search.recovery import ScoredNetwork
from gscompile.search.settings import SearchSettings
from gscompile.search.step_size import next_step
from gscompile.search.stop_rules import (
    approaches_failed,
    has_no_time,
    is_score_too_low,
    is_unchanged,
    saving_of_failed,
)
from gscompile.search.time_plan import TimePlan


def prune_rounds(
    network: Network,
    step: float,
    lowest: float,
    context: Context,
    settings: SearchSettings,
    failed: Network | None = None,
) -> Iterator[ScoredNetwork]:
    """Yield smaller and smaller networks with their scores: a trajectory from `network`.

    It ends by the rules of stop_rules.py: after the first network that scores below `lowest`, before the size of the
    network that `failed` to recover, when a round takes nothing away, and when no time is left for another round.

    Args:
        step: Share of the price that the first round removes.
    """
    start = before = footprint(network, context.mapping)
    price, failed_saving = context.price(start), saving_of_failed(failed, start, context)
    plan = TimePlan(context, settings)
    score, size, seconds, clips = math.inf, step, plan.first_round_seconds, settings.clip_ranks
    while not is_score_too_low(score, lowest) and not has_no_time(context, seconds):
        groups = ranked(network, context, settings.prune_units)
        clipped = clipped_if_cheaper(network, groups, context, size) if clips else None
        clips = clipped is not None  # groups stay cheaper once they are
        network = (
            _tuned(clipped, context, settings) if clipped else without_groups(network, groups, size, context, settings)
        )
        score = context.required_trainer().score(network)
        after = context.show(network, score)
        if is_unchanged(before, after):
            return
        yield network, score
        if approaches_failed(start, before, after, price, failed_saving, settings):
            return
        size = next_step(size, step, context.budget.met(score), settings)
        before, seconds = after, plan.round_seconds


def without_groups(
    network: Network, groups: Ranking, share: float, context: Context, settings: SearchSettings
) -> Network:
    """Return the network without the groups of least saliency per saving, which shrink to zero while it is trained."""
    trainer, chosen = context.required_trainer(), groups.cheapest(share)
    shrink = trainer.shrink(deleted(network, chosen), vector_masks(network, chosen))
    network = trainer.tune(network, settings.round_epochs * context.effort, shrink)
    drop_dead_units(network)
    return network


def clipped_if_cheaper(network: Network, groups: Ranking, context: Context, share: float) -> Network | None:
    """Return the network with ranks clipped to save a share; None if deleting groups that save as much costs less."""
    if context.moments is None:
        return None
    clipped = RankAllocator.of(network, context).saving(share, context)
    return None if clipped is None or deleting_costs_less(network, groups, [clipped], context) else clipped


def _tuned(network: Network, context: Context, settings: SearchSettings) -> Network:
    return context.required_trainer().tune(network, settings.round_epochs * context.effort)
