"""Follow channels through ops of two values: sums, products, a constant beside channels, and matrix products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.channels.channel_axis import Channels, alike, size_at, vector_axis
from gscompile.channels.coupled_channels import ChannelSource, Contraction, VectorUse, Zero, both_zero, either
from gscompile.channels.propagation import Rule, Walk
from gscompile.onnx_files.constants import behind_identity, held_tensor
from gscompile.onnx_files.op_names import kind

_BINARY_OPS = {"Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min", "BiasGelu"}


def product(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a matrix product of two computed values.

    Units that the product sums over are united; units of the other axes stay on their side of the result.
    """
    first, second = (walk.channels(v) for v in node.inputs)
    if first is not None and second is not None and (first.axis, second.axis) == (-1, -2):
        return meet(walk, node, first, second)
    sides = ((first, -2), (second, -1))
    kept = [c for c, axis in sides if c is not None and c.axis == axis and c.spread == 1]
    counts = [len(sizes) for v in node.inputs if (sizes := walk.sizes(v)) is not None]
    if len(kept) != 1 or None not in (first, second) or len(counts) < 2 or min(counts) < 2:
        return walk.unknown(node)
    return walk.put(node.outputs[0], replace(kept[0], count=max(counts)))


def meet(walk: Walk, node: ir.Node, first: Channels, second: Channels) -> None:
    """Unite the units that a matrix product of two computed values sums over."""
    if {first.spread, second.spread} != {1} or first.size != second.size:
        return walk.unknown(node)
    walk.sets.unite(first.units, second.units)
    walk.meetings.append(Contraction(first.units, either(first.zero, second.zero)))
    return None


def binary(walk: Walk, node: ir.Node) -> None:
    """Follow channels through an elementwise op of two values."""
    carriers = [walk.channels(v) for v in node.inputs]
    known = [c for c in carriers if c is not None]
    if not known:
        return None
    if len(carriers) == 2 and {c.size == 1 for c in known} == {True, False}:
        carriers = [unless_single(walk, v, c) for v, c in zip(node.inputs, carriers, strict=True)]
        known = [c for c in carriers if c is not None]
    if len(known) == len(carriers):
        return both(walk, node, known)
    (channels,) = known[:1]
    other = next(v for v, c in zip(node.inputs, carriers, strict=True) if c is None)
    if len(carriers) != 2 or other is None:
        return walk.unknown(node)
    if not walk.is_constant(other):
        return with_other(walk, node, channels, other)
    source = along(walk, other, channels)
    if source is None:
        return walk.unknown(node)
    array = walk.array(other)
    assert array is not None
    zero = zero_with(node, channels, other, array, source)
    count = None if channels.count is None else max(channels.count, array.ndim)
    return walk.put(node.outputs[0], replace(channels, zero=zero, count=count))


def unless_single(walk: Walk, value: ir.Value | None, channels: Channels | None) -> Channels | None:
    """Return the channels of `value`; None, and lock it, when it is a single channel that is broadcast to others."""
    if channels is not None and channels.size == 1:
        walk.pin(value, "it meets all channels of another")
        return None
    return channels


def both(walk: Walk, node: ir.Node, known: list[Channels]) -> None:
    """Unite the channels of values that are combined element by element."""
    first, *rest = known
    if not all(alike(first, c) for c in rest):
        return walk.unknown(node)
    zero = first.zero
    for channels in rest:
        walk.sets.unite(first.units, channels.units)
        zero = either(zero, channels.zero) if node.op_type == "Mul" else both_zero(zero, channels.zero)
    if node.op_type == "PRelu":  # of a slope of zero, Relu is left
        zero = first.zero
    if node.op_type in ("Div", "Pow"):  # 0 ** y is 1 where y is zero
        zero = first.zero if node.op_type == "Div" and one_over_one_plus(walk, node) else ()
    counts = [c.count for c in known]
    count = None if None in counts else max(c for c in counts if c is not None)
    return walk.put(node.outputs[0], replace(first, zero=zero, count=count))


def with_other(walk: Walk, node: ir.Node, channels: Channels, other: ir.Value) -> None:
    """Follow channels combined with a computed value that has none, if that value is the same for all of them."""
    size = size_at(walk.sizes(other), channels)
    if size != 1 or channels.spread != 1:
        return walk.unknown(node)
    keeps = node.op_type == "Mul" or (node.op_type == "PRelu" and node.inputs[1] is other)
    return walk.put(node.outputs[0], replace(channels, zero=channels.zero if keeps else ()))


def zero_with(
    node: ir.Node, channels: Channels, other: ir.Value, array: NDArray[np.generic], source: ChannelSource | float
) -> Zero:
    """Return when the result of a channel and a constant is zero.

    x * c and x / c keep zeros; x + b also needs b to be zero.
    """
    if node.op_type in ("Mul", "PRelu", "Div", "Pow"):
        keeps = _keeps_zero(node.op_type, array, is_second=node.inputs[1] is other)
        return channels.zero if keeps else ()
    if isinstance(source, float):
        return channels.zero if source == 0 else ()
    return both_zero(channels.zero, (frozenset([source]),)) if node.op_type in ("Add", "Sub") else ()


def _keeps_zero(op: str, array: NDArray[np.generic], is_second: bool) -> bool:
    """Return whether an operation of zero and any entry of a constant is zero: 0 * inf, 0 / 0 and 0 ** 0 are not."""
    if array.dtype.kind not in "fiu":
        return False
    finite = bool(np.isfinite(array).all())
    if op == "Mul":
        return finite
    if not is_second:  # the constant is divided, raised to a power, or passes a slope
        return False
    if op == "PRelu":
        return finite
    return bool(np.all(array != 0)) if op == "Div" else bool(np.all(np.sign(array) == 1))


def one_over_one_plus(walk: Walk, node: ir.Node) -> bool:
    """Return whether a node computes x / (k + a x^2)^b (local normalisation), whose divisor is never zero."""
    below = node.inputs[1]
    while below is not None and (producer := below.producer()) is not None:
        if kind(producer) == "Add":
            constants = [walk.array(v) for v in producer.inputs if walk.is_constant(v)]
            return any(c is not None and bool(np.all(c > 0)) for c in constants)  # type: ignore[operator]
        if kind(producer) not in ("Pow", "Sqrt"):
            return False
        below = producer.inputs[0]
    return False


def along(walk: Walk, value: ir.Value, channels: Channels) -> ChannelSource | float | None:
    """Return the source of a constant beside channels: a vector along their axis (it is cut with them), or a number."""
    array = walk.array(value)
    if array is None:
        return None
    if array.size == 1:
        return float(array.reshape(-1)[0]) if array.dtype.kind in "fiu" else 1.0
    axis, root = vector_axis(array.shape, channels), behind_identity(value)
    if axis is None or held_tensor(root) is None:
        return None
    walk.vectors.append(VectorUse(root, axis, channels.units))
    return root


RULES: dict[str, Rule] = {**dict.fromkeys(_BINARY_OPS, binary), "MatMul": product}
