"""Fused ops that onnxruntime's optimiser leaves in models (com.microsoft), attention apart.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.convolution import conv
from gscompile.execute.linear import gemm
from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.onnx_files.op_names import MICROSOFT


@op("FusedMatMul", domain=MICROSOFT)
def fused_matmul(node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
    """Compute alpha a b, either with its last two dimensions exchanged or its first dimension moved to the rows."""
    a = _transposed(a, bool(node.get("transBatchA", 0)), bool(node.get("transA", 0)))
    b = _transposed(b, bool(node.get("transBatchB", 0)), bool(node.get("transB", 0)))
    return node.get("alpha", 1.0) * torch.matmul(a, b)


def _transposed(x: Tensor, batch: bool, matrix: bool) -> Tensor:
    if batch:
        x = x.movedim(0, -2)
    return x.transpose(-1, -2) if matrix and x.ndim > 1 else x


@op("Gelu", "BiasGelu", domain=MICROSOFT)
def gelu(_node: NodeInfo, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return gelu of x + bias."""
    return functional.gelu(x if bias is None else x + bias)


@op("FastGelu", domain=MICROSOFT)
def fast_gelu(_node: NodeInfo, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return gelu of x + bias in its tanh approximation."""
    return functional.gelu(x if bias is None else x + bias, approximate="tanh")


@op("QuickGelu", domain=MICROSOFT)
def quick_gelu(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute x sigmoid(alpha x)."""
    return x * torch.sigmoid(node.get("alpha", 1.702) * x)


def _root_mean_square(x: Tensor, gain: Tensor, epsilon: float, axis: int = -1) -> tuple[Tensor, Tensor]:
    """x over its root mean square from `axis` on, times gain; and one over that root."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    inverse = torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon)
    return x * inverse * gain, inverse


@op("SimplifiedLayerNormalization")
@op("SimplifiedLayerNormalization", domain=MICROSOFT)
def simplified_layer_normalization(node: NodeInfo, x: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Return layer normalisation without mean and bias (onnxruntime keeps it in ONNX's own domain)."""
    return _root_mean_square(x, gain, node.get("epsilon", 1e-5), node.get("axis", -1))


@op("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(
    node: NodeInfo, x: Tensor, skip: Tensor, gain: Tensor, bias: Tensor | None = None
) -> tuple[Tensor | None, ...]:
    """Normalize x + skip + bias; that sum is the fourth output."""
    total = x + skip if bias is None else x + skip + bias
    y, inverse = _root_mean_square(total, gain, node.get("epsilon", 1e-12))
    return y, None, inverse, total


@op("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(
    node: NodeInfo,
    x: Tensor,
    skip: Tensor,
    gain: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Return layer normalisation of x + skip + bias; its mean and inverse deviation; the sum."""
    total = x + skip if bias is None else x + skip + bias
    epsilon = node.get("epsilon", 1e-12)
    y = functional.layer_norm(total, gain.shape, gain, beta, epsilon)
    if not node.wants(1) and not node.wants(2):
        return y, total, total, total  # nobody reads the two in the middle
    var, mean = torch.var_mean(total, -1, correction=0, keepdim=True)
    return y, mean, torch.rsqrt(var + epsilon), total


@op("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(
    node: NodeInfo,
    ids: Tensor,
    segments: Tensor | None,
    words: Tensor,
    positions: Tensor,
    segment_words: Tensor | None,
    gain: Tensor,
    beta: Tensor,
    mask: Tensor | None = None,
    position_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the normalised sum of word, position and segment embeddings; mask lengths; the sum itself."""
    steps = torch.arange(ids.shape[1], device=ids.device)[None] if position_ids is None else position_ids
    total = functional.embedding(ids.long(), words) + functional.embedding(steps.long(), positions)
    if segments is not None and segment_words is not None:
        total = total + functional.embedding(segments.long(), segment_words)
    y = functional.layer_norm(total, gain.shape, gain, beta, node.get("epsilon", 1e-12))
    lengths = ids.new_zeros(ids.shape[0]) if mask is None else mask.sum(1)
    return y, lengths.to(torch.int32), total


def _activated(x: Tensor, name: str, parameters: Sequence[float]) -> Tensor:
    """Return an activation of FusedConv or FusedGemm."""
    match name:
        case "":
            return x
        case "Relu":
            return torch.relu(x)
        case "Tanh":
            return torch.tanh(x)
        case "Sigmoid":
            return torch.sigmoid(x)
        case "LeakyRelu":
            return functional.leaky_relu(x, parameters[0])
        case "Clip":
            return torch.clamp(x, parameters[0], parameters[1])
        case "HardSigmoid":
            return torch.clamp(x * parameters[0] + parameters[1], 0, 1)
    raise NotImplementedError


@op("FusedConv", domain=MICROSOFT)
def fused_conv(node: NodeInfo, x: Tensor, w: Tensor, b: Tensor | None = None, z: Tensor | None = None) -> Tensor:
    """Compute activation(conv(x, w) + b + z)."""
    y = conv(node, x, w, b)
    return _activated(y if z is None else y + z, node.get("activation", ""), node.get("activation_params", ()))


@op("FusedGemm", domain=MICROSOFT)
def fused_gemm(node: NodeInfo, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """Compute activation(gemm(a, b, c))."""
    alpha = node.get("activation_alpha", 0.01)
    return _activated(gemm(node, a, b, c), node.get("activation", ""), (alpha, node.get("activation_beta", 0.5)))
