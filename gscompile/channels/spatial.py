"""Follow channels through ops that change other axes only: padding, resizing, reductions, slices and lookups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from gscompile.channels.channel_axis import Channels, without
from gscompile.channels.coupled_channels import SizeConstant
from gscompile.channels.propagation import Rule, Walk

_REDUCTION_OPS = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare"}
_MIXING = {"tf_crop_and_resize", "tf_half_pixel_for_nn"}  # modes that move entries even at scale 1
_PAD_MODES = {"constant", "reflect", "edge", "wrap"}


def pad(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Pad` of other axes."""
    channels, pads = walk.channels(node.inputs[0]), walk.numbers(node, 1, "pads")
    if channels is None:
        return None
    axes = pad_axes(walk, node, channels, pads or [])
    mode = node.attributes.get_string("mode", "constant")
    if pads is None or axes is None or mode not in _PAD_MODES:
        return walk.unknown(node)
    half = len(pads) // 2
    if any(axis == channels.axis and (pads[n] or pads[half + n]) for n, axis in enumerate(axes)):
        return walk.unknown(node)
    zero = channels.zero if mode != "constant" or pads_with_zero(walk, node) else ()
    return walk.put(node.outputs[0], replace(channels, zero=zero))


def pad_axes(walk: Walk, node: ir.Node, channels: Channels, pads: list[int]) -> list[int] | None:
    """Return the axes that are padded, counted from the end; None where they are not known."""
    half = len(pads) // 2
    if len(node.inputs) < 4 or node.inputs[3] is None:
        return list(range(-half, 0))
    axes = walk.numbers(node, 3, "")
    if axes is None or (channels.count is None and any(axis >= 0 for axis in axes)):
        return None
    return [axis if axis < 0 else axis - (channels.count or 0) for axis in axes]


def pads_with_zero(walk: Walk, node: ir.Node) -> bool:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return node.attributes.get_float("value", 0.0) == 0
    array = walk.array(value)
    return array is not None and not np.any(array)


def resize(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Resize` of positions: its scale for channels is 1, or the sizes hold their number."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    axis = channels.place
    mode = node.attributes.get_string("coordinate_transformation_mode", "")
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    if axis is None or channels.spread != 1 or mode in _MIXING or "axes" in node.attributes or policy != "stretch":
        return walk.unknown(node)
    if not keeps_size(walk, node, axis, channels):
        return walk.unknown(node)
    return walk.put(node.outputs[0], channels)


def keeps_size(walk: Walk, node: ir.Node, axis: int, channels: Channels) -> bool:
    if "scales" in node.attributes:
        return [*node.attributes.get_floats("scales", [])][axis] == 1
    inputs = [*node.inputs, None, None, None]
    scales = inputs[1] if node.op_type == "Upsample" or len(node.inputs) == 2 else inputs[2]
    array = walk.array(scales)
    if array is not None and array.size > axis:
        return bool(array.reshape(-1)[axis] == 1)
    sizes = walk.array(inputs[3]) if len(node.inputs) > 3 else None
    if sizes is None or sizes.size <= axis or int(sizes[axis]) != channels.size:
        return False
    walk.sized.append(SizeConstant(node, 3, axis, 1, channels.units))
    return True


def reduce(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a reduction over other axes."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    gone = walk.front_axes(node, channels)
    if not gone or channels.place in gone or channels.spread != 1:
        return walk.unknown(node)
    kept = bool(node.attributes.get_int("keepdims", 1))
    return walk.put(node.outputs[0], channels if kept else without(channels, gone))


def sliced(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Slice` of other axes."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    named = len(node.inputs) > 3 or "axes" in node.attributes
    starts = [] if named else walk.numbers(node, 1, "starts") or []
    cut = walk.front_axes(node, channels, 3) if named else set(range(len(starts)))
    if not cut or channels.place is None or channels.place in cut:
        return walk.unknown(node)
    return walk.put(node.outputs[0], channels)


def gather(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Gather` along other axes."""
    channels, indices = (walk.channels(v) for v in node.inputs)
    if channels is None and indices is None:
        return None
    sizes = walk.sizes(node.inputs[1])
    array = walk.array(node.inputs[1])
    rank = array.ndim if array is not None else None if sizes is None else len(sizes)
    if channels is None or channels.place is None or indices is not None or rank is None:
        return walk.unknown(node)
    count = channels.count or 0
    axis = node.attributes.get_int("axis", 0) % count
    if axis == channels.place or channels.spread != 1:
        return walk.unknown(node)
    place = channels.place + (rank - 1 if axis < channels.place else 0)
    return walk.put(node.outputs[0], channels.moved(place, count - 1 + rank))


RULES: dict[str, Rule] = {
    **dict.fromkeys(_REDUCTION_OPS, reduce),
    "Gather": gather,
    "Pad": pad,
    "Resize": resize,
    "Slice": sliced,
    "Upsample": resize,
}
