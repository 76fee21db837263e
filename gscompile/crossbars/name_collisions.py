"""Detect names that two different things would share, among any number of things in bounded memory.

One pass looks at a window of digests; more things than fit into the window take more passes, not more memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b

import numpy as np

WINDOW_ITEMS = 1 << 16  # digests held in one pass, 8 bytes each
MAX_LISTED = 1 << 12  # shared names that are listed

Things = Callable[[], Iterable[tuple[str, str]]]


class NameCollisions:
    """The set of names that are shared. If there are more than `MAX_LISTED`, every name counts as shared."""

    def __init__(self, digests: frozenset[int] = frozenset()) -> None:
        self._digests = digests
        self._all = len(digests) > MAX_LISTED

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, name: str) -> bool:
        return bool(self._digests) and (self._all or digest(name) in self._digests)

    def __or__(self, other: NameCollisions) -> NameCollisions:
        return NameCollisions(self._digests | other._digests)


def digest(text: str) -> int:
    """Return 64 bits of a text. Two texts of one digest would count as one name, which is harmless."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def twins(things: Things, count: int, window: int | None = None) -> NameCollisions:
    """Return the names that two things have; each call of `things()` yields all (name, thing), about `count` of them.

    A thing may occur several times.

    >>> found = twins(lambda: [("a", "1"), ("b", "2"), ("b", "3"), ("a", "1")], 4)
    >>> "a" in found, "b" in found
    (False, True)
    """
    passes = max(1, -(-count // (window or WINDOW_ITEMS)))
    found: frozenset[int] = frozenset()
    for part in range(passes):
        several = _several(things(), part, passes)
        found |= _of_two(things(), several) if several else frozenset()
        if len(found) > MAX_LISTED:
            break
    return NameCollisions(found)


def _several(things: Iterable[tuple[str, str]], part: int, passes: int) -> frozenset[int]:
    """Return the digests of names that occur several times, among those that are `part` modulo `passes`."""
    digests = array("Q", (key for name, _ in things if (key := digest(name)) % passes == part))
    found = np.frombuffer(digests, np.uint64)
    found.sort()
    return frozenset(found[1:][found[1:] == found[:-1]].tolist())


def _of_two(things: Iterable[tuple[str, str]], several: frozenset[int]) -> frozenset[int]:
    """Return the names of `several` that stand for two or more different things; at most a few more than MAX_LISTED."""
    first: dict[int, str] = {}
    found: set[int] = set()
    for name, thing in things:
        key = digest(name)
        if key in several and first.setdefault(key, thing) != thing:
            found.add(key)
            if len(found) > MAX_LISTED:
                break
    return frozenset(found)
