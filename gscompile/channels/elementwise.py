"""Follow channels through ops that treat them one by one: activations, pooling, clipping, normalisation."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from gscompile.channels.binary import binary
from gscompile.channels.coupled_channels import VectorUse, both_zero
from gscompile.channels.propagation import Rule, Walk
from gscompile.onnx_files.constants import behind_identity, held_tensor
from gscompile.onnx_files.op_names import kind

# f(0) = 0, applied to each channel by itself.
_ZERO_SAFE = set(
    "Relu LeakyRelu "  # noqa: SIM905
    "Elu Selu Celu Tanh Abs Neg Sign Sin Sinh Asinh Atan Tan Erf Sqrt Ceil Floor Round Identity Cast "
    "Dropout MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool Softsign ThresholdedRelu Gelu HardSwish Mish "
    "Swish QuickGelu FastGelu".split()
)
_UNARY_OPS = set("Sigmoid HardSigmoid Softplus Exp Log Reciprocal Cos Cosh Acos Asin Not".split())  # noqa: SIM905
_POOLS = {"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"}


def unary(walk: Walk, node: ir.Node) -> None:
    """Follow channels through an op of one value."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    if (node.op_type in _POOLS and not channels.is_second) or len(node.outputs) > 1:
        return walk.unknown(node)
    if kind(node) == "FastGelu" and len(node.inputs) > 1:
        return binary(walk, node)
    zero = () if node.op_type in _UNARY_OPS or _divides_by_zero(node) else channels.zero
    return walk.put(node.outputs[0], replace(channels, zero=zero))


def _divides_by_zero(node: ir.Node) -> bool:
    """Return whether an attribute of zero turns zero into NaN: Celu divides by `alpha`, LpPool takes a root."""
    if node.op_type == "Celu":
        return node.attributes.get_float("alpha", 1.0) == 0
    return node.op_type == "LpPool" and node.attributes.get_int("p", 2) == 0


def clip(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `Clip`; zeros stay zero where its range contains zero."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    low, high = (bound(walk, node, index, name) for index, name in ((1, "min"), (2, "max")))
    if low is None or high is None:
        return walk.unknown(node)
    inside = low <= 0 <= high
    return walk.put(node.outputs[0], replace(channels, zero=channels.zero if inside else ()))


def bound(walk: Walk, node: ir.Node, index: int, name: str) -> float | None:
    """Return one end of a `Clip`: 0 where there is none, None where it is not constant."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return node.attributes.get_float(name, 0.0)
    array = walk.array(value)
    return None if array is None or array.size != 1 else float(array.reshape(-1)[0])


def batch_norm(walk: Walk, node: ir.Node) -> None:
    """Follow channels through a `BatchNormalization`: its result is zero where its scale and shift are."""
    channels = walk.channels(node.inputs[0])
    vectors = [behind_identity(v) for v in node.inputs[1:] if v is not None]
    if channels is None:
        return None
    held = all(held_tensor(v) is not None for v in vectors)
    if not channels.is_second or channels.spread != 1 or not held or len(node.outputs) > 1:
        return walk.unknown(node)
    walk.vectors += [VectorUse(v, 0, channels.units) for v in vectors]
    silent = () if _may_divide_by_zero(node) else (frozenset(vectors[:2]),)
    return walk.put(node.outputs[0], replace(channels, zero=silent))


def _may_divide_by_zero(node: ir.Node) -> bool:
    """Return whether a variance of zero would be divided by, since the node adds no epsilon to it."""
    return not node.attributes.get_float("epsilon", 1e-5) > 0


def instance_norm(walk: Walk, node: ir.Node) -> None:
    """Follow channels through an `InstanceNormalization`: of a channel of zeros, the shift is left."""
    channels = walk.channels(node.inputs[0])
    scale, shift = (behind_identity(v) if v is not None else None for v in node.inputs[1:3])
    if channels is None:
        return None
    held = scale is not None and shift is not None and None not in (held_tensor(scale), held_tensor(shift))
    if not (held and channels.is_second and channels.spread == 1):
        return walk.unknown(node)
    assert scale is not None
    assert shift is not None
    walk.vectors += [VectorUse(v, 0, channels.units) for v in (scale, shift)]
    silent = both_zero((*channels.zero, frozenset([scale])), (frozenset([shift]),))
    if _may_divide_by_zero(node):
        silent = ()
    return walk.put(node.outputs[0], replace(channels, zero=silent))


RULES: dict[str, Rule] = {
    **dict.fromkeys((*_ZERO_SAFE, *_UNARY_OPS), unary),
    "BatchNormalization": batch_norm,
    "Clip": clip,
    "InstanceNormalization": instance_norm,
}
