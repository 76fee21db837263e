"""The smallest network within the budget by closed form: ranks in one shot, then rounds, each solved for anew."""

from __future__ import annotations

from gscompile.compensation.units import priced_units, within, without_units
from gscompile.compression.bisection import furthest
from gscompile.compression.clipper import Clipper
from gscompile.compression.linear_maps import cells
from gscompile.compression.transform import Context
from gscompile.graph.network import Network

TRIALS = 5  # of the share of cells that ranks keep in one shot: to a thirtieth of the network
ROUND = 0.08  # of what is left: a round of ranks or units, small enough for prices that were measured before it


def smallest_by_closed_form(network: Network, context: Context) -> Network:
    """Return the smallest network found that scores within the budget on the samples that decide; no gradient step.

    Ranks are clipped in one shot, as far as bisection finds that the refitted network fits. Rounds go on from there
    for as long as they fit: the units and ranks that cost least per cell, after compensation, go together, and what
    stays is solved for again.
    """
    assert context.tuner is not None
    score, saved = context.tuner.score, context.saving(network)

    def fits(candidate: Network) -> bool:
        return score(candidate) >= context.floor and saved(candidate) > 0

    clipper = Clipper.of(network, context)
    found = furthest(
        lambda share: improved(clipper.filled(share), context), fits, 1.0, 0.0, TRIALS, context.out_of_time
    )
    best = network if found is None else found
    while not context.out_of_time():
        candidate = _round(best, context, ROUND)
        if not fits(candidate) or context.saving(best)(candidate) <= 0:
            break
        best = candidate
        context.progress.figures(accuracy=score(best), cells=cells(best))
    return best


def improved(network: Network, context: Context) -> Network:
    """Return the network with its weights solved for anew, or as it is where that scores worse."""
    assert context.tuner is not None
    assert context.refit is not None
    solved = context.refit(network)
    return solved if context.tuner.score(solved) >= context.tuner.score(network) else network


def _round(network: Network, context: Context, share: float) -> Network:
    """Return a network without the cheapest units and ranks that make up a share of all cells."""
    assert context.moments is not None
    priced = priced_units(network, context.moments(network), context.mapping)
    return improved(without_units(network, within(priced, share * cells(network))), context)
