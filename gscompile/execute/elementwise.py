"""Arithmetic, comparisons, logic and activations: each output element from the inputs at its place."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.power import fraction, fractional_power
from gscompile.execute.table import op
from gscompile.execute.values import number, torch_type

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "BitwiseNot": torch.bitwise_not,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "HardSwish": functional.hardswish,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Mish": functional.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,  # halves to even, as ONNX says
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}

VARIADIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Sum": torch.add,
}


def _enter_unary(name: str, function: Callable[[Tensor], Tensor]) -> None:
    @op(name)
    def unary(_node: NodeInfo, x: Tensor) -> Tensor:
        return function(x)


def _enter_binary(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    @op(name)
    def binary(node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
        return function(a, _broadcast_before_7(node, a, b))


def _enter_variadic(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    @op(name)
    def variadic(_node: NodeInfo, *tensors: Tensor) -> Tensor:
        return functools.reduce(function, tensors)


for _name, _unary in UNARY.items():
    _enter_unary(_name, _unary)
for _name, _binary in BINARY.items():
    _enter_binary(_name, _binary)
for _name, _variadic in VARIADIC.items():
    _enter_variadic(_name, _variadic)


def _broadcast_before_7(node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
    """Reshape `b` to broadcast over `a` as until opset 6: `axis` is the dimension of `a` where those of `b` begin."""
    axis = node.get("axis", -1)
    if axis < 0 or node.version >= 7:
        return b
    return b.reshape(b.shape + (1,) * (a.ndim - axis - b.ndim))


@op("Div")
def div(node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
    """Divide; integers are rounded towards zero."""
    return torch.div(a, _broadcast_before_7(node, a, b), rounding_mode=None if a.is_floating_point() else "trunc")


@op("Pow")
def power(node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
    """Return a to the power b, of the type of the base."""
    if b.dtype in (torch.uint16, torch.uint32, torch.uint64):  # torch can do almost nothing with them
        b = b.to(torch.int64)
    if a.is_floating_point() and b.ndim <= a.ndim and (exponent := fraction(b)) is not None:
        return fractional_power(a, exponent)
    return torch.pow(a, _broadcast_before_7(node, a, b)).to(a.dtype)


@op("Mod")
def mod(node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
    """Return the remainder, with the sign of the divisor, or with `fmod` that of the dividend."""
    return torch.fmod(a, b) if node.get("fmod", 0) else torch.remainder(a, b)


@op("Mean")
def mean(_node: NodeInfo, *tensors: Tensor) -> Tensor:
    """Return the element-wise mean of several tensors."""
    return functools.reduce(torch.add, tensors) / len(tensors)


@op("BitShift")
def bit_shift(node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
    """Shift left or right."""
    return (
        torch.bitwise_left_shift(a, b) if node.get("direction", "LEFT") == "LEFT" else torch.bitwise_right_shift(a, b)
    )


@op("Where")
def where(_node: NodeInfo, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return `a` where the condition holds, else `b`."""
    return torch.where(condition, a, b)


@op("IsInf")
def is_inf(node: NodeInfo, x: Tensor) -> Tensor:
    """Return whether elements are infinities of the signs asked for."""
    positive = torch.isposinf(x) & bool(node.get("detect_positive", 1))
    return positive | (torch.isneginf(x) & bool(node.get("detect_negative", 1)))


@op("Identity")
def identity(_node: NodeInfo, x: Tensor) -> Tensor:
    """Return the input itself."""
    return x


@op("Cast")
def cast(node: NodeInfo, x: Tensor) -> Tensor:
    """Convert to the element type `to`; floats to integers are rounded towards zero."""
    return x.to(torch_type(node.get("to", 1)))


@op("CastLike")
def cast_like(_node: NodeInfo, x: Tensor, like: Tensor) -> Tensor:
    """Convert to the element type of another tensor."""
    return x.to(like.dtype)


@op("BitCast")
def bit_cast(node: NodeInfo, x: Tensor) -> Tensor:
    """Reinterpret the bits as another type of the same width."""
    return x.view(torch_type(node.get("to", 1)))


@op("Dropout")
def dropout(
    _node: NodeInfo, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the input, unless the model itself asks for training mode (then with torch's random numbers)."""
    keep = torch.ones_like(x, dtype=torch.bool)
    p = 0.5 if ratio is None else float(number(ratio))
    if training is None or not number(training) or p == 0:
        return x, keep
    keep = torch.rand(x.shape, device=x.device) >= p
    return torch.where(keep, x / (1 - p), torch.zeros_like(x)), keep


@op("Clip")
def clip_attributes(node: NodeInfo, x: Tensor) -> Tensor:
    """Limit x to two attributes (until opset 10)."""
    return torch.clamp(x, node.get("min", -math.inf), node.get("max", math.inf))


@op("Clip", since=11)
def clip(_node: NodeInfo, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Limit x to two inputs, which are read as numbers (faster) unless they train."""
    if low is None and high is None:
        return x
    if any(bound is not None and bound.requires_grad for bound in (low, high)):
        return torch.clamp(x, low, high)
    return torch.clamp(x, None if low is None else number(low), None if high is None else number(high))


@op("PRelu")
def prelu(_node: NodeInfo, x: Tensor, slope: Tensor) -> Tensor:
    """Return x, times `slope` where it is negative; `slope` broadcasts to `x` from the last dimension."""
    return torch.where(x < 0, slope * x, x)


@op("LeakyRelu")
def leaky_relu(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute alpha x below zero."""
    return functional.leaky_relu(x, node.get("alpha", 0.01))


@op("ThresholdedRelu")
def thresholded_relu(node: NodeInfo, x: Tensor) -> Tensor:
    """Return zero up to alpha."""
    return torch.where(x > node.get("alpha", 1.0), x, torch.zeros_like(x))


@op("Elu")
def elu(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute alpha (exp(x) - 1) below zero."""
    return functional.elu(x, node.get("alpha", 1.0))


@op("Celu")
def celu(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute alpha (exp(x / alpha) - 1) below zero."""
    return functional.celu(x, node.get("alpha", 1.0))


@op("Selu")
def selu(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute gamma (alpha exp(x) - alpha) up to zero, gamma x above."""
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return gamma * functional.elu(x, alpha)


@op("HardSigmoid")
def hard_sigmoid(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute alpha x + beta between 0 and 1."""
    return torch.clamp(x * node.get("alpha", 0.2) + node.get("beta", 0.5), 0, 1)


@op("Gelu")
def gelu(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute x times the normal distribution function, or its tanh approximation."""
    return functional.gelu(x, approximate=node.get("approximate", "none"))


@op("Swish")
def swish(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute x sigmoid(alpha x)."""
    return x * torch.sigmoid(node.get("alpha", 1.0) * x)


@op("Shrink")
def shrink(node: NodeInfo, x: Tensor) -> Tensor:
    """Return towards zero by `bias` beyond +-lambd, zero between."""
    bias, lambd = node.get("bias", 0.0), node.get("lambd", 0.5)
    shrunk = torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x)))
    return shrunk.to(x.dtype)


@op("Binarizer", domain="ai.onnx.ml")
def binarizer(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute 1 above the threshold, else 0."""
    return (x > node.get("threshold", 0.0)).to(x.dtype)
