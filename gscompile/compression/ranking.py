"""The ranking of groups by saliency per saving, and the network without the cheapest of them."""

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
    """The saliency of each group, and its saving as a share of the price of the network."""

    saliency: GroupScores
    saving: GroupScores

    def cheapest(self, share: float) -> GroupMasks:
        """Return masks of the groups of least saliency per saving that save `share` together; at least one group."""
        order = list(self.saliency)
        saliency, saving = (
            np.concatenate([scores[family] for family in order]) for scores in (self.saliency, self.saving)
        )
        edges = np.cumsum([family.size for family in order])[:-1]
        return dict(zip(order, np.split(_cheapest(saliency, saving, share), edges), strict=True))


def _cheapest(saliency: NDArray[np.float64], saving: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    ratio = np.where(saving > 0, saliency / np.maximum(saving, 1e-30), np.inf)
    order = np.argsort(ratio, kind="stable")
    count = max(1, int(np.searchsorted(np.cumsum(saving[order]), share * (1 + 1e-9), side="right")))
    picked = order[:count]
    chosen = np.zeros(len(ratio), bool)
    chosen[picked[np.isfinite(ratio[picked])]] = True
    return chosen


def ranked(network: Network, context: Context, units: bool = True) -> Ranking:
    """Return the ranking of all groups of a network: rows and columns of tiles and, with `units`, whole units."""
    groups = families(network, context.mapping, units)
    price = context.priced(network)
    saving = {family: savings(network, family, context.mapping, price) for family in groups}
    return Ranking(context.required_trainer().saliency(network, groups), saving)


def without(network: Network, gone: Mapping[str, NDArray[np.bool_]]) -> Network:
    """Return a copy with masked weights [parts, inputs, outputs] at zero, and without units that are dead then."""
    network = network.copy()
    for name, mask in gone.items():
        network.set_matrices(name, np.where(mask, 0, network.matrices(name)))
    drop_dead_units(network)
    return network


def without_cheapest(network: Network, groups: Ranking, share: float) -> Network:
    """Return a copy without the cheapest groups, which save `share` of its price; it is not fine-tuned."""
    return without(network, deleted(network, groups.cheapest(share)))


def vector_masks(network: Network, chosen: GroupMasks) -> dict[str, NDArray[np.bool_]]:
    """Return masks of the entries of biases that are deleted with their units, by the training key of the vector."""
    keys = {value: key for key, value in trainable_values(network).items()}
    masks: dict[str, NDArray[np.bool_]] = {}
    for family, which in chosen.items():
        for along in family.space.vectors if family.space and which.any() else ():
            if along.value in keys:
                key, mask = keys[along.value], np.append(which, False)[along.unit_of]
                masks[key] = masks.get(key, False) | mask
    return masks
