"""A network of a size, or within a bound of its output error, by closed form on synthetic samples."""

from __future__ import annotations

from collections.abc import Sequence

from gscompile.compensation.tile_rows import RowDeletions, price_within, without_rows
from gscompile.compression.bisection import bisect_largest
from gscompile.compression.passes import Context
from gscompile.compression.rank_allocation import RankAllocator
from gscompile.crossbars.mapping import footprint
from gscompile.graph.network import Network

SHARE_TRIALS = 10  # of the share that ranks keep: to a thousandth
LOSS_TRIALS = 6  # of the loss that deleted rows may add up to, of which each is four times the next
LEAST_LOSS, MOST_LOSS = -6.0, 4.0  # powers of four of that loss, relative to the square of the bound


def compressed_to_size(network: Network, context: Context) -> Network:
    """Return the network with the most ranks that is of the size asked for, solved for; the smallest where none is.

    Without `context.moments` ranks are chosen by what single layers, clipped alone, do to the outputs.
    """
    size = context.size
    assert size is not None
    clipper = RankAllocator.of(network, context)
    if context.moments is None:
        clipper = clipper.probed(context)

    def holds(candidate: Network) -> bool:
        return size.holds(footprint(candidate, context.mapping))

    if holds(network):
        return network
    found = bisect_largest(clipper.filled, holds, 0.0, 1.0, SHARE_TRIALS)
    return solved(clipper.filled(0.0) if found is None else found, context)


def solved(candidate: Network, context: Context) -> Network:
    """Return the candidate with its weights solved for, or as it is where that does not lower its output error.

    Weights are solved for on other samples than those on which the error is measured.
    """
    if context.refit is None or context.drift is None:
        return candidate
    found = context.refit(candidate)
    return found if context.drift(found) < context.drift(candidate) else candidate


def without_cheap_rows(network: Network, rows: Sequence[RowDeletions], context: Context) -> Network:
    """Return the network without as many row groups of tiles as leave its output error within the bound."""
    assert context.drift is not None
    drift, saved = context.drift, context.saving(network)

    def less(power: float) -> Network:
        return without_rows(network, rows, price_within(rows, context.max_error**2 * 4.0**power))

    def fits(candidate: Network) -> bool:
        return saved(candidate) >= 0 and drift(candidate) <= context.max_error

    return bisect_largest(less, fits, LEAST_LOSS, MOST_LOSS, LOSS_TRIALS, context.out_of_time) or network
