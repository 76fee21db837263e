"""The rules that end a trajectory of pruning rounds: one predicate each."""

from __future__ import annotations

import math

from gscompile.compression.passes import Context
from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import Footprint, footprint
from gscompile.graph.network import Network
from gscompile.search.settings import SearchSettings


def is_score_too_low(score: float, lowest: float) -> bool:
    """Return True if a score is below the lowest that is worth a recovery, in percent.

    >>> is_score_too_low(88.9, lowest=89.0), is_score_too_low(89.0, lowest=89.0)
    (True, False)
    """
    return score < lowest


def has_no_time(context: Context, seconds: float) -> bool:
    """Return True if no more than so many seconds are left, which a round and the recovery after it take."""
    return context.time_left() <= seconds


def is_unchanged(before: Footprint, after: Footprint) -> bool:
    """Return True if a round took nothing away: neither cells nor wires nor tiles."""
    return after == before


def approaches_failed(
    start: Footprint, before: Footprint, after: Footprint, price: Price, failed_saving: float, settings: SearchSettings
) -> bool:
    """Return True if another round that saves as much as the last would come to the size that was not recovered.

    `start` is the footprint of the first network of the trajectory, `before` and `after` are those of the last round.

    >>> sizes = [Footprint(cells, tiles=1, wires=8) for cells in (100, 80, 60)]
    >>> [approaches_failed(*sizes, Price(0.01, 0.0), saving, SearchSettings()) for saving in (0.65, 0.60)]
    [False, True]
    """
    expected = price.saved(start, after) + price.saved(before, after)
    return expected > settings.failed_saving_share * failed_saving


def saving_of_failed(failed: Network | None, start: Footprint, context: Context) -> float:
    """Return what a network that was not recovered saves over `start`; infinity if there is none, or none smaller."""
    if failed is None:
        return math.inf
    saving = context.price(start).saved(start, footprint(failed, context.mapping))
    return saving if saving > 0 else math.inf
