"""Delta debugging: the smallest part of a list on which a test still fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def minimal_failing_part(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Return a part of `items`, in order, on which `fails` is true and of which no single item can be left out.

    `fails(items)` must be true. This is *ddmin* (Zeller and Hildebrandt, IEEE TSE 2002): halves are tried first, then
    the list without one of its parts, with ever more parts. The number of tests is logarithmic where one place causes
    the failure, quadratic at worst.

    >>> minimal_failing_part(range(100), lambda part: {13, 57} <= set(part))
    [13, 57]
    """
    current, parts = list(items), 2
    while len(current) > 1:
        chunks = _split(current, parts)
        smaller = next((chunk for chunk in chunks if fails(chunk)), None) if parts == 2 else None
        if smaller is not None:
            current, parts = smaller, 2
            continue
        smaller = next((rest for rest in _complements(chunks) if fails(rest)), None)
        if smaller is not None:
            current, parts = smaller, max(parts - 1, 2)
        elif parts == len(current):
            break
        else:
            parts = min(2 * parts, len(current))
    return current


def _split(items: list[T], parts: int) -> list[list[T]]:
    """Return `items` cut into `parts` consecutive lists of about equal length."""
    edges = [len(items) * number // parts for number in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(edges)]


def _complements(chunks: list[list[T]]) -> list[list[T]]:
    """Return, for each chunk from the last to the first, all items outside it."""
    return [
        [item for other, chunk in enumerate(chunks) if other != number for item in chunk]
        for number in reversed(range(len(chunks)))
    ]
