"""Describe the channels that a value carries: their axis, their units, and how they line up with another value's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from gscompile.channels.coupled_channels import Zero
from gscompile.channels.union_find import Units
from gscompile.onnx_files.shapes import OpenShape


@dataclass(frozen=True, eq=False)
class Channels:
    """The axis of a value that holds units, the units, and how many neighbouring entries on that axis make up one unit.

    `axis` counts from the end (-1 is the last), as broadcasting does; `count` is the number of axes of the value, None
    where it is not known.
    """

    units: Units  # as `UnionFind` numbers them
    axis: int
    count: int | None
    zero: Zero
    spread: int | None = 1  # None: flattened with positions; known only at the consumer

    @property
    def size(self) -> int:
        return len(self.units)

    @property
    def place(self) -> int | None:
        """Return the axis counted from the front."""
        return None if self.count is None else self.axis + self.count

    @property
    def is_second(self) -> bool:
        """Return whether the units are on axis 1, where ONNX's pooling and normalization expect channels."""
        return self.place == 1

    def moved(self, place: int, count: int) -> Channels:
        """Return the units on another axis, `place` from the front."""
        return replace(self, axis=place - count, count=count)


def alike(a: Channels, b: Channels) -> bool:
    """Return whether two values correspond channel by channel when they are added or multiplied elementwise."""
    return (a.axis, a.spread, a.size) == (b.axis, b.spread, b.size)


def product_of(sizes: OpenShape) -> int | None:
    return None if None in sizes else prod(size or 0 for size in sizes)


def without(channels: Channels, gone: set[int]) -> Channels:
    """Return the channels after the axes `gone` were removed."""
    place, count = channels.place, channels.count
    assert place is not None
    assert count is not None
    return channels.moved(place - sum(axis < place for axis in gone), count - len(gone))


def vector_axis(shape: tuple[int, ...], channels: Channels) -> int | None:
    """Return the axis of a constant that runs along the channels, if all its other axes have size 1."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1 or channels.spread != 1 or shape[long[0]] != channels.size:
        return None
    return long[0] if long[0] - len(shape) == channels.axis else None


def size_at(sizes: OpenShape | None, channels: Channels) -> int | None:
    """Return the size of another value along the channel axis; 1 where that value has fewer axes."""
    if sizes is None or channels.count is None or len(sizes) > channels.count:
        return None
    return sizes[channels.axis] if -channels.axis <= len(sizes) else 1
