"""Which groups are deleted, and what is left: the mathematics that passes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gscompile.channels.dead_units import drop_dead_units
from gscompile.compression.passes import Context
from gscompile.crossbars.groups import Family, deleted, families, savings
from gscompile.graph.network import Network
from gscompile.graph.trainable import trainable_values

GroupMasks = dict[Family, NDArray[np.bool_]]
GroupScores = dict[Family, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Groups by what they do: their harm to the loss, and what they save as a share of all there is."""

    harm: GroupScores
    worth: GroupScores

    def cheapest(self, share: float) -> GroupMasks:
        """The groups with the least harm for their worth, until their worth adds up to `share`; one at the least."""
        order = list(self.harm)
        harm, worth = (np.concatenate([of[family] for family in order]) for of in (self.harm, self.worth))
        edges = np.cumsum([family.size for family in order])[:-1]
        return dict(zip(order, np.split(_cheapest(harm, worth, share), edges), strict=True))


def _cheapest(harm: NDArray[np.float64], worth: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    ratio = np.where(worth > 0, harm / np.maximum(worth, 1e-30), np.inf)
    order = np.argsort(ratio, kind="stable")
    count = max(1, int(np.searchsorted(np.cumsum(worth[order]), share * (1 + 1e-9), side="right")))
    picked = order[:count]
    chosen = np.zeros(len(ratio), bool)
    chosen[picked[np.isfinite(ratio[picked])]] = True
    return chosen


def ranked(network: Network, context: Context, units: bool = True) -> Ranking:
    """All groups of a network, by what they do to it as it is."""
    assert context.trainer is not None
    found = families(network, context.mapping, units)
    price = context.priced(network)
    worth = {family: savings(network, family, context.mapping, price) for family in found}
    return Ranking(context.trainer.saliency(network, found), worth)


def without(network: Network, gone: Mapping[str, NDArray[np.bool_]]) -> Network:
    """A copy with those weights [parts, inputs, outputs] at zero, and the units that are dead then dropped."""
    network = network.copy()
    for name, mask in gone.items():
        network.set_matrices(name, np.where(mask, 0, network.matrices(name)))
    drop_dead_units(network)
    return network


def without_cheapest(network: Network, groups: Ranking, share: float) -> Network:
    """A copy without the cheapest of the groups that `ranked` found, of `share` of what there is, and untuned."""
    return without(network, deleted(network, groups.cheapest(share)))


def vector_masks(network: Network, chosen: GroupMasks) -> dict[str, NDArray[np.bool_]]:
    """Entries of biases that go with their units, by the vectors' training keys."""
    keys = {value: key for key, value in trainable_values(network).items()}
    masks: dict[str, NDArray[np.bool_]] = {}
    for family, which in chosen.items():
        for along in family.space.vectors if family.space and which.any() else ():
            if along.value in keys:
                key, mask = keys[along.value], np.append(which, False)[along.unit_of]
                masks[key] = masks.get(key, False) | mask
    return masks
