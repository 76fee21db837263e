"""The attention ops of onnxruntime (com.microsoft). ONNX's own Attention runs as its function body.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import number
from gscompile.onnx_files.op_names import MICROSOFT


def _heads(x: Tensor, count: int) -> Tensor:
    """[batch, steps, count * size] -> [batch, count, steps, size]."""
    return x.reshape(x.shape[0], x.shape[1], count, x.shape[2] // count).transpose(1, 2)


def _attend(node: NodeInfo, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """softmax(q k' scale + bias) v for [batch, heads, steps, size] -> [batch, steps, heads * size]."""
    scale = node.get("scale", 0.0) or 1 / math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-1, -2) * scale
    scores = scores if bias is None else scores + bias
    if node.get("unidirectional", 0):
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1 + k.shape[-2] - q.shape[-2])
        scores = scores.masked_fill(later, torch.finfo(scores.dtype).min)
    mixed = torch.softmax(scores, -1) @ v
    return mixed.transpose(1, 2).reshape(q.shape[0], q.shape[2], -1)


def _mask_bias(node: NodeInfo, mask: Tensor | None, q: Tensor, total: int) -> Tensor | None:
    """Return the term that a mask adds to scores [batch, heads, steps, total].

    The mask holds lengths [batch], or ones and zeros: [batch, total] or [batch, steps, total].
    """
    if mask is None:
        return None
    if mask.ndim == 1:
        if mask.shape[0] != q.shape[0]:
            raise NotImplementedError
        mask = (torch.arange(total, device=q.device) < mask[:, None]).to(mask.dtype)
    if mask.ndim not in (2, 3):
        raise NotImplementedError
    mask = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
    hidden = torch.full((), node.get("mask_filter_value", -10000.0), dtype=q.dtype, device=q.device)
    return torch.where(mask > 0, torch.zeros_like(hidden), hidden)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


@op("Attention", domain=MICROSOFT)
def attention(
    node: NodeInfo,
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    mask: Tensor | None = None,
    past: Tensor | None = None,
    bias: Tensor | None = None,
    past_length: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Compute self-attention of x [batch, steps, inputs] by w [inputs, q + k + v]; past [2, batch, heads, ...]."""
    if past_length is not None or node.get("do_rotary", 0):
        raise NotImplementedError
    count = node.get("num_heads", 1)
    sizes = list(node.get("qkv_hidden_sizes", (w.shape[1] // 3,) * 3))
    q, k, v = (_heads(part, count) for part in torch.split(functional.linear(x, w.t(), b), sizes, -1))
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    added = _sum(_mask_bias(node, mask, q, k.shape[2]), bias)
    y = _attend(node, q, k, v, added)
    return (y, torch.stack([k, v])) if node.wants(1) else (y,)


@op("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    node: NodeInfo,
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    b: Tensor | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    *others: Tensor | None,
) -> tuple[Tensor, ...]:
    """Compute query, key, value [batch, steps, heads * size], the last two also by heads; b is added to all three."""
    if query.ndim != 3 or key is None or value is None or any(other is not None for other in others):
        raise NotImplementedError
    count = node.get("num_heads", 1)
    if b is not None:
        parts = torch.split(b, [query.shape[-1], query.shape[-1], b.shape[0] - 2 * query.shape[-1]])
        query, key, value = query + parts[0], _plus(key, parts[1], count), _plus(value, parts[2], count)
    q = _heads(query, count)
    k, v = (part if part.ndim == 4 else _heads(part, count) for part in (key, value))
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    y = _attend(node, q, k, v, _sum(_mask_bias(node, mask, q, k.shape[2]), bias))
    return y, k, v


def _plus(x: Tensor, b: Tensor, count: int) -> Tensor:
    return x + b if x.ndim == 3 else x + b.reshape(count, 1, -1)


@op("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(node: NodeInfo, x: Tensor, position: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return pairs of elements of x turned by the angle of their position.

    x: [batch, steps, heads * size] or [batch, heads, steps, size];

    position: [1] is that of the first step, [batch, steps] those of all; cos and sin [positions, size / 2].
    """
    if node.get("is_packed_batching", 0):
        raise NotImplementedError
    width = node.get("rotary_embedding_dim", 0) or 2 * cos.shape[1]
    count = node.get("num_heads", 0) or (x.shape[-1] // width if x.ndim == 3 else 1)
    heads = _heads(x, count) if x.ndim == 3 else x
    if position.ndim == 1:
        position = int(number(position)) + torch.arange(heads.shape[2], device=x.device)[None]
    turned = _turned(
        heads[..., :width], cos[position][:, None], sin[position][:, None], bool(node.get("interleaved", 0))
    )
    y = torch.cat([turned, heads[..., width:]], -1)
    return y.transpose(1, 2).reshape(x.shape) if x.ndim == 3 else y


def _turned(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """Return each pair (a, b), neighbours or halves, becomes (a cos - b sin, a sin + b cos)."""
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
    first, second = a * cos - b * sin, a * sin + b * cos
    return torch.stack([first, second], -1).flatten(-2) if interleaved else torch.cat([first, second], -1)
