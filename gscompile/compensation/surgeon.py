"""Rows of a matrix that are deleted while the others take over their work: the optimal brain surgeon, by groups.

With A = E[x x'] of the inputs and G of the loss's curvature at the outputs, deleting the rows j of W costs
tr(w_j' [(A^-1)_jj]^-1 w_j G) after W -= (A^-1)_:j [(A^-1)_jj]^-1 w_j (Hassibi and Stork 1993; Frantar and Alistarh
2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gscompile.compensation.moments import Array

INPUT_RIDGE = 1e-3  # of the mean diagonal of A, added to it: directions that few samples show are not relied on


@dataclass(frozen=True, eq=False)
class Deletions:
    """Groups in the order in which they go, the cheapest first, and the loss [groups + 1] once so many are gone."""

    order: NDArray[np.int64]
    loss: Array


def inverse_moments(inputs: Array) -> Array:
    """Return (A + ridge)^-1 of A = `inputs` [n, n]."""
    size = len(inputs)
    scale = float(np.trace(inputs)) / max(size, 1) or 1.0
    return np.asarray(np.linalg.inv(inputs + INPUT_RIDGE * scale * np.eye(size)), np.float64)


def deletions(weights: Array, inputs: Array, curvature: Array, group_of: NDArray[np.int64], count: int) -> Deletions:
    """Return what it costs to delete groups of rows one after another, always the one that costs least then.

    `weights` [n, m], `inputs` A [n, n], `curvature` G [m, m]; `group_of` [n] numbers each row's group below `count`, -1
    being a row that stays. After each deletion W and A^-1 are those of the rows that are left, so that the second of
    two duplicates costs as much as it is worth.
    """
    weights, inverse = weights.copy(), inverse_moments(inputs)
    members = [np.flatnonzero(group_of == group) for group in range(count)]
    left, order, loss = {*range(count)}, [], [0.0]
    while left:
        prices = {group: _price(weights, inverse, curvature, members[group]) for group in sorted(left)}
        cheapest = min(prices, key=prices.__getitem__)
        _delete(weights, inverse, members[cheapest])
        left.remove(cheapest)
        order.append(cheapest)
        loss.append(loss[-1] + prices[cheapest])
    return Deletions(np.array(order, np.int64), np.array(loss))


def compensated(weights: Array, inputs: Array, gone: NDArray[np.bool_]) -> Array:
    """Return weights [n, m] whose rows `gone` [n] are zero, the others solved for: W_K += (A_KK)^-1 A_KJ W_J."""
    weights, inverse = weights.copy(), inverse_moments(inputs)
    _delete(weights, inverse, np.flatnonzero(gone))
    return weights


def _price(weights: Array, inverse: Array, curvature: Array, rows: NDArray[np.int64]) -> float:
    w = weights[rows]
    return float(np.sum((np.linalg.solve(inverse[np.ix_(rows, rows)], w) @ curvature) * w)) if len(rows) else 0.0


def _delete(weights: Array, inverse: Array, rows: NDArray[np.int64]) -> None:
    """Update W and A^-1 in place, as they are without those rows."""
    if not len(rows):
        return
    carried = np.linalg.solve(inverse[np.ix_(rows, rows)], inverse[rows])  # [rows, n]
    weights -= inverse[:, rows] @ np.linalg.solve(inverse[np.ix_(rows, rows)], weights[rows])
    inverse -= inverse[:, rows] @ carried
    weights[rows], inverse[rows], inverse[:, rows] = 0.0, 0.0, 0.0
    inverse[rows, rows] = 1.0  # stands apart from all that is left
