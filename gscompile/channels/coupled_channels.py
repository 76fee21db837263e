"""Describe coupled channels: producers, consumers, vectors that are cut with them, and when they are zero."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_ir as ir

from gscompile.channels.union_find import Units

ChannelSource = str | ir.Value  # the name of a producing layer, or a vector
Zero = tuple[frozenset[ChannelSource], ...]  # alternatives; empty: never known to be zero
MAX_ALTERNATIVES = 4  # alternatives; a union may drop some beyond, which only keeps more units


@dataclass(frozen=True, eq=False)
class MatrixUse:
    """The rows or columns of a layer's matrices that hold units; `unit_of` [rows or cols] gives the unit of each.

    `unit_of` is -1 where a row belongs to other coupled channels, as after a concatenation. For a consumer, `zero`
    gives the alternatives under which the value that it reads is zero.
    """

    layer: str
    unit_of: Units
    zero: Zero = ()


@dataclass(frozen=True, eq=False)
class VectorUse:
    """A constant or another value whose `axis` holds units; `unit_of` gives the unit of each entry, -1 for others."""

    value: ir.Value
    axis: int
    unit_of: Units


@dataclass(frozen=True, eq=False)
class SizeConstant:
    """A constant that holds the number of channels: entry `place` of an input, which counts `each` for one unit.

    Where a `Concat` joins it with computed sizes, `reader` is the node that the constant is for; others may read it
    too.
    """

    node: ir.Node
    index: int
    place: int
    each: int
    unit_of: Units
    reader: ir.Node | None = None


@dataclass(frozen=True, eq=False)
class SplitUse:
    """A `Split` along the channel axis, with the units of each of its outputs in order."""

    node: ir.Node
    unit_of: tuple[Units, ...]


@dataclass(frozen=True, eq=False)
class Contraction:
    """A product of two computed values that sums over units; `zero` gives the alternatives for a summand of zero."""

    unit_of: Units
    zero: Zero


Record = MatrixUse | VectorUse | SizeConstant | Contraction


@dataclass(eq=False)
class CoupledChannels:
    """A number (`size`) of channels: the layers that produce and consume them, and all that must be cut with them.

    `vectors` are constants along the channel axis, `filters` depthwise layers, `sized` and `parted` constants and
    splits that hold the number of channels; `meetings` read the channels as consumers do, but without weights.
    `pinned` says why the channels are locked, None where they are not.
    """

    size: int
    producers: list[MatrixUse] = field(default_factory=list)
    consumers: list[MatrixUse] = field(default_factory=list)
    meetings: list[Contraction] = field(default_factory=list)
    vectors: list[VectorUse] = field(default_factory=list)
    filters: list[MatrixUse] = field(default_factory=list)
    sized: list[SizeConstant] = field(default_factory=list)
    parted: list[SplitUse] = field(default_factory=list)
    values: list[VectorUse] = field(default_factory=list)  # values that carry these channels
    pinned: str | None = None

    @property
    def readers(self) -> tuple[MatrixUse | Contraction, ...]:
        return (*self.consumers, *self.meetings)

    @property
    def zero_safe(self) -> bool:
        """Return whether every value that is read is zero once all producers and vectors are zero."""
        return all(reader.zero for reader in self.readers)

    @property
    def is_shared(self) -> bool:
        """Return whether a tensor holds units of other coupled channels as well."""
        sides: tuple[Record, ...] = (
            *self.producers,
            *self.readers,
            *self.vectors,
            *self.filters,
            *self.sized,
        )
        return any(bool((record.unit_of < 0).any()) for record in (*sides, *self.values))


def both_zero(a: Zero, b: Zero) -> Zero:
    return tuple(dict.fromkeys(x | y for x in a for y in b))[:MAX_ALTERNATIVES]


def either(a: Zero, b: Zero) -> Zero:
    return tuple(dict.fromkeys((*a, *b)))[:MAX_ALTERNATIVES]
