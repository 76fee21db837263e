"""The search on one page: iterative structured pruning within an accuracy budget.

Groups are deleted, or ranks clipped, by Fisher saliency per saving (rounds.py), with fine-tuning towards a teacher in
between. When the score has left the budget, bisection finds the smallest network of that trajectory which a recovery
brings back (trajectory.py), and pruning goes on from there. All numbers are in settings.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from gscompile.compression.bisection import bisect_largest
from gscompile.compression.passes import OUT_OF_TIME, Context
from gscompile.compression.ranking import ranked, without_cheapest
from gscompile.graph.network import Network
from gscompile.search.recovery import ScoredNetwork, recover
from gscompile.search.rounds import prune_rounds
from gscompile.search.settings import SearchSettings
from gscompile.search.step_size import smallest_step, step_after_failure
from gscompile.search.time_plan import sharing_time
from gscompile.search.trajectory import smallest_recoverable


def prune_within(start: Network, context: Context, settings: SearchSettings) -> Network:
    """Return the smallest network found that meets the accuracy budget; `start` itself if there is none.

    Prune until the score is not worth a recovery, recover the smallest network that can be, continue from there; halve
    the step when the end of the trajectory could not be recovered.
    """
    context = sharing_time(context.ready_for_training(), settings)
    budget, first_score = context.budget, context.required_trainer().score(start)
    best, failed, step = start, None, settings.step
    if budget.below(first_score, settings.start_errors):
        best, _ = recover(start, first_score, context, settings)
    while step >= smallest_step(context.effort, settings) and not context.out_of_time():
        lowest = stop_score(context, settings, is_recovered=best is not start)
        trajectory = [*prune_rounds(best, step, lowest, context, settings, failed)]
        best, new_failed = smallest_recoverable(best, trajectory, context, settings)
        if new_failed is not None or not trajectory:
            failed, step = new_failed or failed, step_after_failure(step)
    context.stopped(stop_reason(step, context, settings))
    if best is start and not budget.met(first_score):
        best, _ = recover(start, first_score, context, settings)
    if best is start and not context.out_of_time():
        return smallest_untuned(start, context, settings)
    return best


def stop_reason(step: float, context: Context, settings: SearchSettings) -> str:
    """Return why the search ended: the time was over, or no smaller network recovered."""
    tried = f"no network recovered after another round, down to rounds of {min(2 * step, settings.step):.1%}"
    return OUT_OF_TIME if context.out_of_time() else tried


def stop_score(context: Context, settings: SearchSettings, is_recovered: bool) -> float:
    """Return the score below which rounds end, in percent: lower before the first recovery, which brings back more."""
    n_errors = settings.stop_errors if is_recovered else settings.first_stop_errors
    return context.budget.recoverable_score - n_errors * context.budget.standard_error


def prune_below(network: Network, context: Context, settings: SearchSettings) -> Iterator[ScoredNetwork]:
    """Yield a trajectory for a frontier, without recoveries, until a score is `curve_slack` points below the budget.

    The slack is at most half of the points that are missing to 100 %, since points weigh more where few are missing.
    """
    context = sharing_time(context.ready_for_training(), settings)
    slack = min(settings.curve_slack, 0.5 * (100 - context.budget.min_score))
    return prune_rounds(network, settings.step, context.budget.recoverable_score - slack, context, settings)


def smallest_untuned(network: Network, context: Context, settings: SearchSettings) -> Network:
    """Return the smallest network within the budget that needs no fine-tuning, by bisection on the deleted share."""
    score, groups = context.required_trainer().score, ranked(network, context, settings.prune_units)
    best = bisect_largest(
        lambda share: without_cheapest(network, groups, share),
        lambda candidate: context.budget.met(score(candidate)),
        good=0.0,
        bad=settings.untuned_max_share,
        rounds=settings.untuned_trials,
        over=context.out_of_time,
    )
    return network if best is None else best
