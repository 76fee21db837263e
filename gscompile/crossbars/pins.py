"""Write pins as index sets in ranges, read them back, and check that the tiles of a matrix are disjoint.

All tiles of a matrix are handled together: a tile has two index sets of a few dozen indices, too few to be worth a
numpy call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
_NO_PINS: Indices = np.zeros(0, np.int64)


def to_ranges(indices: Indices) -> str:
    """Return an index set as half-open ranges, in order.

    >>> to_ranges(np.array([0, 1, 2, 7]))
    '0:3,7:8'
    """
    return all_to_ranges([indices])[0]


def all_to_ranges(sets: Sequence[Indices]) -> list[str]:
    """Return the ranges of every index set.

    >>> all_to_ranges([np.array([0, 1, 2, 7]), np.array([8]), np.array([], int)])
    ['0:3,7:8', '8:9', '']
    """
    flat, ends = _joined(sets)
    first = np.flatnonzero(_breaks(flat, ends))
    starts, stops = flat[first].tolist(), (flat[np.append(first[1:], len(flat))[: len(first)] - 1] + 1).tolist()
    words = [f"{a}:{b}" for a, b in zip(starts, stops, strict=True)]
    bounds = np.searchsorted(first, ends).tolist()
    return [",".join(words[a:b]) for a, b in pairwise([0, *bounds])]


def _joined(sets: Sequence[Indices]) -> tuple[Indices, Indices]:
    """Return all sets joined, and the end of each."""
    ends = np.cumsum([len(indices) for indices in sets], dtype=np.int64)
    return np.concatenate([_NO_PINS, *sets]), ends


def _breaks(flat: Indices, ends: Indices) -> NDArray[np.bool_]:
    """Return where a range begins: after a gap, and with every set."""
    begins = np.ones(len(flat), bool)
    begins[1:] = flat[1:] != flat[:-1] + 1
    begins[ends[ends < len(flat)]] = True
    return begins


def block(rows: Indices, cols: Indices) -> tuple[slice | Indices, slice | Indices]:
    """Return the index of a block of a matrix, made of slices where indices are neighbours (a tenth of the time).

    >>> block(np.array([4, 5, 6]), np.array([0, 1]))
    (slice(4, 7, None), slice(0, 2, None))
    """
    if _is_range(rows) and _is_range(cols):
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
    return rows[:, None], cols


def _is_range(indices: Indices) -> bool:
    return len(indices) > 0 and bool((indices[1:] - indices[:-1] == 1).all())


def from_ranges(text: str) -> Indices:
    """Return the index set of a text of ranges, the inverse of `to_ranges`."""
    return all_from_ranges([text])[0]


def all_from_ranges(texts: Sequence[str]) -> list[Indices]:
    """Return the index set of every text, the inverse of `all_to_ranges`.

    >>> [found.tolist() for found in all_from_ranges(["0:3,7:8", "", "8:9"])]
    [[0, 1, 2, 7], [], [8]]
    """
    starts, stops = range_ends(texts)
    sizes = stops - starts
    reached = np.cumsum(sizes)
    flat = np.repeat(starts - reached + sizes, sizes) + np.arange(reached[-1] if len(reached) else 0)
    ranges = np.cumsum([text.count(":") for text in texts], dtype=np.int64)
    ends = np.append(0, reached)[ranges].tolist()
    return [flat[a:b] for a, b in pairwise([0, *ends])]


def range_ends(texts: Iterable[str]) -> tuple[Indices, Indices]:
    """Return the first index and the one behind the last of all ranges in all texts."""
    words = ",".join(text for text in texts if text).replace(":", ",")
    numbers = np.array([int(word) for word in words.split(",")] if words else [], np.int64)
    return numbers[0::2], numbers[1::2]


def rising_below(sets: Sequence[Indices], bound: int) -> bool:
    """Return whether the indices of every set increase strictly and stay below `bound`.

    >>> rising_below([np.array([3, 4]), np.array([0])], 5), rising_below([np.array([4, 3])], 5)
    (True, False)
    """
    flat, ends = _joined(sets)
    if not len(flat):
        return True
    falls = np.flatnonzero(flat[1:] <= flat[:-1]) + 1
    return bool(flat.min() >= 0 and flat.max() < bound and np.isin(falls, ends).all())


def hulls_apart(rows: Sequence[Indices], cols: Sequence[Indices]) -> bool:
    """Return whether the rectangles around tiles form disjoint bands of rows, with disjoint columns in each band.

    This holds for every matrix cut by a grid. Sets must increase and not be empty. Tiles may be disjoint even if this
    is False.
    """
    top, bottom = _ends(rows)
    left, right = _ends(cols)
    order = np.argsort(top, kind="stable")
    reach = np.maximum.accumulate(bottom[order])
    band = np.zeros(len(order), np.int64)
    band[order[1:]] = np.cumsum(top[order[1:]] > reach[:-1])
    order = np.lexsort((left, band))
    same = band[order[1:]] == band[order[:-1]]
    return bool((left[order[1:]] > right[order[:-1]])[same].all())


def _ends(sets: Sequence[Indices]) -> tuple[Indices, Indices]:
    flat, ends = _joined(sets)
    return flat[np.append(0, ends[:-1])], flat[ends - 1]
