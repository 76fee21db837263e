"""Follow channels through nodes with weights: what they read and produce, their biases, and depthwise filters."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from gscompile.channels.channel_axis import Channels
from gscompile.channels.coupled_channels import MatrixUse, VectorUse, Zero, both_zero, either
from gscompile.channels.layer_axes import CONVS, axis_in, axis_out, weight_axis
from gscompile.channels.propagation import Walk
from gscompile.channels.union_find import Units
from gscompile.graph.network import Layer, Use
from gscompile.onnx_files.constants import behind_identity, held_tensor

_FROM_ZERO = {"", "Relu", "LeakyRelu", "Tanh"}  # activations fused into a node


def weighted(walk: Walk, node: ir.Node) -> None:
    layers = walk.weighted[node]
    data = {use.data for layer in layers for use in layer.uses if use.node is node}
    for value in node.inputs:
        if value not in data:
            walk.pin(value, f"{node.op_type} adds it")
    if len(layers) > 1:  # of the weights of a recurrent node, W reads its input
        layers = [layer for layer in layers if weight_axis(layer, "inputs") is not None]
    if len(layers) != 1 or not is_followed(walk, layers[0]):
        return walk.unknown(node)
    (layer,) = layers
    if layer.op in CONVS and layer.layout.parts > 1:
        return depthwise(walk, node, layer) if len(layer.uses) == 1 else walk.unknown(node)
    consume(walk, node, layer)
    return produce(walk, node, layer)


def is_followed(walk: Walk, layer: Layer) -> bool:
    """Return whether the walk sees all nodes that multiply by a weight, and all use it in the same way."""
    here = all(use.node.graph is walk.network.graph for use in layer.uses)
    alike = {(use.node.op_type, use.index, axis_in(use, layer), axis_out(use, layer)) for use in layer.uses}
    return here and len(alike) == 1


def produce(walk: Walk, node: ir.Node, layer: Layer) -> None:
    """Record the units that a layer produces."""
    use = next(use for use in layer.uses if use.node is node)
    axis, place = weight_axis(layer, "outputs"), axis_out(use, layer)
    count = rank_of(walk, use, layer)
    if axis is None or place is None or (place < -1 and (count or 1) < -place):
        return  # a vector multiplied from the left has one axis less
    units = units_made(walk, layer, axis)
    zero = add_bias(walk, node, units, (frozenset([layer.name]),), "Gemm" in layer.op and use.index == 0)
    walk.put(node.outputs[0], Channels(units, place, count, zero if keeps_zero(node) else ()))


def units_made(walk: Walk, layer: Layer, axis: int) -> Units:
    if layer.name not in walk.made:
        walk.made[layer.name] = walk.sets.new(layer.layout.shape[axis])
    return walk.made[layer.name]


def consume(walk: Walk, node: ir.Node, layer: Layer) -> None:
    """Record the units that a layer reads."""
    use = next(use for use in layer.uses if use.node is node)
    channels = walk.channels(use.data)
    units = None if channels is None else units_read(walk, use, layer, channels)
    seen = None if units is None or channels is None else (units, channels.zero)
    known = walk.read.setdefault(layer.name, seen)
    if seen is None or known is None:
        walk.pin(use.data, f"{node.op_type} reads another axis")
        if known is not None:
            walk.sets.pin(known[0], f"{node.op_type} reads something else by the same weight")
    elif known is not seen:  # another node reads through the same weight: unite the units
        walk.sets.unite(known[0], seen[0])
        walk.read[layer.name] = known[0], both_zero(known[1], seen[1])


def units_read(walk: Walk, use: Use, layer: Layer, channels: Channels) -> Units | None:
    """Return the unit of every row of a layer's matrix in its input; None where channels lie on another axis."""
    axis, rows, size = weight_axis(layer, "inputs"), layer.layout.inputs, channels.size
    counts = (rank_of(walk, use, layer), None)
    if axis is None or channels.axis != axis_in(use, layer) or channels.count not in counts:
        return None
    kernel = rows // layer.layout.shape[axis]
    spread = rows // (size * kernel) if channels.spread is None else channels.spread
    return channels.units.repeat(kernel * spread) if size * kernel * spread == rows else None


def rank_of(walk: Walk, use: Use, layer: Layer) -> int | None:
    """Return the number of axes of a layer's input (and output, except for stacked matrices)."""
    if "Conv" in layer.op or "Gemm" in layer.op:
        return len(layer.layout.shape)
    sizes, channels = walk.sizes(use.data), walk.channels(use.data)
    return len(sizes) if sizes is not None else channels.count if channels is not None else None


def add_bias(walk: Walk, node: ir.Node, units: Units, zero: Zero, by_row: bool = False) -> Zero:
    bias = node.inputs[2] if len(node.inputs) > 2 and node.op_type not in ("Einsum", "MatMul", "FusedMatMul") else None
    if bias is None:
        return zero
    root = behind_identity(bias)
    held = held_tensor(root)
    along: dict[tuple[int, ...], int] = {(len(units),): 0, (1, len(units)): 1}
    along = {(len(units), 1): 0} if by_row else along
    if held is None or tuple(held.shape) not in along:
        walk.sets.pin(units, "its bias is not a vector of its own")
    else:
        walk.vectors.append(VectorUse(root, along[tuple(held.shape.numpy())], units))
        return both_zero(zero, (frozenset([root]),))
    return zero


def depthwise(walk: Walk, node: ir.Node, layer: Layer) -> None:
    """Follow channels through a depthwise convolution, whose filters are cut with them; other groups mix channels."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    if not (channels.is_second and channels.spread == 1 and layer.layout.shape[:2] == (channels.size, 1)):
        return walk.unknown(node)
    zero = add_bias(walk, node, channels.units, either(channels.zero, (frozenset([layer.name]),)))
    walk.filters.append(MatrixUse(layer.name, channels.units))
    return walk.put(node.outputs[0], replace(channels, zero=zero if keeps_zero(node) else ()))


def keeps_zero(node: ir.Node) -> bool:
    """Return whether a node keeps zeros: its fused activation does, and no fourth input is added before it."""
    adds = node.op_type == "FusedConv" and len(node.inputs) > 3 and node.inputs[3] is not None
    return node.attributes.get_string("activation", "") in _FROM_ZERO and not adds
