"""Shapes: asking for them, changing them, cutting and joining, and tensors made from a shape alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.slicing import part
from gscompile.execute.table import op
from gscompile.execute.values import ints, number, torch_type


@op("Shape")
def shape(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the shape, or the part of it from `start` to `end`."""
    dims = list(x.shape)[node.get("start", 0) : node.get("end", x.ndim)]
    return torch.tensor(dims, dtype=torch.int64, device=x.device)


@op("Size")
def size(_node: NodeInfo, x: Tensor) -> Tensor:
    """Return the number of elements."""
    return torch.tensor(x.numel(), device=x.device)


@op("Reshape")
def reshape(node: NodeInfo, x: Tensor, target: Tensor | None = None) -> Tensor:
    """Reshape to `target`: 0 keeps the input's dimension unless `allowzero`, -1 is inferred."""
    dims = list(node.get("shape", ())) if target is None else ints(target)
    if not node.get("allowzero", 0):
        dims = [x.shape[n] if dim == 0 else dim for n, dim in enumerate(dims)]
    if -1 in dims and x.numel() == 0:  # torch finds -1 ambiguous here, ONNX takes 0 / rest
        dims = [_quotient(x.shape, dims) if dim == -1 else dim for dim in dims]
    return x.reshape(dims)


def _quotient(have: Sequence[int], want: Sequence[int]) -> int:
    """Return the size for -1 in a tensor without elements: zero dimensions that occur in both are struck out."""
    rest = [dim for dim in want if dim != -1]
    have = list(have)
    for dim in [dim for dim in rest if dim == 0 and 0 in have]:
        have.remove(dim)
        rest.remove(dim)
    total = torch.Size(have).numel()
    return total // max(torch.Size(rest).numel(), 1)


@op("Flatten")
def flatten(node: NodeInfo, x: Tensor) -> Tensor:
    """Reshape to two dimensions: those before `axis` and those from it on."""
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(torch.Size(x.shape[:axis]).numel(), torch.Size(x.shape[axis:]).numel())


@op("Squeeze")
def squeeze(node: NodeInfo, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Remove the dimensions `axes` (or all) of size 1."""
    dims = ints(axes) if axes is not None else node.get("axes", None)
    return x.squeeze() if dims is None else x.squeeze(tuple(dims))


@op("Unsqueeze")
def unsqueeze(node: NodeInfo, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Insert dimensions of size 1 at the places `axes` of the output."""
    dims = ints(axes) if axes is not None else list(node.get("axes", ()))
    rank = x.ndim + len(dims)
    for dim in sorted(dim % rank for dim in dims):
        x = x.unsqueeze(dim)
    return x


@op("Expand")
def expand(_node: NodeInfo, x: Tensor, target: Tensor) -> Tensor:
    """Broadcast to a tensor of the shape `target`."""
    shape = torch.broadcast_shapes(x.shape, ints(target))  # type: ignore[no-untyped-call]
    return x.expand(shape)


@op("Transpose")
def transpose(node: NodeInfo, x: Tensor) -> Tensor:
    """Permute the dimensions to the order `perm`, reversed by default."""
    return x.permute(tuple(node.get("perm", tuple(range(x.ndim))[::-1])))


@op("Concat")
def concat(node: NodeInfo, *tensors: Tensor) -> Tensor:
    """Join tensors along `axis` (1 by default before opset 4)."""
    return torch.cat(tensors, node.get("axis", 1))


@op("Split")
def split(node: NodeInfo, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """Cut along `axis` into parts of the given sizes, or into equal ones of which the last may be smaller."""
    axis = node.get("axis", 0)
    parts = ints(sizes) if sizes is not None else list(node.get("split", ()))
    if not parts:
        count = node.get("num_outputs", len(node.wanted))
        each = -(-x.shape[axis] // count)
        parts = [max(min(each, x.shape[axis] - n * each), 0) for n in range(count)]
    return tuple(torch.split(x, parts, axis))


@op("Slice")
def slice_attributes(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute x[start:end] along `axes` (until opset 9)."""
    starts, ends = node.get("starts", ()), node.get("ends", ())
    axes = node.get("axes", tuple(range(len(starts))))
    return _sliced(x, starts, ends, axes, [1] * len(starts))


@op("Slice", since=10)
def slice_inputs(
    _node: NodeInfo,
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """Compute x[start:end:step] along `axes`."""
    begin = ints(starts)
    dims = list(range(len(begin))) if axes is None else ints(axes)
    return _sliced(x, begin, ints(ends), dims, [1] * len(begin) if steps is None else ints(steps))


def _sliced(x: Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]) -> Tensor:
    """torch knows no negative steps, where elements are picked one by one, and warns of ends as far off as they get."""
    forward = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        span = slice(start, end, step).indices(x.shape[axis])
        if step > 0:
            forward[axis] = slice(*span)
        else:
            index = list(range(*span))
            x = x.index_select(axis, torch.tensor(index, dtype=torch.int64, device=x.device))
    return part(x, tuple(forward))


@op("Tile")
def tile(_node: NodeInfo, x: Tensor, repeats: Tensor) -> Tensor:
    """Repeat along every axis."""
    return x.repeat(ints(repeats)) if x.ndim else x


@op("Pad")
def pad_attributes(node: NodeInfo, x: Tensor) -> Tensor:
    """Pad by attributes (until opset 10)."""
    pads = node.get("pads", node.get("paddings", ()))
    return _padded(x, list(pads), list(range(x.ndim)), node.get("mode", "constant"), node.get("value", 0.0))


@op("Pad", since=11)
def pad_inputs(
    node: NodeInfo, x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    """Pad (or crop, where negative) along `axes`, with a constant or with the input's own elements."""
    dims = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in ints(axes)]
    mode = node.get("mode", "constant")
    if value is not None and value.requires_grad and mode == "constant":
        inside = _padded(torch.ones_like(x, dtype=torch.bool), ints(pads), dims, mode, False)
        return torch.where(inside, _padded(x, ints(pads), dims, mode, 0), value)
    return _padded(x, ints(pads), dims, mode, 0 if value is None else number(value))


def _padded(x: Tensor, pads: list[int], axes: list[int], mode: str, value: float) -> Tensor:
    widths = {axis: (pads[n], pads[n + len(axes)]) for n, axis in enumerate(axes)}
    if mode == "constant":
        flat = [width for axis in reversed(range(x.ndim)) for width in widths.get(axis, (0, 0))]
        return functional.pad(x, flat, value=value)
    for axis, (before, after) in widths.items():
        if before or after:
            x = x.index_select(axis, _source(x.shape[axis], before, after, mode).to(x.device))
    return x


def _source(length: int, before: int, after: int, mode: str) -> Tensor:
    """For each place of a padded axis, the input's place that fills it."""
    place = torch.arange(-before, length + after)
    if mode == "edge":
        return place.clamp(0, length - 1)
    if mode == "wrap":
        return place % length
    if mode != "reflect":
        raise NotImplementedError
    period = max(2 * (length - 1), 1)
    place = place % period
    return torch.minimum(place, period - place) if length > 1 else torch.zeros_like(place)


@op("DepthToSpace")
def depth_to_space(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute [N, b * b * C, H, W] -> [N, C, H * b, W * b]."""
    n, c, h, w = x.shape
    b = node.get("blocksize", 1)
    if node.get("mode", "DCR") == "DCR":
        y = x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // (b * b), b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // (b * b), h * b, w * b)


@op("SpaceToDepth")
def space_to_depth(node: NodeInfo, x: Tensor) -> Tensor:
    """Compute [N, C, H * b, W * b] -> [N, b * b * C, H, W]."""
    if node.get("mode", "DCR") != "DCR":
        raise NotImplementedError
    n, c, h, w = x.shape
    b = node.get("blocksize", 1)
    y = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return y.reshape(n, c * b * b, h // b, w // b)


@op("ConstantOfShape")
def constant_of_shape(node: NodeInfo, target: Tensor) -> Tensor:
    """Return a tensor filled with the attribute `value`, by default the float 0."""
    value = node.get("value", torch.zeros(1))
    if not isinstance(value, Tensor):
        raise NotImplementedError
    return torch.full(ints(target), number(value), dtype=value.dtype, device=target.device)


@op("Range")
def arange(_node: NodeInfo, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Compute start, start + delta, ... up to and without `limit`."""
    first, last, step = number(start), number(limit), number(delta)
    if (last - first) * step <= 0:
        return torch.empty(0, dtype=start.dtype, device=start.device)
    return torch.arange(first, last, step, dtype=start.dtype, device=start.device)


@op("EyeLike")
def eye_like(node: NodeInfo, x: Tensor) -> Tensor:
    """Return ones on diagonal `k` of a matrix of the shape of x."""
    dtype = torch_type(node.attributes["dtype"]) if "dtype" in node.attributes else x.dtype
    k = node.get("k", 0)
    ones = torch.ones(x.shape, dtype=dtype, device=x.device)
    return torch.tril(torch.triu(ones, k), k)


@op("Trilu")
def trilu(node: NodeInfo, x: Tensor, k: Tensor | None = None) -> Tensor:
    """Return the upper or lower triangle from diagonal `k` on."""
    diagonal = 0 if k is None else int(number(k))
    return torch.triu(x, diagonal) if node.get("upper", 1) else torch.tril(x, diagonal)


@op("ReverseSequence")
def reverse_sequence(node: NodeInfo, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the first `lengths[b]` elements along the time axis reversed, for each batch item b."""
    batch_axis, time_axis = node.get("batch_axis", 1), node.get("time_axis", 0)
    moved = x.movedim((batch_axis, time_axis), (0, 1))
    return moved.gather(1, _like(reversed_index(lengths, moved.shape[1]), moved)).movedim(
        (0, 1), (batch_axis, time_axis)
    )


def reversed_index(lengths: Tensor, steps: int) -> Tensor:
    """[batch, steps]: for each time step of each batch item, the step that a reversal brings there."""
    time = torch.arange(steps, device=lengths.device)
    length = lengths.to(torch.int64)[:, None]
    return torch.where(time < length, length - 1 - time, time)


def _like(index: Tensor, x: Tensor) -> Tensor:
    return index.reshape(*index.shape, *(1,) * (x.ndim - 2)).expand(x.shape)
