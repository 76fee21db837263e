"""Coupled channels: their producers and consumers, the vectors that are cut with them, and when they are zero."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_ir as ir

from gscompile.channels.union_find import Units

ChannelSource = str | ir.Value  # a producing layer, by name, or a vector
Zero = tuple[frozenset[ChannelSource], ...]  # alternatives; none: not known to be zero ever
MAX_ALTERNATIVES = 4  # alternatives that are kept


@dataclass(frozen=True, eq=False)
class MatrixUse:
    """Rows or columns of a layer's matrices that belong to a space; `unit_of` numbers the unit of each.

    It is -1 where a row belongs to another space: what was concatenated is read together. `zero` says of a consumer
    when what it reads of a channel is zero.
    """

    layer: str
    unit_of: Units
    zero: Zero = ()


@dataclass(frozen=True, eq=False)
class VectorUse:
    """A constant, or any other value, whose `axis` holds units; `unit_of` numbers them, -1 being another space's."""

    value: ir.Value
    axis: int
    unit_of: Units


@dataclass(frozen=True, eq=False)
class SizeConstant:
    """A constant that spells out how many channels there are: entry `place` of an input, `each` for a unit.

    Where a Concat puts it together with computed sizes, `reader` is the node that this is for; others may read it too.
    """

    node: ir.Node
    index: int
    place: int
    each: int
    unit_of: Units
    reader: ir.Node | None = None


@dataclass(frozen=True, eq=False)
class SplitUse:
    """A `Split` along the units: those of each of its outputs, one after another."""

    node: ir.Node
    unit_of: tuple[Units, ...]


@dataclass(frozen=True, eq=False)
class Contraction:
    """A product of two computed values that sums over units; `zero` says when what is summed is zero."""

    unit_of: Units
    zero: Zero


Record = MatrixUse | VectorUse | SizeConstant | Contraction


@dataclass(eq=False)
class CoupledChannels:
    """`size` channels: who produces and consumes them, what is cut with them, and what pins them.

    `vectors` are constants with a channel axis, `filters` depthwise layers, `sized` and `parted` what tells `size`;
    `meetings` read the channels as consumers do, but by no weights.
    """

    size: int
    producers: list[MatrixUse] = field(default_factory=list)
    consumers: list[MatrixUse] = field(default_factory=list)
    meetings: list[Contraction] = field(default_factory=list)
    vectors: list[VectorUse] = field(default_factory=list)
    filters: list[MatrixUse] = field(default_factory=list)
    sized: list[SizeConstant] = field(default_factory=list)
    parted: list[SplitUse] = field(default_factory=list)
    values: list[VectorUse] = field(default_factory=list)  # tensors that have these channels
    pinned: str | None = None

    @property
    def readers(self) -> tuple[MatrixUse | Contraction, ...]:
        return (*self.consumers, *self.meetings)

    @property
    def zero_safe(self) -> bool:
        """Return whether the values read are zero once all producers and vectors are zero."""
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
