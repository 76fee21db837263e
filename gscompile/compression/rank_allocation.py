"""A network clipped to any number of cells: what its linear maps may become, and what that costs the loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.channels.dead_units import drop_dead_units
from gscompile.compression.bisection import bisect_largest
from gscompile.compression.decomposition import (
    Decomposed,
    WeightSpectrum,
    spectrum,
    squared_norm,
    weight_spectrum,
)
from gscompile.compression.lagrangian import Choice, choose, choose_filled, choose_within
from gscompile.compression.linear_maps import LinearMap, cells, linear_maps, pays
from gscompile.compression.passes import Context
from gscompile.compression.pricing import Pricing
from gscompile.compression.ranking import Ranking, without_cheapest
from gscompile.compression.separable import moments_apart, separable_spectrum
from gscompile.compression.sizes import Sizes
from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import Footprint, footprint
from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices

if TYPE_CHECKING:
    from gscompile.compression.moments import Moments

MOST_PROBED = 1 << 25  # cells
PROBED_SHARE = 0.8  # of the cells of a map that is clipped to see what it does to the outputs
PROBED_LOSS = 0.01  # of a matrix: less says little of more
PROBED_LEAST = 0.01  # of the median: a tenth of its drift
MOST_DRIFT = 1e3
NO_CHANGE = 1e-7  # less is rounding
EXACT = 1e-5  # what verifying allows where no error is


@dataclass(frozen=True, eq=False)
class Factorization:
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
        """Return the loss of every rank, over all parts, in units of this map."""
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
        """Return the ranks that pay."""
        return [r for r in range(1, min(self.linear.rank, len(self.losses))) if pays(self.linear, r)]

    def bytes_at(self, rank: int) -> int:
        """Return the bytes of the two factors of a rank."""
        parts, inputs, outputs = self.linear.shape
        return int(rank * parts * (inputs + outputs) * self.linear.u.itemsize)

    @property
    def kept(self) -> float:
        """Return the loss of the map in its present state."""
        rank = self.linear.rank
        return float(self.worth[rank]) if self.linear.v is not None and rank < len(self.worth) else 0.0


ChosenRanks = tuple[Factorization, int]  # and its rank
FactorizationChoice = list[int]  # of every map, by number; 0 leaves it as it is


def _rank_by_value(way: Factorization, x: float) -> int:
    """Return how many singular values are larger than 2**x times the first."""
    energy = np.maximum(-np.diff(way.losses), 0.0)
    return max(1, int(np.count_nonzero(energy > 4.0**x * energy[0])))


def _rank_by_energy(way: Factorization, x: float) -> int:
    """Return the least rank that loses no more than 2**x of the norm."""
    return max(1, int(np.argmax(way.losses <= 4.0**x * way.losses[0]))) if way.losses[-1] <= 4.0**x else way.linear.rank


def _rank_by_share(way: Factorization, x: float) -> int:
    """Return all but 2**x of the ranks."""
    return max(1, round(min(way.linear.shape[1:]) * (1 - math.exp2(x))))


UNIFORM = (_rank_by_value, _rank_by_energy, _rank_by_share)  # x at most 0: the larger, the lower the rank


@dataclass(frozen=True, eq=False)
class RankAllocator:
    """A network with the spectra of its linear maps, of each in every way, to be clipped to any size.

    `bounded`: nothing that the user minimises, nor the stored weights, may take more than in `network`; else groups are
    deleted later, and the search itself takes less.
    """

    network: Network
    maps: Sequence[Sequence[Factorization]]
    sizes: Sizes
    pricing: Pricing
    bounded: bool = False
    is_probed: bool = False

    @classmethod
    def of(cls, network: Network, context: Context) -> RankAllocator:
        """Decompose what can be factored, in the loss's metric where there is data."""
        network = network.copy()
        maps = [m for m in linear_maps(network) if m.factorable and pays(m, 1) and m.origin not in context.untouchable]
        bounded = context.trainer is None or not context.later
        return cls(network, [*_ways(network, maps, context)], Sizes(context.mapping), context.price, bounded)

    def part(self, share: float) -> Network:
        """A copy of at most a share of what there is, as far as ranks go, by one slope of the loss over all layers."""
        return self.clipped(self._kept_in_bounds(choose(self._choices, self._budget(share))))

    def _budget(self, share: float) -> float:
        """What the maps may take together for the network to take a share of what it does."""
        whole = self._price.of(self._whole)
        return share * whole - (whole - sum(choice.sizes[0] for choice in self._choices))

    def filled(self, share: float) -> Network:
        """Return a copy of as nearly a share of what there is as ranks make it, no more where they go so far."""
        return self.clipped(self._kept_in_bounds(choose_filled(self._choices, self._budget(share))))

    @cached_property
    def half(self) -> Network:
        return self.part(0.5)

    def saving(self, share: float, context: Context) -> Network | None:
        """As few ranks clipped as save a share of what the network takes; None where that is not to be had."""
        saved, over = context.saving(self.network), context.out_of_time
        return bisect_largest(
            self.part, lambda smaller: saved(smaller) >= share, good=0.25, bad=1.0, rounds=6, over=over
        )

    def within(self, loss: float) -> FactorizationChoice:
        """Return the options that save most and cost no more than `loss`, over all layers together."""
        return self._kept_in_bounds(choose_within(self._choices, loss))

    def uniform(self, rank_of: Callable[[Factorization, float], int], x: float) -> FactorizationChoice:
        """Return the options by which every map takes the rank that one rule gives at `x`, where that rank pays.

        A map of which nothing is known loses no more than `unknown`.
        """
        options = [self._uniform(number, rank_of(ways[0], x)) for number, ways in enumerate(self.maps)]
        return self._kept_in_bounds(options)

    def saved(self, options: FactorizationChoice) -> float:
        """Return what options save, as a share of the worth of all that the network takes."""
        return sum(choice.sizes[0] - choice.sizes[o] for choice, o in zip(self._choices, options, strict=True))

    def clipped(self, options: FactorizationChoice) -> Network:
        """Return a copy with maps as they were chosen; option 0 leaves one as it is."""
        chosen = zip(self._options, options, strict=True)
        return self.with_ways([ways[option - 1] for ways, option in chosen if option])

    def probed(self, context: Context) -> RankAllocator:
        """With losses in units of the squared drift, from what each map, clipped alone, does to the outputs.

        The same share of a matrix may be nothing in one layer and all in another, or in one way to take a kernel apart
        and in another. A map that the probe hardly reaches counts as a hundredth of the median, since other inputs may
        reach it; one that it does not reach at all, as in a branch not taken, may lose no more of its weights than the
        outputs may. Networks of more than `MOST_PROBED` cells are not probed: a run of them costs about as much as all
        the rest.
        """
        drift = context.drift
        if drift is None or cells(self.network) > MOST_PROBED or not np.isfinite(drift(self.network)):
            return self
        replacing = context.drift_replacing(self.network) if context.drift_replacing else None
        probe = _Probe(self, drift, replacing)
        found: list[list[float]] = []
        for ways in self.maps:
            if context.out_of_time():
                return self
            found.append([probe.scale(way) for way in ways])
        median = float(np.median([scales[0] for scales in found if 0 < scales[0] < np.inf] or [1.0]))
        unknown = max(context.max_error, EXACT) ** 2

        def known(scale: float) -> float:
            return median if np.isnan(scale) else max(scale, PROBED_LEAST * median)

        maps = [
            [dataclasses.replace(way, scale=known(scale), unknown=unknown) for way, scale in zip(*pairs, strict=True)]
            for pairs in zip(self.maps, found, strict=True)
        ]
        return dataclasses.replace(self, maps=maps, is_probed=True)

    @cached_property
    def _whole(self) -> Footprint:
        """Return the size of all maps, with zeros left out; computed once for all shares that are tried."""
        return footprint(self.network, self.sizes.mapping)

    @cached_property
    def _price(self) -> Price:
        return self.pricing(self._whole)

    @cached_property
    def _options(self) -> list[list[ChosenRanks]]:
        """Return the options of each map: the ranks that pay, factorization by factorization."""
        return [[(way, rank) for way in ways for rank in way.ranks] for ways in self.maps]

    @cached_property
    def _taken(self) -> list[list[Footprint]]:
        """Return the size of each map with every option."""
        return [
            [self.sizes.now(ways[0].linear), *(f for way in ways for f in self.sizes.at(way.linear, way.ranks))]
            for ways in self.maps
        ]

    @cached_property
    def _choices(self) -> list[Choice]:
        return [self._choice(ways, taken) for ways, taken in zip(self.maps, self._taken, strict=True)]

    def _choice(self, ways: Sequence[Factorization], taken: Sequence[Footprint]) -> Choice:
        """Option 0 keeps what is there."""
        losses = (float(loss) for way in ways for loss in way.worth[way.ranks])
        return Choice((ways[0].kept, *losses), tuple(map(self._price.of, taken)))

    def _uniform(self, number: int, rank: int) -> int:
        """Return the option of a map at a rank; 0 where the rank does not pay or loses too much of an unknown map."""
        way, choice = self.maps[number][0], self._choices[number]
        if rank not in way.ranks:
            return 0
        option = way.ranks.index(rank) + 1
        return option if choice.sizes[option] < choice.sizes[0] and choice.loss[option] < math.inf else 0

    def _kept_in_bounds(self, options: FactorizationChoice) -> FactorizationChoice:
        """Return the options without those that make a bounded figure grow in all, the one that saves least first."""
        if not self.bounded:
            return options
        options = [*options]
        growth = np.array([self._growth(number, option) for number, option in enumerate(options)], np.float64)
        saved = np.array([c.sizes[0] - c.sizes[o] for c, o in zip(self._choices, options, strict=True)])
        while len(options) and (total := growth.sum(axis=0) - self._freed_together(options)).max() > 0:
            worst = growth[:, int(np.argmax(total > 0))]
            cost = np.where(worst > 0, saved / np.maximum(worst, 1), np.inf)
            number = int(np.argmin(cost))
            options[number], growth[number] = 0, 0
        return options

    def _freed_together(self, options: FactorizationChoice) -> NDArray[np.float64]:
        """Return the figures of `_growth` that options save beyond their sum: weights that nothing reads then."""
        freed = np.zeros(1 + len(self.pricing.named(self._whole)))
        freed[-1] = sum(size for maps, size in self._tied if all(options[number] for number in maps))
        return freed

    @cached_property
    def _tied(self) -> list[tuple[list[int], int]]:
        """The maps that read one stored weight each in its own way, as it is and transposed, and the weight's bytes."""
        readers: dict[str | None, list[int]] = {}
        for number, ways in enumerate(self.maps):
            if ways[0].linear.v is None:
                readers.setdefault(_stored_name(ways[0].linear.u), []).append(number)
        found = [(maps, [self.maps[number][0].linear.u for number in maps]) for maps in readers.values()]
        sizes = [(maps, self.network.bytes_freed(*layers)) for maps, layers in found if len(maps) > 1]
        return [(maps, size - sum(self._stored[number] for number in maps)) for maps, size in sizes]

    def _growth(self, number: int, option: int) -> tuple[int, ...]:
        """By how much an option makes each bounded figure of its map grow: what is minimised, and bytes stored."""
        if not option:
            return (0,) * (1 + len(self.pricing.named(self._whole)))
        now, then = (self.pricing.named(self._taken[number][each]) for each in (0, option))
        way, rank = self._options[number][option - 1]
        stored = way.bytes_at(rank) - self._stored[number]
        return (*(b - a for a, b in zip(now, then, strict=True)), stored)

    @cached_property
    def _stored(self) -> list[int]:
        """The bytes that each map's factors would free: none of a weight that something else reads as well."""
        layers = ([m.u] if m.v is None else [m.u, m.v] for m in (ways[0].linear for ways in self.maps))
        return [sum(map(self.network.bytes_freed, each)) for each in layers]

    def with_ways(self, chosen: Sequence[ChosenRanks]) -> Network:
        """Return a copy whose maps are products of these ranks."""
        network = self.network.copy()
        replace(network, [(way.linear, way.parts, rank) for way, rank in chosen])
        return network


@dataclass(frozen=True, eq=False)
class _Probe:
    """Measures what single maps do to the outputs; `replacing` runs another weight of a layer without a new session."""

    clipper: RankAllocator
    drift: Callable[[Network], float]
    replacing: Callable[[Layer, Matrices], float] | None

    def scale(self, way: Factorization) -> float:
        """Return the squared drift per loss of one map alone, at a rank that saves a fifth of its cells, or less.

        Where the outputs do not move so, the drift without the map. NaN where no rank is felt, all of a matrix lying in
        one direction; infinite where the outputs do not move either way.
        """
        linear, losses = way.linear, way.losses
        _, inputs, outputs = linear.shape
        felt = int(np.count_nonzero(losses >= PROBED_LOSS)) - 1
        rank = min(int(PROBED_SHARE * inputs * outputs / (inputs + outputs)), linear.rank - 1, felt)
        if rank < 1:
            return math.nan
        moved = self._at(way, rank)
        if moved >= NO_CHANGE:
            return float(min(moved, MOST_DRIFT)) ** 2 / float(losses[rank])
        gone = self._without(linear)  # a saturated output does not move until much is lost
        return math.inf if gone < NO_CHANGE else float(min(gone, MOST_DRIFT)) ** 2 / max(1.0, float(losses[0]))

    def _at(self, way: Factorization, rank: int) -> float:
        """Return the drift with one map at a rank, of which a whole one is replaced by the product of its factors."""
        if self.replacing is None or way.linear.v is not None:
            return self.drift(self.clipper.with_ways([(way, rank)]))
        u, v = _stacked(way.parts, rank)
        return self.replacing(way.linear.u, (u @ v).reshape(way.linear.u.matrices.shape))

    def _without(self, linear: LinearMap) -> float:
        """Return the drift with zeros for a map."""
        nothing = np.zeros_like(linear.u.matrices)
        if self.replacing is not None:
            return self.replacing(linear.u, nothing)
        network = self.clipper.network.copy()
        network.set_matrices(linear.u.name, nothing)
        return self.drift(network)


def _stored_name(layer: Layer) -> str | None:
    """The name of the tensor that a layer's weight is computed from by ops of one input, or is."""
    value = layer.value
    while (producer := value.producer()) is not None and producer.inputs and producer.inputs[0] is not None:
        value = producer.inputs[0]
    return value.name


def _ways(network: Network, maps: Sequence[LinearMap], context: Context) -> Iterator[Sequence[Factorization]]:
    """Spectra of every part: in the loss's metric where there is data, else relative to the matrix."""
    moments = context.moments(network) if context.moments is not None else {}
    for m in maps:
        seen_in, seen_out = moments.get(m.u.name), moments.get((m.v or m.u).name)
        if seen_in is None or seen_out is None:
            yield [
                Factorization(way, [_set_aside(network, part) for part in _relative(way.product)]) for way in m.ways()
            ]
        else:
            yield [Factorization(way, [*_seen(way, seen_in.inputs, seen_out)]) for way in m.ways()]


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
    in_pairs = [(m, parts, rank) for m, parts, rank in chosen if m.v is not None]
    for linear, parts, rank in in_pairs:  # the ranks that go are dead units between the factors
        assert linear.v is not None
        (u, v), empty = _stacked(parts, rank), linear.rank - rank
        network.set_matrices(linear.u.name, np.pad(u, ((0, 0), (0, 0), (0, empty))))
        network.set_matrices(linear.v.name, linear.folded(np.pad(v, ((0, 0), (0, empty), (0, 0)))))
    if in_pairs:  # once all are set, since other layers lose what is dead in them
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
    assert context.trainer is not None
    score, saved = context.trainer.score, context.saving(network)

    def better(smaller: Network) -> bool:
        return score(without_cheapest(network, groups, saved(smaller))) > score(smaller) + context.budget.standard_error

    return all(better(smaller) for smaller in clipped)
