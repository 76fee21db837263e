"""Rows of single tiles that are deleted while the other rows of the matrix take over their work.

A row group is one row of one tile: the rows of a matrix, of the columns of one column of tiles. The columns of tiles of
a matrix are solved for apart, each as in `surgeon`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gscompile.compensation.moments import Array
from gscompile.compensation.surgeon import compensated, inverse_moments
from gscompile.compression.moments import Moments
from gscompile.compression.rank_allocation import NO_CHANGE, PROBED_LOSS
from gscompile.crossbars.groups import GroupMember, Price, families, savings
from gscompile.crossbars.mapping import MapOptions
from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices

EXERCISED = 1e-9  # of the largest mean square of an input: a row whose input is less was not exercised, and stays


@dataclass(frozen=True, eq=False)
class RowDeletions:
    """The rows of one column of tiles of a matrix [inputs, outputs], in the order in which they go.

    `cols` are the outputs, `inputs` [inputs, inputs] the moments of what the rows read. `losses` [deleted] is what each
    deletion adds to the loss after compensation, `worth` what it saves.
    """

    layer: str
    part: int
    cols: NDArray[np.int64]
    inputs: Array
    order: NDArray[np.int64]
    losses: Array
    worth: Array

    def count(self, price: float) -> int:
        """Return how many rows go where what they save is worth `price`: those before the first that costs more."""
        dear = self.losses > price * self.worth
        return int(np.argmax(dear)) if dear.any() else len(self.order)

    def delete(self, matrix: Array, count: int) -> None:
        """Set the first rows to zero in `matrix` [inputs, outputs], in place, and solve for the others."""
        if count:
            gone = np.zeros(len(matrix), bool)
            gone[self.order[:count]] = True
            part = matrix[:, self.cols]
            matrix[:, self.cols] = np.where(part == 0, 0.0, compensated(part, self.inputs, gone))


def row_order(weights: Array, inputs: Array, curvature: Array, may_go: NDArray[np.bool_]) -> tuple[list[int], Array]:
    """Return the rows in the order in which they go, the cheapest first, and what each adds to the loss.

    `weights` [n, m], `inputs` A [n, n], `curvature` G [m, m]; `may_go` [n] are those that are deleted. The cost is that
    of `surgeon.deletions` with groups of one row, all of which are priced at once.
    """
    w, inverse, left = weights.copy(), inverse_moments(inputs), may_go & weights.any(axis=1)
    order, losses = list[int](), list[float]()
    while left.any():
        costs = np.where(left, np.sum((w @ curvature) * w, axis=1) / np.diag(inverse), np.inf)
        row = int(np.argmin(costs))
        along = inverse[:, row] / inverse[row, row]
        w -= np.outer(along, w[row])
        inverse -= np.outer(along, inverse[row])
        w[row], inverse[row], inverse[:, row], inverse[row, row], left[row] = 0.0, 0.0, 0.0, 1.0, False
        order.append(row)
        losses.append(max(float(costs[row]), 0.0))
    return order, np.array(losses)


def priced_rows(
    network: Network,
    moments: Mapping[str, Moments],
    mapping: MapOptions,
    price: Price,
    error: Callable[[Layer, Matrices], float],
    untouchable: frozenset[str],
) -> list[RowDeletions]:
    """Return the deletions of every matrix whose moments are known, their losses in units of the squared output error.

    `error` tells the output error with other matrices in the place of a layer's.
    """
    found: dict[str, list[RowDeletions]] = {}
    for family in families(network, mapping, units=False):
        (member,) = family.members
        layer = network.layer(member.layer)
        if family.kind == "row group" and layer.name in moments and layer.origin not in untouchable:
            worth = savings(network, family, mapping, price).reshape(member.shape)
            found.setdefault(layer.name, []).extend(_columns(layer, member, moments[layer.name], worth))
    return [each for name, rows in found.items() for each in _in_units(network.layer(name), rows, error)]


def _columns(layer: Layer, member: GroupMember, moments: Moments, worth: Array) -> Iterator[RowDeletions]:
    """One for each column of tiles."""
    weights, inputs = layer.matrices[member.part].astype(np.float64), moments.inputs[member.part]
    seen = np.diag(inputs) > EXERCISED * np.diag(inputs).max(initial=0.0)
    for number in range(member.shape[1]):
        cols = np.flatnonzero(member.cols == number)
        curvature = _counting_all(moments.outputs[member.part])[np.ix_(cols, cols)]
        order, losses = row_order(weights[:, cols], inputs, curvature, seen & (worth[:, number] > 0))
        rows = np.array(order, np.int64)
        yield RowDeletions(
            layer=layer.name,
            part=member.part,
            cols=cols,
            inputs=inputs,
            order=rows,
            losses=losses,
            worth=worth[rows, number],
        )


def _counting_all(curvature: Array) -> Array:
    """Return the curvature [m, m] with outputs that no sample exercises counted like the average one."""
    diagonal = np.diag(curvature)
    passed_over = diagonal <= EXERCISED * diagonal.max(initial=0.0)
    return np.asarray(curvature + np.diag(np.where(passed_over, diagonal.mean(), 0.0)), np.float64)


def _in_units(
    layer: Layer, rows: Sequence[RowDeletions], error: Callable[[Layer, Matrices], float]
) -> Iterator[RowDeletions]:
    """Losses in units of the squared output error, from one probe of the layer; none where the outputs do not move."""
    total = sum(float(each.losses.sum()) for each in rows)
    matrices, lost = layer.matrices.astype(np.float64), 0.0
    for each in rows:
        count = int(np.searchsorted(np.cumsum(each.losses), PROBED_LOSS * each.losses.sum(), side="right"))
        each.delete(matrices[each.part], count)
        lost += float(each.losses[:count].sum())
    if total <= 0 or lost <= 0:
        return
    moved = error(layer, matrices)
    if NO_CHANGE <= moved < np.inf:
        yield from (replace(each, losses=each.losses * (moved**2 / lost)) for each in rows)


def without_rows(network: Network, rows: Sequence[RowDeletions], price: float) -> Network:
    """Return a copy without the row groups that cost less than `price` times what they save."""
    smaller = network.copy()
    changed = {each.layer: network.matrices(each.layer).astype(np.float64) for each in rows if each.count(price)}
    for each in rows:
        if each.layer in changed:
            each.delete(changed[each.layer][each.part], each.count(price))
    for name, matrices in changed.items():
        smaller.set_matrices(name, matrices)
    return smaller


def price_within(rows: Sequence[RowDeletions], loss: float) -> float:
    """Return the highest price at which rows together lose at most `loss`; 0 where no row does."""
    if not rows:
        return 0.0
    ratios = np.unique(np.concatenate([each.losses / each.worth for each in rows]))
    prices = ratios * (1 + 1e-9)

    def lost(price: float) -> float:
        return float(sum(each.losses[: each.count(price)].sum() for each in rows))

    low, high = -1, len(prices) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if lost(prices[middle]) <= loss else (low, middle - 1)
    return float(prices[low]) if low >= 0 else 0.0
