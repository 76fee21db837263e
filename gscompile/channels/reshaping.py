"""Follow channels through reshapes: kept as an axis, flattened with positions, split into heads, or joined again."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import onnx_ir as ir

from gscompile.channels.channel_axis import Channels, product_of
from gscompile.channels.coupled_channels import SizeConstant
from gscompile.channels.propagation import Rule, Walk
from gscompile.channels.reshape_target import note_size, spelled_sizes


def flatten(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Flatten`."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    if node.attributes.get_int("axis", 1) != 1 or channels.spread != 1:
        return walk.unknown(node)
    flat = again_and_again(walk, node, channels)
    if channels.is_second:
        flat = replace(channels, axis=-1, count=2, spread=None)
    return walk.unknown(node) if flat is None else walk.put(node.outputs[0], flat)


def again_and_again(walk: Walk, node: ir.Node, channels: Channels) -> Channels | None:
    """Follow channels from [n, *positions, channels] to [n, positions * channels]."""
    inner = (walk.sizes(node.inputs[0]) or (None, None))[1:-1]
    if channels.axis != -1 or None in inner:
        return None
    return replace(channels, units=np.tile(channels.units, prod(n or 0 for n in inner)), count=2)


def reshape(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Reshape` with a known target."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    target, new = walk.numbers(node, 1, "shape"), None
    literal = node.attributes.get_int("allowzero", 0) and 0 in (target or ())
    if target is not None and channels.spread == 1 and not literal:
        new = to_rows(walk, node, channels, target) or kept_axis(walk, node, channels, target)
    if new is None and channels.spread == 1 and not literal:
        new = regrouped(walk, node, channels)
    return walk.unknown(node) if new is None else walk.put(node.outputs[0], new)


def regrouped(walk: Walk, node: ir.Node, channels: Channels) -> Channels | None:
    """Follow units that are split into groups of n, where equal positions of all groups become one unit; or rejoined.

    Entries are in row-major order. If as many entries lie behind an axis of size n as lay behind the channels,
    entry c of the channels is entry c mod n of that axis; otherwise it is entry c of every group.
    """
    sizes, spelled = walk.sizes(node.inputs[0]), spelled_sizes(walk, node)
    behind = 1 if channels.axis == -1 else product_of((sizes or (None,) * -channels.axis)[channels.axis + 1 :])
    place = next((n for n in range(len(spelled)) if behind and product_of(spelled[n + 1 :]) == behind), None)
    size = None if place is None else spelled[place]
    if place is None or not size or size == 1 or channels.size == 1:
        return None
    if size % channels.size and channels.size % size:
        return None
    units, times = channels.units, max(1, size // channels.size)
    for group in np.split(units, max(1, channels.size // size))[1:]:
        walk.sets.unite(units[:size], group)
    if not note_size(walk, node, place, times, units[:size]):
        return None
    return replace(channels, units=np.tile(units[:size], times)).moved(place, len(spelled))


def to_rows(walk: Walk, node: ir.Node, channels: Channels, target: list[int]) -> Channels | None:
    """Follow channels from [n, channels, positions] to [n, channels * positions]; either target entry may be -1."""
    if len(target) != 2 or not channels.is_second:
        return None
    flat = replace(channels, axis=-1, count=2, spread=None)
    sizes = walk.sizes(node.inputs[0]) or ()
    if target == [0, -1] or (sizes and target == [sizes[0], -1]):
        return flat
    inner = [size for size in sizes[1:] if isinstance(size, int)]
    known = bool(sizes) and len(inner) == len(sizes) - 1 and prod(inner) == target[1]
    if not known or target[0] not in (-1, 0, sizes[0]):
        return None
    walk.sized.append(SizeConstant(node, 1, 1, target[1] // channels.size, channels.units))
    return flat


def kept_axis(walk: Walk, node: ir.Node, channels: Channels, target: list[int]) -> Channels | None:
    """Follow channels where the channel axis and all axes in front of it, or all behind it, keep their sizes."""
    size, count, place = channels.size, len(target), channels.place
    if channels.axis == -1 and target[-1] == size:
        walk.sized.append(SizeConstant(node, 1, count - 1, 1, channels.units))
        return channels.moved(count - 1, count)
    if place is None or place >= count or any(target[:place]) or target[place] not in (0, size):
        return None
    if target[place] == size:
        walk.sized.append(SizeConstant(node, 1, place, 1, channels.units))
    return channels.moved(place, count)


RULES: dict[str, Rule] = {"Flatten": flatten, "Reshape": reshape}
