"""Follow channels through ops that insert, remove and permute axes."""

from __future__ import annotations

import onnx_ir as ir

from gscompile.channels.channel_axis import without
from gscompile.channels.propagation import Rule, Walk


def squeeze(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Squeeze` of other axes."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    gone = walk.front_axes(node, channels)
    if not gone or channels.place in gone:
        return walk.unknown(node)
    return walk.put(node.outputs[0], without(channels, gone))


def unsqueeze(walk: Walk, node: ir.Node) -> None:
    """Follow channels through an `Unsqueeze`."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    new = walk.numbers(node, 1, "axes")
    if new is None or channels.place is None or channels.count is None:
        return walk.unknown(node)
    count = channels.count + len(new)
    free = [a for a in range(count) if a not in {n % count for n in new}]
    return walk.put(node.outputs[0], channels.moved(free[channels.place], count))


def transpose(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Transpose`."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    perm = [*node.attributes.get_ints("perm", [])]
    if not perm:
        return walk.unknown(node)
    place = perm.index(channels.axis + len(perm))
    return walk.put(node.outputs[0], channels.moved(place, len(perm)))


RULES: dict[str, Rule] = {"Squeeze": squeeze, "Transpose": transpose, "Unsqueeze": unsqueeze}
