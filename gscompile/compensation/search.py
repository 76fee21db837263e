"""A network within a budget of loss or of size by closed form: ranks in one shot, then rounds, each solved for anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from gscompile.compensation.units import priced_units, within, without_units
from gscompile.compression.bisection import bisect_largest
from gscompile.compression.linear_maps import cells
from gscompile.compression.passes import OUT_OF_TIME, Context
from gscompile.compression.rank_allocation import RankAllocator
from gscompile.compression.size_budget import SizeBudget
from gscompile.crossbars.mapping import footprint
from gscompile.graph.network import Network

SHOT_TRIALS = 5  # of the share of cells that ranks keep in one shot: to a thirtieth of the network
MAX_SIZE_TRIALS = 10  # trials of the share that a size asks for, which are not solved for: to a thousandth
DISCOUNT = 3.0  # the weight of the last layer over that of the first, and the factor from one trial to the next
ROUND_SHARE = 0.08  # of what is left: a round of ranks or units, small enough for prices that were measured before it


def compressed_by_closed_form(network: Network, context: Context) -> Network:
    """Return the network of least loss at the size that is asked for, else the smallest within the budget.

    Where the network of that size is beyond the budget of the score, the smallest network within it is returned, and
    the report is told by how much the score is missed at that size.
    """
    clipper = RankAllocator.of(network, context)
    if context.size is None:
        return _smallest(clipper, context)
    best = retrained(_of_size(clipper, context.size, context), context)
    context.stopped(_reached(best, context.size, context))
    short = context.budget.min_score - context.required_trainer().score(best)
    if short <= 0:
        return best
    taken = footprint(best, context.mapping)
    context.note(
        f"the network of {taken.cells:,} cells, {taken.tiles:,} tiles and {taken.wires:,} wires misses the score that "
        f"--max-drop asks for by {short:.2f} points: the smallest network found within --max-drop is mapped"
    )
    return _smallest(clipper, context)


def _smallest(clipper: RankAllocator, context: Context) -> Network:
    """Return the smallest network found that scores within the budget on the samples that decide; no gradient step.

    Ranks are clipped in one shot, as far as bisection finds that the refitted network fits. Rounds go on from there
    for as long as they fit: the units and ranks that cost least per cell, after compensation, go together, and what
    stays is solved for again.
    """
    network, score, saved = clipper.network, context.required_trainer().score, context.saving(clipper.network)

    def fits(candidate: Network) -> bool:
        return context.budget.met(score(candidate)) and saved(candidate) > 0

    def shot(share: float) -> Network:
        return improved(clipper.filled(share), context).network

    clipper, _ = discounted(clipper, lambda weighed: weighed.filled(0.5), context)
    best = bisect_largest(shot, fits, 1.0, 0.0, SHOT_TRIALS, context.out_of_time) or network
    while not context.out_of_time():
        candidate = _round(best, context, ROUND_SHARE)
        candidate = candidate if fits(candidate) else retrained(candidate, context)
        if context.saving(best)(candidate) <= 0:
            context.stopped("no unit or rank that is left saves anything")
            return best
        if not fits(candidate):
            context.stopped(f"the next round of {100 * ROUND_SHARE:.0f} % of the cells leaves the budget")
            return best
        best = candidate
        context.progress.figures(accuracy=score(best), cells=cells(best))
    context.stopped(OUT_OF_TIME)
    return best


def _reached(network: Network, size: SizeBudget, context: Context) -> str:
    """Return the reason why a search for a size ended."""
    if size.holds(footprint(network, context.mapping)):
        return "the size asked for is reached"
    return OUT_OF_TIME if context.out_of_time() else "no unit or rank that is left saves anything"


def _of_size(clipper: RankAllocator, size: SizeBudget, context: Context) -> Network:
    """Return the network with the most ranks that is of that size, solved for once; rounds follow where ranks end.

    The nearest network where neither goes so far.
    """

    def holds(candidate: Network) -> bool:
        return size.holds(footprint(candidate, context.mapping))

    if holds(clipper.network):
        return clipper.network
    _, best = discounted(clipper, lambda weighed: _largest(weighed, holds), context)
    while not holds(best) and not context.out_of_time():
        half = 0.5 * size.beyond(footprint(best, context.mapping))
        candidate = _round(best, context, max(ROUND_SHARE, half))
        if context.saving(best)(candidate) <= 0:
            break
        best = candidate
    return best


def _largest(clipper: RankAllocator, holds: Callable[[Network], bool]) -> Network:
    """Return the network with the most ranks within a size; with the fewest where ranks do not go so far."""
    found = bisect_largest(clipper.filled, holds, 0.0, 1.0, MAX_SIZE_TRIALS)
    return clipper.filled(0.0) if found is None else found


def discounted(
    clipper: RankAllocator, make: Callable[[RankAllocator], Network], context: Context
) -> tuple[RankAllocator, Network]:
    """Return the allocator of which `make` makes the network that loses least, and that network, solved for.

    Layers that follow take over a part of what a layer loses, and there are more of them behind an early one. Losses of
    layers are weighed by a factor that grows from the first to the last, `DISCOUNT` times as far with each trial, until
    the loss on held-out samples falls no more.
    """
    saved, found, best = context.saving(clipper.network), clipper, improved(make(clipper), context)
    for power in count(1):
        if context.out_of_time():
            break
        tried = weighed(clipper, DISCOUNT**power)
        candidate = improved(make(tried), context)
        if candidate.loss >= best.loss or not saved(candidate.network) > 0:
            break
        found, best = tried, candidate
    return found, best.network


def weighed(clipper: RankAllocator, last: float) -> RankAllocator:
    """Return the allocator with losses weighed by a factor that grows from 1 for the first map to `last`."""
    end = max(len(clipper.maps) - 1, 1)
    maps = [
        [replace(way, scale=way.scale * last ** (number / end)) for way in ways]
        for number, ways in enumerate(clipper.maps)
    ]
    return replace(clipper, maps=maps)


class MeasuredNetwork(NamedTuple):
    """A network and its loss on held-out samples."""

    network: Network
    loss: float


def improved(network: Network, context: Context) -> MeasuredNetwork:
    """Return the network with its weights solved for again; unchanged if that loses more on held-out samples."""
    assert context.refit is not None
    return _better(context.refit(network), network, context)


def retrained(network: Network, context: Context) -> Network:
    """Return the network fine-tuned, if that is asked for and loses less on held-out samples; unchanged otherwise."""
    if context.retrain is None or context.out_of_time():
        return network
    return _better(context.retrain(network), network, context).network


def _better(changed: Network, network: Network, context: Context) -> MeasuredNetwork:
    """Return the changed network unless it loses more on held-out samples than the network that it came from."""
    assert context.loss is not None
    tried, kept = (MeasuredNetwork(each, context.loss(each)) for each in (changed, network))
    return tried if tried.loss <= kept.loss else kept


def _round(network: Network, context: Context, share: float) -> Network:
    """Return a network without the cheapest units and ranks that make up a share of all cells."""
    assert context.moments is not None
    priced = priced_units(network, context.moments(network), context.mapping)
    return improved(without_units(network, within(priced, share * cells(network))), context).network
