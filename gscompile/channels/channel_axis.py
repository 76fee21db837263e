"""The channels a value carries: on which axis, which units, and how they line up with another value's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from gscompile.channels.coupled_channels import Zero
from gscompile.channels.union_find import Units
from gscompile.onnx_files.shapes import OpenShape


@dataclass(frozen=True, eq=False)
class Channels:
    """Which axis of a value holds units, which ones, and how many neighbours on it make up one unit.

    `axis` counts from the end (-1 is the last), as broadcasting does; `count` is the number of axes where it
    is known.
    """

    units: Units  # as `UnitSets` numbers them
    axis: int
    count: int | None
    zero: Zero
    spread: int | None = 1  # None: flattened, known only where it is consumed

    @property
    def size(self) -> int:
        return len(self.units)

    @property
    def place(self) -> int | None:
        """The axis counted from the front."""
        return None if self.count is None else self.axis + self.count

    @property
    def is_second(self) -> bool:
        """Return whether the units are on axis 1, where ONNX's pooling and normalization expect channels."""
        return self.place == 1

    def moved(self, place: int, count: int) -> Channels:
        """Return the units on another axis, `place` from the front."""
        return replace(self, axis=place - count, count=count)


def alike(a: Channels, b: Channels) -> bool:
    """Return whether two values correspond channel by channel when they are added or multiplied."""
    return (a.axis, a.spread, a.size) == (b.axis, b.spread, b.size)


def product_of(sizes: OpenShape) -> int | None:
    return None if None in sizes else prod(size or 0 for size in sizes)


def without(channels: Channels, gone: set[int]) -> Channels:
    """The channels after other axes went."""
    place, count = channels.place, channels.count
    assert place is not None
    assert count is not None
    return channels.moved(place - sum(axis < place for axis in gone), count - len(gone))


def vector_axis(shape: tuple[int, ...], channels: Channels) -> int | None:
    """The axis of a constant that runs along the channels and nothing else."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1 or channels.spread != 1 or shape[long[0]] != channels.size:
        return None
    return long[0] if long[0] - len(shape) == channels.axis else None


def size_at(sizes: OpenShape | None, channels: Channels) -> int | None:
    """The size of another value where it lines up with the channels; 1 where it does not reach so far."""
    if sizes is None or channels.count is None or len(sizes) > channels.count:
        return None
    return sizes[channels.axis] if -channels.axis <= len(sizes) else 1
