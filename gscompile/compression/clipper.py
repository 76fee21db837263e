"""A network clipped to any number of cells: what its linear maps may become, and what that costs the loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.channels.units import drop_dead_units
from gscompile.compression.bisection import furthest
from gscompile.compression.choosing import Choice, choose, choose_within
from gscompile.compression.deletion import Ranking, without_cheapest
from gscompile.compression.factoring import (
    Decomposed,
    WeightSpectrum,
    spectrum,
    squared_norm,
    weight_spectrum,
)
from gscompile.compression.linear_maps import LinearMap, cells, linear_maps, pays
from gscompile.compression.separable import moments_apart, separable_spectrum
from gscompile.compression.sizing import Cells, Priced, Size
from gscompile.compression.transform import Context
from gscompile.graph.network import Network

if TYPE_CHECKING:
    from gscompile.training.statistics import Moments

MOST_PROBED = 1 << 25  # cells
PROBED_SHARE = 0.8  # of the cells of a map that is clipped to see what it does to the outputs
PROBED_LOSS = 0.01  # of a matrix: less says little of more
PROBED_LEAST = 0.01  # of the median: a tenth of its drift
MOST_DRIFT = 1e3
UNMOVED = 1e-7  # less is rounding
EXACT = 1e-5  # what verifying allows where no error is


@dataclass(frozen=True, eq=False)
class Way:
    """A linear map as a product that it may become, and the spectra of its parts.

    `scale` says what the map's loss is worth in units that all maps have in common; 1 where there are none. One that is
    infinite is not known, and the map may lose no more than `unknown`.
    """

    linear: LinearMap
    parts: Sequence[Decomposed]
    scale: float = 1.0
    unknown: float = 0.0

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """What every rank costs, over all parts, in the map's own units."""
        losses = [part.loss for part in self.parts]
        most = max(map(len, losses))  # a part that has fewer directions is whole with all of them
        return np.asarray(np.sum([np.pad(loss, (0, most - len(loss)), mode="edge") for loss in losses], axis=0))

    @cached_property
    def worth(self) -> NDArray[np.float64]:
        """The same in units that all maps have in common; of one that is not known nothing, or more than any price."""
        known = self.scale < math.inf
        return self.losses * self.scale if known else np.where(self.losses <= self.unknown, 0.0, np.inf)

    @cached_property
    def ranks(self) -> list[int]:
        """Those that pay."""
        return [r for r in range(1, min(self.linear.rank, len(self.losses))) if pays(self.linear, r)]

    @property
    def kept(self) -> float:
        """What the map has lost as it is."""
        rank = self.linear.rank
        return float(self.worth[rank]) if self.linear.v is not None and rank < len(self.worth) else 0.0


Chosen = tuple[Way, int]  # and its rank


@dataclass(frozen=True, eq=False)
class Clipper:
    """A network with the spectra of its linear maps, of each in every way, to be clipped to any number of cells."""

    network: Network
    maps: Sequence[Sequence[Way]]
    size: Size = field(default_factory=Cells)
    is_probed: bool = False

    @classmethod
    def of(cls, network: Network, context: Context) -> Clipper:
        """Decompose what can be factored, in the loss's metric where there is data, which then goes by the price."""
        network = network.copy()
        maps = [m for m in linear_maps(network) if m.factorable and pays(m, 1) and m.origin not in context.untouchable]
        size = Cells() if context.tuner is None else Priced(context.mapping, context.priced(network))
        return cls(network, [*_ways(network, maps, context)], size)

    def part(self, share: float) -> Network:
        """A copy of at most a share of what there is, as far as ranks go, by one slope of the loss over all layers."""
        fixed = self._whole - sum(choice.sizes[0] for choice in self._choices)
        return self._at(choose(self._choices, share * self._whole - fixed))

    @cached_property
    def half(self) -> Network:
        return self.part(0.5)

    def saving(self, share: float, context: Context) -> Network | None:
        """As few ranks clipped as save a share of what the network takes; None where that is not to be had."""
        saved, over = context.saving(self.network), context.out_of_time
        return furthest(self.part, lambda smaller: saved(smaller) >= share, good=0.25, bad=1.0, rounds=6, over=over)

    def within(self, loss: float) -> Network:
        """A copy of as few cells as cost no more than `loss`, over all layers together."""
        return self._at(choose_within(self._choices, loss))

    def probed(self, context: Context) -> Clipper:
        """With losses in units of the squared drift, from what each map, clipped alone, does to the outputs.

        The same share of a matrix may be nothing in one layer and all in another. A map that the probe hardly reaches
        counts as a hundredth of the median, since other inputs may reach it; one that it does not reach at all, as in a
        branch not taken, may lose no more of its weights than the outputs may. Networks of more than `MOST_PROBED`
        cells are not probed: a run of them costs about as much as all the rest.
        """
        drift = context.drift
        if drift is None or cells(self.network) > MOST_PROBED or not np.isfinite(drift(self.network)):
            return self
        found: list[float] = []
        for ways in self.maps:
            if context.out_of_time():
                return self
            found.append(self._probe(ways[0], drift))
        median = float(np.median([scale for scale in found if 0 < scale < np.inf] or [1.0]))
        scales = [median if np.isnan(scale) else max(scale, PROBED_LEAST * median) for scale in found]
        unknown = max(context.max_error, EXACT) ** 2
        maps = [
            [dataclasses.replace(way, scale=scale, unknown=unknown) for way in ways]
            for ways, scale in zip(self.maps, scales, strict=True)
        ]
        return dataclasses.replace(self, maps=maps, is_probed=True)

    def _probe(self, way: Way, drift: Callable[[Network], float]) -> float:
        """The squared drift per loss of one map alone, at a rank that saves a fifth of its cells, or less that is felt.

        NaN where no rank is felt, all of a matrix lying in one direction; infinite where the outputs do not move.
        """
        linear, losses = way.linear, way.losses
        _, inputs, outputs = linear.shape
        felt = int(np.count_nonzero(losses >= PROBED_LOSS)) - 1
        rank = min(int(PROBED_SHARE * inputs * outputs / (inputs + outputs)), linear.rank - 1, felt)
        if rank < 1:
            return math.nan
        moved = drift(self._with([(way, rank)]))
        return math.inf if moved < UNMOVED else float(min(moved, MOST_DRIFT)) ** 2 / float(losses[rank])

    @cached_property
    def _whole(self) -> float:
        """What all maps take as they are: every weight is looked at, once for all shares that are tried."""
        return sum(map(self.size.now, linear_maps(self.network)))

    @cached_property
    def _options(self) -> list[list[Chosen]]:
        """What each map may become: ranks, in one way after the other, as far as they pay."""
        return [[(way, rank) for way in ways for rank in way.ranks] for ways in self.maps]

    @cached_property
    def _choices(self) -> list[Choice]:
        return [self._choice(ways) for ways in self.maps]

    def _choice(self, ways: Sequence[Way]) -> Choice:
        """Option 0 keeps what is there."""
        losses = (float(loss) for way in ways for loss in way.worth[way.ranks])
        sizes = (size for way in ways for size in self.size.at(way.linear, way.ranks))
        return Choice((ways[0].kept, *losses), (self.size.now(ways[0].linear), *sizes))

    def _at(self, options: Sequence[int]) -> Network:
        """A copy with maps as they were chosen; option 0 leaves one as it is."""
        chosen = zip(self._options, options, strict=True)
        return self._with([ways[option - 1] for ways, option in chosen if option])

    def _with(self, chosen: Sequence[Chosen]) -> Network:
        network = self.network.copy()
        replace(network, [(way.linear, way.parts, rank) for way, rank in chosen])
        return network


def _ways(network: Network, maps: Sequence[LinearMap], context: Context) -> Iterator[Sequence[Way]]:
    """Spectra of every part: in the loss's metric where there is data, else relative to the matrix."""
    moments = context.moments(network) if context.moments is not None else {}
    for m in maps:
        seen_in, seen_out = moments.get(m.u.name), moments.get((m.v or m.u).name)
        if seen_in is None or seen_out is None:
            yield [Way(way, [_set_aside(network, part) for part in _relative(way.product)]) for way in m.ways()]
        else:
            yield [Way(way, [*_seen(way, seen_in.inputs, seen_out)]) for way in m.ways()]


def _seen(linear: LinearMap, inputs: NDArray[np.float64], last: Moments) -> Iterator[Decomposed]:
    """The spectra of a map's parts, from moments of its inputs, and from those of the layer that gives its outputs."""
    product, taps = linear.product.astype(np.float64), linear.taps
    for w, a, between, g in zip(product, inputs, last.inputs, last.outputs, strict=True):
        if taps == 1:
            yield spectrum(w, a, g)
        elif linear.v is None:
            yield separable_spectrum(w, a, g, taps)
        else:
            yield spectrum(w, a, np.kron(moments_apart(between, taps)[1], g))


def _relative(product: NDArray[Any]) -> Iterator[WeightSpectrum]:
    """Losses of a part are relative to all parts together."""
    parts = [weight_spectrum(w) for w in product]
    if len(parts) == 1:
        yield from parts
        return
    sizes = np.array([squared_norm(w) for w in product])
    for part, share in zip(parts, sizes / (sizes.sum() or 1.0), strict=True):
        yield dataclasses.replace(part, energy=part.energy * share, rest=part.rest * share)


def _set_aside(network: Network, part: WeightSpectrum) -> WeightSpectrum:
    """On the shelf, where the network has one."""
    return dataclasses.replace(part, u=network.set_aside(part.u), v=network.set_aside(part.v))


def replace(network: Network, chosen: Sequence[tuple[LinearMap, Sequence[Decomposed], int]]) -> None:
    """Put factors of the rank that was chosen in the place of linear maps."""
    network.factor_all(
        (m.u.name, u, m.folded(v)) for m, parts, rank in chosen if m.v is None for u, v in [_stacked(parts, rank)]
    )
    for linear, parts, rank in chosen:
        if linear.v is not None:  # the ranks that go are dead units between the factors
            (u, v), empty = _stacked(parts, rank), linear.rank - rank
            network.set_matrices(linear.u.name, np.pad(u, ((0, 0), (0, 0), (0, empty))))
            network.set_matrices(linear.v.name, linear.folded(np.pad(v, ((0, 0), (0, empty), (0, 0)))))
            drop_dead_units(network)


def _stacked(parts: Sequence[Decomposed], rank: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """u [parts, inputs, rank] and v [parts, rank, outputs]."""
    pairs = [s.factors(rank) for s in parts]
    if len(pairs) == 1:
        return pairs[0][0][None], pairs[0][1][None]
    return np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs])


def deleting_costs_less(network: Network, groups: Ranking, clipped: Iterable[Network], context: Context) -> bool:
    """Whether, untuned, the network scores better without groups that save as much than it does clipped, each time.

    `groups` are those that `ranked` found. Better by more than chance: of the same matrix, low ranks suit one network
    and zeros another, and where they cost alike groups can still go from the factors.
    """
    assert context.tuner is not None
    score, saved = context.tuner.score, context.saving(network)

    def better(smaller: Network) -> bool:
        return score(without_cheapest(network, groups, saved(smaller))) > score(smaller) + context.blur

    return all(better(smaller) for smaller in clipped)
