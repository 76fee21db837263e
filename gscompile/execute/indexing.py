"""Picking elements by index, and putting them."""

from __future__ import annotations

import torch
from torch import Tensor

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import ints, number

SCATTER_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _positive(index: Tensor, size: int) -> Tensor:
    """Return the index with negative entries counted from the end."""
    index = index.to(torch.int64)
    return torch.where(index < 0, index + size, index)


@op("Gather")
def gather(node: NodeInfo, x: Tensor, index: Tensor) -> Tensor:
    """Compute x[..., index, ...] along `axis`."""
    axis = node.get("axis", 0) % x.ndim
    picked = x.index_select(axis, _positive(index, x.shape[axis]).reshape(-1))
    return picked.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1 :])


@op("GatherElements")
def gather_elements(node: NodeInfo, x: Tensor, index: Tensor) -> Tensor:
    """Compute y[i, j] = x[index[i, j], j] along `axis`."""
    axis = node.get("axis", 0)
    return torch.gather(x, axis, _positive(index, x.shape[axis]))


@op("GatherND")
def gather_nd(node: NodeInfo, x: Tensor, index: Tensor) -> Tensor:
    """Compute x at the coordinates in the last dimension of `index`, after `batch_dims` shared dimensions."""
    shared = node.get("batch_dims", 0)
    batch = x.shape[:shared]
    flat_x, flat_index = x.reshape(-1, *x.shape[shared:]), index.reshape(-1, *index.shape[shared:])
    rows = torch.arange(flat_x.shape[0], device=x.device).reshape(-1, *(1,) * (flat_index.ndim - 2))
    coordinates = tuple(
        _positive(part, size) for part, size in zip(flat_index.unbind(-1), flat_x.shape[1:], strict=False)
    )
    picked = flat_x[(rows, *coordinates)]
    return picked.reshape(*batch, *picked.shape[1:])


@op("Scatter", "ScatterElements")
def scatter_elements(node: NodeInfo, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    """Compute x with y[index[i, j], j] = updates[i, j] along `axis`, or reduced with what is there."""
    axis, reduction = node.get("axis", 0), node.get("reduction", "none")
    index = _positive(index, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, index, updates)
    return x.scatter_reduce(axis, index, updates, SCATTER_REDUCTIONS[reduction])


@op("ScatterND")
def scatter_nd(node: NodeInfo, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    """Compute x with its slices at the coordinates in `index` [..., depth] set, or reduced with what is there."""
    depth = index.shape[-1]
    rows, rest = torch.Size(x.shape[:depth]).numel(), torch.Size(x.shape[depth:]).numel()
    flat = torch.zeros(index.shape[:-1], dtype=torch.int64, device=x.device)
    for part, size in zip(index.unbind(-1), x.shape[:depth], strict=True):
        flat = flat * size + _positive(part, size)
    table, where, values = (
        x.reshape(rows, rest),
        flat.reshape(-1, 1).expand(-1, rest),
        updates.reshape(-1, rest),
    )
    reduction = node.get("reduction", "none")
    if reduction == "none":
        return table.scatter(0, where, values).reshape(x.shape)
    return table.scatter_reduce(0, where, values, SCATTER_REDUCTIONS[reduction]).reshape(x.shape)


@op("TensorScatter")
def tensor_scatter(node: NodeInfo, past: Tensor, update: Tensor, start: Tensor | None = None) -> Tensor:
    """Return a cache [batch, ...] with `update` written along `axis` from each batch item's `start` on."""
    axis = node.get("axis", -2) % past.ndim
    length = update.shape[axis]
    begin = torch.zeros(past.shape[0], dtype=torch.int64, device=past.device) if start is None else start
    place = begin[:, None] + torch.arange(length, device=past.device)
    if node.get("mode", "linear") == "circular":
        place = place % past.shape[axis]
    shape = [1] * past.ndim
    shape[0], shape[axis] = past.shape[0], length
    return past.scatter(axis, place.reshape(shape).expand(update.shape), update)


@op("OneHot")
def one_hot(node: NodeInfo, index: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    """Compute values[1] at the index along a new `axis` of size `depth`, values[0] elsewhere."""
    classes = int(number(depth.reshape(-1)))
    axis = node.get("axis", -1) % (index.ndim + 1)
    place = torch.arange(classes, device=index.device).reshape(-1, *(1,) * (index.ndim - axis))
    hot = _positive(index, classes).unsqueeze(axis) == place
    return torch.where(hot, values[1], values[0])


@op("Compress")
def compress(node: NodeInfo, x: Tensor, condition: Tensor) -> Tensor:
    """Return the slices along `axis` (or of the flat input) for which the condition holds."""
    index = condition.nonzero()[:, 0]
    if "axis" not in node.attributes:
        return x.reshape(-1).index_select(0, index)
    return x.index_select(node.get("axis", 0), index)


@op("NonZero")
def non_zero(_node: NodeInfo, x: Tensor) -> Tensor:
    """Return the coordinates of what is not zero [rank, count]."""
    return x.nonzero().t() if x.ndim else x.reshape(1).nonzero().t()[:0]


@op("TopK")
def top_k_attribute(node: NodeInfo, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the k largest along `axis` (until opset 9)."""
    return _extremes(node, x, node.get("k", 1))


@op("TopK", since=10)
def top_k(node: NodeInfo, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Return the k largest (or smallest) along `axis` and their indices; of equal ones the first."""
    return _extremes(node, x, ints(k)[0])


def _extremes(node: NodeInfo, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    axis = node.get("axis", -1)
    values, index = torch.sort(x, dim=axis, descending=bool(node.get("largest", 1)), stable=True)
    return values.narrow(axis, 0, k), index.narrow(axis, 0, k)


@op("Unique")
def unique(node: NodeInfo, x: Tensor) -> tuple[Tensor, ...]:
    """Return the distinct slices along `axis` (or elements of the flat input), sorted or as they first occur.

    Also where each first occurs, for each slice its place among them, and how many of each there are.
    """
    axis = node.get("axis", 0) if "axis" in node.attributes else None
    flat = x.reshape(-1) if axis is None else x
    dim = 0 if axis is None else axis
    _, inverse, counts = torch.unique(flat.detach(), return_inverse=True, return_counts=True, dim=dim)
    place = torch.arange(inverse.numel(), device=x.device)
    first = torch.full_like(counts, inverse.numel()).scatter_reduce(0, inverse, place, "amin")
    if not node.get("sorted", 1):
        order = first.argsort()
        first, counts, inverse = first[order], counts[order], order.argsort()[inverse]
    return flat.index_select(dim, first), first, inverse, counts


@op("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(_node: NodeInfo, x: Tensor, index: Tensor) -> Tensor:
    """Compute x[..., index]; a vector becomes one row."""
    rows = x.reshape(1, -1) if x.ndim == 1 else x
    return rows.index_select(-1, index.reshape(-1))
