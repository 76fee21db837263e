"""A network within a bound of its output error, or of a size, by closed form on synthetic samples."""

from __future__ import annotations

from gscompile.compression.bisection import bisect_largest
from gscompile.compression.passes import Context
from gscompile.compression.rank_allocation import RankAllocator
from gscompile.crossbars.mapping import footprint
from gscompile.graph.network import Network

TRIALS = 5  # of the share that ranks keep: to a thirtieth of the network
SIZE_TRIALS = 10  # of the same where only a size is asked for: to a thousandth
MOST_GAINED = 8.0  # times that solving may lower an error: beyond so many times the bound it is not tried


def compressed_without_data(network: Network, context: Context) -> Network:
    """Return the network of least output error at the size that is asked for, else the smallest within the bound.

    Errors are those on the samples that decide; `context.refit` solves on others, and a solution is taken only where
    it lowers the error on those that decide.
    """
    clipper = RankAllocator.of(network, context)
    if context.moments is None:
        clipper = clipper.probed(context)
    return _smallest(clipper, context) if context.size is None else _of_size(clipper, context)


def _smallest(clipper: RankAllocator, context: Context) -> Network:
    """Return the network with the fewest ranks, solved for, whose error is within the bound; else the network."""
    assert context.drift is not None
    drift, saved = context.drift, context.saving(clipper.network)

    def shot(share: float) -> Network:
        return _solved(clipper.filled(share), context)

    def fits(candidate: Network) -> bool:
        return saved(candidate) > 0 and drift(candidate) <= context.max_error

    return bisect_largest(shot, fits, 1.0, 0.0, TRIALS, context.out_of_time) or clipper.network


def _of_size(clipper: RankAllocator, context: Context) -> Network:
    """Return the network with the most ranks that is of the size, solved for; the smallest where none is."""
    size = context.size
    assert size is not None

    def holds(candidate: Network) -> bool:
        return size.holds(footprint(candidate, context.mapping))

    if holds(clipper.network):
        return clipper.network
    found = bisect_largest(clipper.filled, holds, 0.0, 1.0, SIZE_TRIALS)
    return _solved(clipper.filled(0.0) if found is None else found, context)


def _solved(candidate: Network, context: Context) -> Network:
    """Return the candidate with its weights solved for, or as it is where that does not lower its output error."""
    if context.refit is None or context.drift is None:
        return candidate
    before = context.drift(candidate)
    if context.size is None and not before <= MOST_GAINED * context.max_error:
        return candidate
    solved = context.refit(candidate)
    return solved if context.drift(solved) < before else candidate
