"""Normalisations and softmax."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.batch_norm import normalized_by_batch
from gscompile.execute.local_response import local_response
from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import TORCH_TYPES


def _per_channel(parameter: Tensor, x: Tensor) -> Tensor:
    """Return a parameter [C] shaped to broadcast over x [N, C, ...]."""
    return parameter.reshape(-1, *(1,) * (x.ndim - 2))


@op("BatchNormalization")
def batch_normalization(
    node: NodeInfo, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """Normalise x [N, C, ...] by the given statistics; with `training_mode` by its own, which are returned too."""
    epsilon = node.get("epsilon", 1e-5)
    if not node.get("training_mode", 0):
        alike = {scale.dtype, bias.dtype, mean.dtype, var.dtype} == {x.dtype} and x.ndim > 1
        if alike and not mean.requires_grad and not var.requires_grad:
            return functional.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)
        return _normalized(x, mean, var, scale, bias, epsilon)
    several = x.ndim > 1 and x.numel() > x.shape[1]  # of a single value a channel torch takes no variance
    if several and scale.dtype == bias.dtype and not node.wants(1) and not node.wants(2):
        return normalized_by_batch(x, scale, bias, epsilon)
    momentum = node.get("momentum", 0.9)
    dims = [axis for axis in range(x.ndim) if axis != 1]
    batch_var, batch_mean = torch.var_mean(x, dims, correction=0)
    running_mean = mean * momentum + batch_mean * (1 - momentum)
    running_var = var * momentum + batch_var * (1 - momentum)
    return _normalized(x, batch_mean, batch_var, scale, bias, epsilon), running_mean, running_var


def _normalized(x: Tensor, mean: Tensor, var: Tensor, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    mean, var, scale, bias = (_per_channel(parameter, x) for parameter in (mean, var, scale, bias))
    return ((x - mean) / torch.sqrt(var + epsilon) * scale + bias).to(x.dtype)


@op("InstanceNormalization")
def instance_normalization(node: NodeInfo, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Normalise each image of x [N, C, sizes...] by its own mean and variance."""
    dims = tuple(range(2, x.ndim))
    var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    y = (x - mean) * torch.rsqrt(var + node.get("epsilon", 1e-5))
    return y * _per_channel(scale, x) + _per_channel(bias, x)


@op("LayerNormalization", since=17)
def layer_normalization(
    node: NodeInfo, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """Normalise the last dimensions of x, from `axis` on, by their mean and variance; return these too on request."""
    axis = node.get("axis", -1) % x.ndim
    shape, epsilon = x.shape[axis:], node.get("epsilon", 1e-5)
    alike = scale.shape == shape and (bias is None or bias.shape == shape) and scale.dtype == x.dtype
    if alike and not node.wants(1) and not node.wants(2):
        return functional.layer_norm(x, shape, scale, bias, epsilon)
    stash = x.to(TORCH_TYPES[node.get("stash_type", 1)]) if x.dtype != torch.float64 else x
    var, mean = torch.var_mean(stash, tuple(range(axis, x.ndim)), correction=0, keepdim=True)
    inverse = torch.rsqrt(var + epsilon)
    y = ((stash - mean) * inverse).to(x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


@op("RMSNormalization", since=23)
def rms_normalization(node: NodeInfo, x: Tensor, scale: Tensor) -> Tensor:
    """Divide the last dimensions of x, from `axis` on, by their root mean square."""
    axis = node.get("axis", -1) % x.ndim
    stash = x.to(TORCH_TYPES[node.get("stash_type", 1)]) if x.dtype != torch.float64 else x
    square = stash.square().mean(tuple(range(axis, x.ndim)), keepdim=True)
    return (stash * torch.rsqrt(square + node.get("epsilon", 1e-5))).to(x.dtype) * scale


@op("GroupNormalization", since=21)
def group_normalization(node: NodeInfo, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Normalise groups of channels of x [N, C, ...]; scale and bias [C]."""
    return functional.group_norm(x, node.get("num_groups", 1), scale, bias, node.get("epsilon", 1e-5))


@op("GroupNormalization", since=18)
def group_normalization_18(node: NodeInfo, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Normalise groups of channels of x [N, C, ...]; scale and bias [groups]."""
    repeats = x.shape[1] // node.get("num_groups", 1)
    return group_normalization(node, x, scale.repeat_interleave(repeats), bias.repeat_interleave(repeats))


@op("LRN")
def lrn(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute x [N, C, ...] / (bias + alpha / size * sum of squares over `size` neighbouring channels) ** beta."""
    size = node.get("size", 1)
    scale = node.get("alpha", 1e-4) / size
    return local_response(x, size, scale, node.get("beta", 0.75), node.get("bias", 1.0))


@op("LpNormalization")
def lp_normalization(node: NodeInfo, x: Tensor) -> Tensor:
    """Divide x by its p-norm along `axis`; the result is zero where the norm is."""
    norm = torch.linalg.vector_norm(x, node.get("p", 2), node.get("axis", -1), keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / torch.where(norm == 0, torch.ones_like(norm), norm))


@op("MeanVarianceNormalization")
def mean_variance_normalization(node: NodeInfo, x: Tensor) -> Tensor:
    """Normalise x by its mean and standard deviation over `axes`."""
    var, mean = torch.var_mean(x, tuple(node.get("axes", (0, 2, 3))), correction=0, keepdim=True)
    return (x - mean) / (torch.sqrt(var) + 1e-9)


def _rows(x: Tensor, axis: int) -> tuple[Tensor, Sequence[int]]:
    """x as rows of everything from `axis` on, as softmax saw it until opset 12."""
    axis = axis % x.ndim if axis < 0 else axis
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, -1), x.shape


@op("Softmax")
def softmax_rows(node: NodeInfo, x: Tensor) -> Tensor:
    """Return softmax over everything from `axis` on (until opset 12)."""
    rows, shape = _rows(x, node.get("axis", 1))
    return _softmax(rows, -1).reshape(shape)


@op("Softmax", since=13)
def softmax(node: NodeInfo, x: Tensor) -> Tensor:
    """Return softmax along `axis`."""
    return _softmax(x, node.get("axis", -1))


def _softmax(x: Tensor, axis: int) -> Tensor:
    """Return softmax along an axis, NaN where all scores are minus infinity (masked), with a gradient of zero there.

    ONNX's Attention writes zeros there afterwards, which alone does not keep NaN out of the gradient.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return torch.softmax(x, axis)
    x = x.view_as(x)  # the gradient of this reader alone
    y = torch.softmax(x, axis)
    made = y.detach()

    def known(gradient: Tensor | None) -> Tensor | None:  # None: nothing depends on it
        return None if gradient is None else gradient.masked_fill(made.isnan(), 0)

    x.register_hook(known)  # type: ignore[no-untyped-call]
    return y


@op("LogSoftmax")
def log_softmax_rows(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the logarithm of softmax over everything from `axis` on (until opset 12)."""
    rows, shape = _rows(x, node.get("axis", 1))
    return torch.log_softmax(rows, -1).reshape(shape)


@op("LogSoftmax", since=13)
def log_softmax(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the logarithm of softmax along `axis`."""
    return torch.log_softmax(x, node.get("axis", -1))


@op("Hardmax")
def hardmax_rows(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute 1 at the first maximum of everything from `axis` on, else 0 (until opset 12)."""
    rows, shape = _rows(x, node.get("axis", 1))
    return _one_at_maximum(rows, -1).reshape(shape)


@op("Hardmax", since=13)
def hardmax(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute 1 at the first maximum along `axis`, else 0."""
    return _one_at_maximum(x, node.get("axis", -1))


def _one_at_maximum(x: Tensor, axis: int) -> Tensor:
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)
