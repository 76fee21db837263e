"""Options of many layers under one budget, by Lagrange's method: one price for what they take, the same for all.

At a price every layer takes the option whose loss and price together are least. Those are the corners of the lower
convex hull of its options in the plane of sizes and loss; each corner but the first is taken from a price on, the slope
of the edge that ends in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pick = NDArray[np.int64]  # an option of each layer


@dataclass(frozen=True)
class Choice:
    """The options of a layer: `loss` and `sizes` of each; option 0 is the layer unchanged."""

    loss: tuple[float, ...]
    sizes: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Table:
    """`losses` and `sizes` [layers, options], and each layer's hull: corners, and the prices of all but the first.

    Layers take the same from just above one of `prices` up to the next, which are those of all hulls and infinity.
    """

    losses: Array
    sizes: Array
    hulls: list[tuple[list[int], list[float]]]
    prices: list[float]

    def at(self, number: int) -> Pick:
        """Return the option that every layer takes at the price of this number."""
        price = self.prices[number]
        return np.array([corners[bisect_left(prices, price)] for corners, prices in self.hulls], np.int64)

    def first(self, is_so: Callable[[Pick], bool]) -> int:
        """The number of the first price at which something is so of what is taken; their count where it never is."""
        return bisect_left(range(len(self.prices)), True, key=lambda number: is_so(self.at(number)))


@lru_cache(2)
def _table(choices: tuple[Choice, ...]) -> _Table:
    losses, sizes = (_side_by_side(rows) for rows in ([c.loss for c in choices], [c.sizes for c in choices]))
    hulls = [_hull(choice) for choice in choices]
    return _Table(losses, sizes, hulls, sorted({np.inf, *(price for _, prices in hulls for price in prices)}))


def _side_by_side(rows: Sequence[Sequence[float]]) -> Array:
    """Rows of different lengths as one array; what is missing is beyond every price."""
    most = max(map(len, rows), default=1)
    return np.array([[*row, *[np.inf] * (most - len(row))] for row in rows], np.float64).reshape(len(rows), most)


def _hull(choice: Choice) -> tuple[list[int], list[float]]:
    """The corners from large to small, and the price from which each but the first is taken.

    >>> _hull(Choice((0.0, 1.0, 4.0, 5.0), (10.0, 8.0, 7.0, 6.0)))
    ([0, 1, 3], [0.5, 2.0])
    """
    loss, sizes = choice.loss, choice.sizes
    corners: list[int] = []
    prices: list[float] = []
    for option in sorted(range(len(loss)), key=lambda i: (-sizes[i], loss[i])):
        if corners and sizes[corners[-1]] == sizes[option]:
            continue
        while corners and loss[corners[-1]] >= loss[option]:  # larger, and no less loss
            corners.pop()
            prices[len(corners) - 1 :] = []
        price = _price(choice, corners[-1], option) if corners else 0.0
        while prices and prices[-1] >= price:
            corners.pop()
            prices.pop()
            price = _price(choice, corners[-1], option)
        prices += [price] if corners else []
        corners.append(option)
    return corners, prices


def _price(choice: Choice, many: int, few: int) -> float:
    """Loss per cell, or whatever sizes count, that is saved."""
    return (choice.loss[few] - choice.loss[many]) / (choice.sizes[many] - choice.sizes[few])


def choose(choices: Sequence[Choice], budget: float) -> list[int]:
    """The option of each layer with the least total loss such that all sizes together fit `budget`.

    The price is raised until the budget is met (or every layer is as small as it gets).
    """
    table = _table(tuple(choices))
    number = table.first(lambda pick: _sum(table.sizes, pick) <= budget)
    return [int(option) for option in table.at(min(number, len(table.prices) - 1))]


def choose_filled(choices: Sequence[Choice], budget: float) -> list[int]:
    """Return what `choose` does, with what is left of the budget given to single layers: most loss per size first.

    >>> fat, thin = Choice((0.0, 9.0), (100.0, 10.0)), Choice((0.0, 3.0, 4.0), (10.0, 8.0, 4.0))
    >>> choose([fat, thin], 19), choose_filled([fat, thin], 19)
    ([1, 2], [1, 1])
    """
    table, pick = _table(tuple(choices)), np.array(choose(choices, budget), np.int64)
    rows = np.arange(len(pick))
    while len(pick) and (spare := budget - _sum(table.sizes, pick)) > 0:
        gained = table.losses[rows, pick][:, None] - table.losses
        taken = table.sizes - table.sizes[rows, pick][:, None]
        fits = (gained > 0) & (taken <= spare)
        if not fits.any():
            break
        worth = np.divide(gained, np.maximum(taken, np.finfo(float).tiny), out=np.zeros_like(gained), where=fits)
        layer, option = np.unravel_index(int(np.argmax(worth)), worth.shape)
        pick[layer] = option
    return [int(option) for option in pick]


def choose_within(choices: Sequence[Choice], loss: float) -> list[int]:
    """The option of each layer, such that losses sum to `loss` at most: as small as one price for all finds.

    The price is raised until a layer's next option no longer fits; that layer stays where it is, and the others go on.
    A layer whose first saving is a large one so does not keep the others from small ones. What is left of the loss in
    the end goes to single layers, that which saves most first.

    >>> fat, thin = Choice((0.0, 9.0), (100.0, 10.0)), Choice((0.0, 1.0, 2.0), (10.0, 8.0, 7.0))
    >>> choose_within([fat, thin], 1.5), choose_within([fat, thin], 9.5)
    ([0, 1], [1, 0])
    """
    table = _table(tuple(choices))
    pick, free = np.zeros(len(choices), np.int64), np.ones(len(choices), bool)
    while free.any():
        fitting, beyond = _last_that_fits(table, pick, free, loss)
        free &= fitting == beyond if (fitting != beyond).any() else False
        pick = fitting
    return _filled(table.losses, table.sizes, pick, loss)


def _last_that_fits(table: _Table, pick: Pick, free: NDArray[np.bool_], loss: float) -> tuple[Pick, Pick]:
    """Return the choices at the highest price whose loss fits, and just above it; equal where any price fits."""

    def of(taken: Pick) -> Pick:
        return np.where(free, taken, pick)

    beyond = table.first(lambda taken: _sum(table.losses, of(taken)) > loss)
    chosen = of(table.at(beyond - 1)) if beyond else pick
    return chosen, of(table.at(beyond)) if beyond < len(table.prices) else chosen


def _sum(values: Array, pick: Pick) -> float:
    return float(values[np.arange(len(values)), pick].sum())


def _filled(losses: Array, sizes: Array, pick: Pick, loss: float) -> list[int]:
    rows = np.arange(len(losses))
    for _ in rows:
        spare = loss - _sum(losses, pick)
        saved = np.where(losses <= losses[rows, pick][:, None] + spare, sizes[rows, pick][:, None] - sizes, 0.0)
        layer, option = np.unravel_index(int(np.argmax(saved)), saved.shape)
        if saved[layer, option] <= 0:
            break
        pick[layer] = option
    return [int(option) for option in pick]
