"""Whole units priced by the loss that is left once the layer that reads them has taken over their work."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gscompile.compensation.surgeon import Deletions, deletions
from gscompile.compression.ranking import vector_masks
from gscompile.crossbars.groups import Family, GroupMember, deleted, families
from gscompile.crossbars.mapping import MapOptions
from gscompile.graph.network import Network, replace_held
from gscompile.graph.trainable import trainable_values

if TYPE_CHECKING:
    from gscompile.compression.moments import Moments

MORE = 1 + 1e-9  # times a price: just above it


@dataclass(frozen=True, eq=False)
class PricedUnits:
    """The units of one space in the order in which they go, with the loss that is left, and the cells of each."""

    family: Family
    deletions: Deletions
    cells: float

    def cheaper_than(self, price: float) -> NDArray[np.bool_]:
        """Return which units [units] go where a cell is worth `price`: what makes loss and price together least."""
        spent = self.deletions.loss - price * self.cells * np.arange(len(self.deletions.loss))
        gone = np.zeros(self.family.size, bool)
        gone[self.deletions.order[: int(np.argmin(spent[:-1]))]] = True  # one stays at the least
        return gone


Gone = list[tuple[PricedUnits, NDArray[np.bool_]]]


def within(priced: Sequence[PricedUnits], cells: float) -> Gone:
    """Return the units that go at the highest price of a cell, the same for all spaces, that takes at most `cells`."""

    def at(price: float) -> Gone:
        return [(units, units.cheaper_than(price)) for units in priced]

    slopes = {0.0} | {
        float(slope) for units in priced for slope in np.diff(units.deletions.loss) / units.cells if slope > 0
    }
    prices = sorted(slopes)
    number = bisect_right(prices, cells, key=lambda price: sum(u.cells * gone.sum() for u, gone in at(price * MORE)))
    return at(prices[number - 1] * MORE if number else 0.0)


def priced_units(network: Network, moments: Mapping[str, Moments], mapping: MapOptions) -> list[PricedUnits]:
    """Return the price of every unit that a single matrix reads, from that matrix's moments of inputs and curvature."""
    return [
        PricedUnits(family, _deletions(network, reader, moments[reader.layer], family.size), _cells(network, family))
        for family, reader in _read_once(network, mapping)
        if reader.layer in moments
    ]


def _deletions(network: Network, reader: GroupMember, moments: Moments, count: int) -> Deletions:
    """Deletions of the units that hold a weight where they are read; those that went before are not counted again."""
    weights = network.matrices(reader.layer)[0].astype(np.float64)
    alive = np.unique(reader.rows[weights.any(axis=1) & (reader.rows >= 0)])
    number = np.full(count + 1, -1)
    number[alive] = np.arange(len(alive))
    found = deletions(weights, moments.inputs[0], moments.outputs[0], number[reader.rows], len(alive))
    return Deletions(alive[found.order], found.loss)


def _read_once(network: Network, mapping: MapOptions) -> Iterator[tuple[Family, GroupMember]]:
    """Units that are read by one matrix, and that matrix's rows."""
    for family in families(network, mapping):
        space = family.space
        if space is None or len(space.consumers) != 1 or space.meetings:
            continue
        readers = [member for member in family.members if member.layer == space.consumers[0].layer]
        if len(readers) == 1 and readers[0].shape == (space.size, 1):
            yield family, readers[0]


def _cells(network: Network, family: Family) -> float:
    """Cells of a unit: its rows where it is read and its columns where it is made."""
    return sum(float(network.matrices(m.layer)[m.part].size) for m in family.members) / max(family.size, 1)


def without_units(network: Network, gone: Sequence[tuple[PricedUnits, NDArray[np.bool_]]]) -> Network:
    """Return a copy whose units `gone` [units] hold zeros, in their matrices and in their biases."""
    chosen = {units.family: which for units, which in gone if which.any()}
    smaller, vectors = network.copy(), vector_masks(network, chosen)
    for name, mask in deleted(network, chosen).items():
        smaller.set_matrices(name, np.where(mask, 0, network.matrices(name)))
    values = trainable_values(smaller)
    for key, mask in vectors.items():
        array = smaller.array(values[key])
        assert array is not None
        replace_held(values[key], np.where(mask.reshape(array.shape), 0, array).astype(array.dtype))
    smaller.changed()
    return smaller
