"""Unite units that are the same wherever they appear, and the blocks they were created in (union-find).

Units are numbered as they are created, a block at a time. Two units that correspond channel by channel (in a sum, by a
shared weight) are united, and so are their blocks, which become coupled channels; units that merely lie side by side
stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.int64]


class UnionFind:
    """Disjoint sets of units, and of the blocks they were created in."""

    def __init__(self) -> None:
        self._same: list[int] = []  # by unit: a united unit nearer to the representative
        self._block: list[int] = []  # of a unit
        self._joined: list[int] = []  # by block: a united block nearer to the representative
        self._pinned: dict[int, str] = {}  # by block

    def new(self, count: int) -> Units:
        """Return a block of `count` new units."""
        start = len(self._same)
        self._same += range(start, start + count)
        self._block += [len(self._joined)] * count
        self._joined.append(len(self._joined))
        return np.arange(start, start + count)

    def unite(self, a: Units, b: Units) -> None:
        """Unite the n-th unit of `a` with the n-th of `b`. Both have shape [n]."""
        if a is b:
            return
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            _join(self._same, one, other)
            _join(self._joined, self._block[one], self._block[other])

    def pin(self, units: Units, why: str) -> None:
        """Lock the coupled channels of these units, with the reason `why`."""
        for block in dict.fromkeys(self._block[unit] for unit in units.tolist()):
            self._pinned.setdefault(block, why)

    def settled(self) -> Settled:
        """Return the sets as they are now, in the order of their creation."""
        first = np.array([_first(self._same, unit) for unit in range(len(self._same))], np.int64)
        block = np.array([_first(self._joined, self._block[unit]) for unit in first.tolist()], np.int64)
        spaces, space = np.unique(block, return_inverse=True)
        members = [np.flatnonzero((first == np.arange(len(first))) & (space == n)) for n in range(len(spaces))]
        place = np.zeros(len(first), np.int64)
        for units in members:
            place[units] = np.arange(len(units))
        pinned = {_first(self._joined, b): why for b, why in sorted(self._pinned.items(), reverse=True)}
        reasons = tuple(pinned.get(number) for number in spaces.tolist())
        return Settled(tuple(len(units) for units in members), reasons, space, place[first])


@dataclass(frozen=True, eq=False)
class Settled:
    """The united sets: the size of each, why it is locked, and the set (`space`) and `place` of every unit created."""

    sizes: tuple[int, ...]
    pinned: tuple[str | None, ...]
    space: Units
    place: Units

    def views(self, units: Units) -> Iterator[tuple[int, Units]]:
        """Yield each set that has some of these units: its number, and their places in it, -1 for other units."""
        space, place = self.space[units], self.place[units]
        for number in np.unique(space).tolist():
            yield number, np.where(space == number, place, -1)


def _first(parents: list[int], item: int) -> int:
    """Return the representative of the set that contains an item; paths are halved on the way."""
    while parents[item] != item:
        parents[item] = item = parents[parents[item]]
    return item


def _join(parents: list[int], a: int, b: int) -> None:
    low, high = sorted((_first(parents, a), _first(parents, b)))
    parents[high] = low
