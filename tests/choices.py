"""Random choices by a numbered generator: case 17 is the same graph in every release of every library.

A choice is a function of a generator, and `drawing` makes the `draw` that graphs are drawn with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
Choice = Callable[[Random], T]


def drawing(source: Random) -> Callable[[Choice[Any]], Any]:
    """Return the function that makes a choice by that generator."""
    return lambda choice: choice(source)


def integers(low: int, high: int) -> Choice[int]:
    """Choose a whole number; both ends are possible."""
    return lambda source: source.randint(low, high)


def booleans() -> Choice[bool]:
    return lambda source: source.random() < 0.5


def sampled_from(values: Sequence[T]) -> Choice[T]:
    return lambda source: values[source.randrange(len(values))]


def lists(each: Choice[T], *, min_size: int = 0, max_size: int) -> Choice[list[T]]:
    return lambda source: [each(source) for _ in range(source.randint(min_size, max_size))]
