"""Quantised arithmetic. Values are right; a gradient passes straight through `QuantizeLinear` and ends elsewhere.

Straight through: what is rounded counts as what it was, inside the range (Bengio et al., arXiv:1308.3432). Such a
tensor holds its whole numbers as floats, since torch differentiates no others; `DequantizeLinear` takes both, and what
leaves a graph or a function is of its own type.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gscompile.execute.convolution import conv
from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import torch_type
from gscompile.onnx_files.op_names import MICROSOFT

QUANTISED_TYPES = (torch.uint8, torch.int8, torch.uint16, torch.int16)


def _along(parameter: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """Return a scale or zero point shaped to broadcast over x: one number, or one per slice or block of `axis`."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    if block:
        return parameter.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if parameter.ndim > 1:
        return parameter
    shape = [1] * x.ndim
    shape[axis] = -1
    return parameter.reshape(shape)


def quantized(x: Tensor, scale: Tensor, zero: Tensor | None, dtype: torch.dtype) -> Tensor:
    """round(x / scale) + zero within the range of `dtype`, halves to even; both broadcast over x."""
    return _rounded(x / scale, zero, dtype).to(torch.int32).to(dtype)


def straight_through(x: Tensor, scale: Tensor, zero: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return the numbers as floats, with the gradient of x / scale where it is within the range."""
    steps = x / scale
    whole = _rounded(steps, zero, dtype).detach()
    limits = torch.iinfo(dtype)
    shift = 0 if zero is None else zero.to(steps.dtype)
    inside = (steps + shift).clamp(limits.min, limits.max)
    return whole + (inside - inside.detach())


def _rounded(steps: Tensor, zero: Tensor | None, dtype: torch.dtype) -> Tensor:
    if dtype not in QUANTISED_TYPES:
        raise NotImplementedError
    limits = torch.iinfo(dtype)
    y = torch.round(steps)
    y = y if zero is None else y + zero.to(y.dtype)
    return y.clamp(limits.min, limits.max)


def dequantized(x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    """(x - zero) * scale; scale and zero broadcast over x."""
    if x.requires_grad:  # whole numbers held as floats
        return (x if zero is None else x - zero.to(x.dtype)).to(scale.dtype) * scale
    whole = x.to(torch.int32) if zero is None else x.to(torch.int32) - zero.to(torch.int32)
    return whole.to(scale.dtype) * scale


@op("QuantizeLinear")
@op("QuantizeLinear", domain=MICROSOFT)
def quantize_linear(node: NodeInfo, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Quantise x per tensor, per slice of `axis` or per block of it."""
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    chosen = node.get("output_dtype", 0)
    dtype = zero.dtype if zero is not None else torch_type(chosen) if chosen else torch.uint8
    scale = _along(scale, x, axis, block)
    floats = x if x.is_floating_point() else x.to(scale.dtype)
    learns = torch.is_grad_enabled() and floats.requires_grad and not node.last
    made = straight_through if learns else quantized
    return made(floats, scale.to(floats.dtype), None if zero is None else _along(zero, x, axis, block), dtype)


@op("DequantizeLinear")
@op("DequantizeLinear", domain=MICROSOFT)
def dequantize_linear(node: NodeInfo, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Return the real numbers that x stands for."""
    axis, block = node.get("axis", 1), node.get("block_size", 0)
    y = dequantized(x, _along(scale, x, axis, block), None if zero is None else _along(zero, x, axis, block))
    chosen = node.get("output_dtype", 0)
    return y.to(torch_type(chosen)) if chosen else y


def _shifted(x: Tensor, zero: Tensor | None) -> Tensor:
    """x - zero in doubles: exact for sums of products of bytes, and torch multiplies no integers fast."""
    return x.double() if zero is None else x.double() - zero.double()


def _per_row(zero: Tensor | None) -> Tensor | None:
    return zero[..., None] if zero is not None and zero.ndim == 1 and zero.numel() > 1 else zero


@op("MatMulInteger")
def matmul_integer(
    _node: NodeInfo, a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    """Return the int32 product of 8-bit a [..., n, k] and b [..., k, m]; zero points per row of a, column of b."""
    return torch.matmul(_shifted(a, _per_row(a_zero)), _shifted(b, b_zero)).to(torch.int32)


@op("ConvInteger")
def conv_integer(
    node: NodeInfo, x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None
) -> Tensor:
    """Return the int32 convolution of 8-bit x and w."""
    w_zero = None if w_zero is None else _along(w_zero, w, 0, 0)
    return conv(node, _shifted(x, x_zero), _shifted(w, w_zero)).to(torch.int32)


@op("QLinearMatMul")
def qlinear_matmul(
    _node: NodeInfo,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
) -> Tensor:
    """Return the product of quantised matrices, quantised."""
    product = torch.matmul(_shifted(a, _per_row(a_zero)), _shifted(b, b_zero))
    rows = a_scale[..., None] if a_scale.ndim == 1 and a_scale.numel() > 1 else a_scale
    return quantized(product * rows.double() * b_scale.double(), y_scale.double(), y_zero, y_zero.dtype)


@op("QLinearConv")
def qlinear_conv(
    node: NodeInfo,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    b: Tensor | None = None,
) -> Tensor:
    """Return the convolution of quantised tensors, quantised; the bias is int32 in units of x_scale * w_scale."""
    sums = conv(node, _shifted(x, x_zero), _shifted(w, _along(w_zero, w, 0, 0)), None if b is None else b.double())
    scale = x_scale.double() * _along(w_scale, sums, 1, 0).double()
    return quantized(sums * scale, y_scale.double(), y_zero, y_zero.dtype)


@op("QLinearAdd", domain=MICROSOFT)
def qlinear_add(_node: NodeInfo, *given: Tensor) -> Tensor:
    """Return the sum of quantised tensors (a, scale, zero, b, scale, zero, y scale, y zero), quantised."""
    return _requantized(dequantized(*given[0:3]) + dequantized(*given[3:6]), *given[6:])


@op("QLinearMul", domain=MICROSOFT)
def qlinear_mul(_node: NodeInfo, *given: Tensor) -> Tensor:
    """Return the product, element by element, likewise."""
    return _requantized(dequantized(*given[0:3]) * dequantized(*given[3:6]), *given[6:])


@op("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(_node: NodeInfo, *given: Tensor) -> Tensor:
    """Return the sigmoid of a quantised tensor (x, scale, zero, y scale, y zero), quantised."""
    return _requantized(torch.sigmoid(dequantized(*given[0:3])), *given[3:])


def _requantized(y: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    return quantized(y, scale, zero, torch.uint8 if zero is None else zero.dtype)


@op("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(
    _node: NodeInfo,
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero: Tensor | None = None,
    b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Return the product of 8-bit a and b in real numbers, plus a bias [m]."""
    product = torch.matmul(_shifted(a, a_zero), _shifted(b, b_zero)).to(a_scale.dtype)
    y = product * (a_scale * b_scale)
    return y if bias is None else y + bias


@op("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(
    node: NodeInfo,
    a: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Return real a, quantised by its own range, times 8-bit b, in real numbers."""
    low, high = a.min().clamp(max=0), a.max().clamp(min=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.round(-low / scale).clamp(0, 255).to(torch.uint8)
    return matmul_integer_to_float(node, quantized(a, scale, zero, torch.uint8), b, scale, b_scale, zero, b_zero, bias)
