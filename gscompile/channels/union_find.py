"""Units that are the same wherever they are met, and the spaces they make up: sets that are united as they meet.

Units are numbered as they are made, a block at a time. Two that meet channel by channel (in a sum, by a shared weight)
are one unit, and their blocks are one space; units that merely lie side by side keep their spaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.int64]


class UnionFind:
    """Disjoint sets of units, and of the blocks they were made in."""

    def __init__(self) -> None:
        self._same: list[int] = []  # of a unit, another that is the same and nearer to the set's first
        self._block: list[int] = []  # of a unit
        self._joined: list[int] = []  # of a block, another of the same space and nearer to its first
        self._pinned: dict[int, str] = {}  # by block

    def new(self, count: int) -> Units:
        """A block of units that nothing else has."""
        start = len(self._same)
        self._same += range(start, start + count)
        self._block += [len(self._joined)] * count
        self._joined.append(len(self._joined))
        return np.arange(start, start + count)

    def unite(self, a: Units, b: Units) -> None:
        """The n-th unit of `a` is the n-th of `b`. [n] both"""
        if a is b:
            return
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            _join(self._same, one, other)
            _join(self._joined, self._block[one], self._block[other])

    def pin(self, units: Units, why: str) -> None:
        """The spaces of these units stay as they are."""
        for block in dict.fromkeys(self._block[unit] for unit in units.tolist()):
            self._pinned.setdefault(block, why)

    def settled(self) -> Settled:
        """The spaces as they are now, in the order they were made."""
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
    """Spaces: how many units each has, what pins it, and of every unit ever made its `space` and `place` in it."""

    sizes: tuple[int, ...]
    pinned: tuple[str | None, ...]
    space: Units
    place: Units

    def views(self, units: Units) -> Iterator[tuple[int, Units]]:
        """For each space that has some of these units, its number and their places in it, -1 for the others."""
        space, place = self.space[units], self.place[units]
        for number in np.unique(space).tolist():
            yield number, np.where(space == number, place, -1)


def _first(parents: list[int], item: int) -> int:
    """The first of the set that an item is in; paths are halved on the way."""
    while parents[item] != item:
        parents[item] = item = parents[parents[item]]
    return item


def _join(parents: list[int], a: int, b: int) -> None:
    low, high = sorted((_first(parents, a), _first(parents, b)))
    parents[high] = low
