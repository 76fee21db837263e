"""The choice of a candidate on a trajectory: the smallest network that a recovery brings into the budget."""

from __future__ import annotations

from collections.abc import Sequence

from gscompile.compression.passes import Context
from gscompile.graph.network import Network
from gscompile.search.recovery import ScoredNetwork, recover
from gscompile.search.settings import SearchSettings
from gscompile.search.time_plan import TimePlan


def smallest_recoverable(
    start: Network, trajectory: Sequence[ScoredNetwork], context: Context, settings: SearchSettings
) -> tuple[Network, Network | None]:
    """Return the smallest network of a trajectory that recovers, recovered; and the next smaller one, which failed.

    By bisection between the last network within the budget and the end of the trajectory, which is tried first. The
    result is `start` if none recovers; the second result is None if the end of the trajectory does. A network that is
    within the budget without a recovery is trained for long all the same: its score may be luck.
    """
    budget = context.budget
    low = last_within = max((i for i, (_, score) in enumerate(trajectory) if budget.met(score)), default=-1)
    best, high, middle = start, len(trajectory), len(trajectory) - 1
    while low < high - 1 and not context.out_of_time():
        network, score = trajectory[middle]
        tuned, new_score = recover(network, score, context, settings, is_last=middle - low == 1)
        if budget.met(new_score):
            best, low = tuned, middle
        else:
            high = middle
        middle = next_candidate(trajectory, low, high, enough=budget.min_score - (new_score - score))
    if low == last_within >= 0:
        best = _consolidated(*trajectory[low], context, settings)
    return best, trajectory[high][0] if high < len(trajectory) else None


def next_candidate(trajectory: Sequence[ScoredNetwork], low: int, high: int, enough: float) -> int:
    """Return the place of the next candidate between `low` and `high`: the middle, or the last that scores `enough`.

    `enough` is the score from which a gain as large as the last one leads into the budget.
    """
    scores = (i for i in range(low + 1, high) if trajectory[i][1] >= enough)
    return max([(low + high) // 2, *scores])


def _consolidated(network: Network, score: float, context: Context, settings: SearchSettings) -> Network:
    """Return a network within the budget after a recovery, if there is time for one and it does not score lower."""
    if context.time_left() < TimePlan(context, settings).recovery_seconds:
        return network
    tuned, new_score = recover(network, score, context, settings)
    return tuned if new_score >= score else network
