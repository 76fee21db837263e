"""Follow channels through concatenations, whose parts stay separate coupled channels, and splits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from gscompile.channels.binary import both
from gscompile.channels.channel_axis import Channels
from gscompile.channels.coupled_channels import SplitUse, both_zero
from gscompile.channels.propagation import Rule, Walk


def concat(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Concat` along the channel axis, or along another where all inputs have equal units."""
    parts = [walk.channels(v) for v in node.inputs]
    first = next((c for c in parts if c is not None), None)
    if first is None:
        return None
    place = node.attributes.get_int("axis", 0)
    if first.count is not None and place % first.count == first.place:
        parts = [c or foreign(walk, v, first) for v, c in zip(node.inputs, parts, strict=True)]
    known = [c for c in parts if c is not None and (c.axis, c.count, c.spread) == (first.axis, first.count, 1)]
    if first.count is None or len(known) < len(parts):
        return walk.unknown(node)
    return side_by_side(walk, node, known) if place % first.count == first.place else both(walk, node, known)


def foreign(walk: Walk, value: ir.Value | None, beside: Channels) -> Channels | None:
    """Return units for entries of a concatenation that no layer produces: they are locked."""
    sizes = walk.sizes(value)
    size = sizes[beside.axis] if sizes is not None and len(sizes) == beside.count else None
    if size is None:
        return None
    units = walk.sets.new(size)
    walk.sets.pin(units, "no layer makes them")
    return replace(beside, units=units, zero=(frozenset(),), spread=1)


def side_by_side(walk: Walk, node: ir.Node, parts: list[Channels]) -> None:
    zero = parts[0].zero
    for channels in parts[1:]:
        zero = both_zero(zero, channels.zero)
    units = np.concatenate([c.units for c in parts])
    return walk.put(node.outputs[0], replace(parts[0], units=units, zero=zero))


def split(walk: Walk, node: ir.Node) -> None:
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    axis, sizes = node.attributes.get_int("axis", 0), split_sizes(walk, node, channels)
    if channels.count is None or channels.spread != 1:
        return walk.unknown(node)
    if axis % channels.count != channels.place:
        return walk.put_all(node, [channels] * len(node.outputs))
    if sizes is None or sum(sizes) != channels.size or len(sizes) != len(node.outputs):
        return walk.unknown(node)
    parts = tuple(np.split(channels.units, np.cumsum(sizes)[:-1]))
    walk.parted.append(SplitUse(node, parts))
    return walk.put_all(node, [replace(channels, units=units) for units in parts])


def split_sizes(walk: Walk, node: ir.Node, channels: Channels) -> list[int] | None:
    """Return the sizes of the outputs of a `Split`: as given, or equal parts of which the last may be smaller."""
    if "split" in node.attributes or len(node.inputs) > 1:
        return walk.numbers(node, 1, "split")
    count = len(node.outputs)
    each = -(-channels.size // count)
    return [each] * (count - 1) + [channels.size - each * (count - 1)]


RULES: dict[str, Rule] = {"Concat": concat, "Split": split}
