"""Sampling images at real coordinates: GridSample, RoiAlign, DeformConv."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import number
from gscompile.execute.windows import window_of

SAMPLING = {
    "bilinear": "bilinear",
    "linear": "bilinear",
    "bicubic": "bicubic",
    "cubic": "bicubic",
    "nearest": "nearest",
}


@op("GridSample")
def grid_sample(node: NodeInfo, x: Tensor, grid: Tensor) -> Tensor:
    """Compute x [N, C, sizes...] at the coordinates grid [N, outputs..., rank] between -1 and 1."""
    mode = SAMPLING[node.get("mode", "bilinear")]
    if x.ndim not in (4, 5) or (x.ndim == 5 and mode == "bicubic"):
        raise NotImplementedError
    return functional.grid_sample(x, grid, mode, node.get("padding_mode", "zeros"), bool(node.get("align_corners", 0)))


def _bilinear(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For positions [n]: the cells below and above, and their weights; no weight beyond one cell outside."""
    inside = (position >= -1) & (position <= size)
    position = position.clamp(min=0)
    low = position.floor().clamp(max=size - 1)
    share = torch.where(position >= size - 1, torch.zeros_like(position), position - low)
    high = (low + 1).clamp(max=size - 1)
    return low.long(), high.long(), (1 - share) * inside, share * inside


@op("RoiAlign")
def roi_align(node: NodeInfo, x: Tensor, rois: Tensor, batch: Tensor) -> Tensor:
    """Return regions rois [n, 4] (x1 y1 x2 y2) of x [N, C, H, W] -> [n, C, output_height, output_width]."""
    default = "half_pixel" if node.version >= 16 else "output_half_pixel"
    half = node.get("coordinate_transformation_mode", default) == "half_pixel"
    regions = rois * node.get("spatial_scale", 1.0) - (0.5 if half else 0.0)
    pooled = [_roi(node, x[int(item)], region, half) for item, region in zip(batch.tolist(), regions, strict=True)]
    if not pooled:
        return x.new_zeros(0, x.shape[1], node.get("output_height", 1), node.get("output_width", 1))
    return torch.stack(pooled)


def _roi(node: NodeInfo, image: Tensor, region: Tensor, half: bool) -> Tensor:
    """One region of one image [C, H, W]."""
    rows, columns = node.get("output_height", 1), node.get("output_width", 1)
    size = region[2:] - region[:2]
    width, height = (size if half else size.clamp(min=1)).unbind()
    y, rows_each = _samples(node, region[1], height / rows, rows)
    x, columns_each = _samples(node, region[0], width / columns, columns)
    y_low, y_high, below, above = _bilinear(y, image.shape[1])
    x_low, x_high, left, right = _bilinear(x, image.shape[2])
    corners = torch.stack(
        [
            image[:, ys][:, :, xs] * wy[:, None] * wx
            for ys, wy in ((y_low, below), (y_high, above))
            for xs, wx in ((x_low, left), (x_high, right))
        ]
    )
    shape = (image.shape[0], rows, rows_each, columns, columns_each)
    if node.get("mode", "avg") == "avg":
        return corners.sum(0).reshape(shape).mean((2, 4))
    return corners.amax(0).reshape(shape).amax((2, 4))


def _samples(node: NodeInfo, start: Tensor, step: Tensor, bins: int) -> tuple[Tensor, int]:
    """Return the sampled positions along one axis [bins * each], and how many there are in a bin."""
    each = node.get("sampling_ratio", 0) or max(math.ceil(float(number(step.detach()))), 1)
    place = torch.arange(bins * each, device=start.device, dtype=start.dtype)
    return start + (place + 0.5) / each * step, each


@op("DeformConv")
def deform_conv(
    node: NodeInfo, x: Tensor, w: Tensor, offset: Tensor, b: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Return a convolution of x [N, C, H, W] whose samples are moved by offset [N, groups * kernel * 2, oH, oW]."""
    if x.ndim != 4:
        raise NotImplementedError
    window = window_of(node, x.shape[2:], w.shape[2:])
    groups, taps, (rows, columns) = node.get("offset_group", 1), w.shape[2] * w.shape[3], offset.shape[2:]
    moved = offset.reshape(-1, taps, 2, rows, columns)  # [N * groups, taps, (y, x), oH, oW]
    tap = torch.arange(taps, device=x.device)[:, None, None]
    grid = []
    for axis, (size, place) in enumerate(
        zip(x.shape[2:], (torch.arange(rows)[:, None], torch.arange(columns)[None]), strict=True)
    ):
        inner = tap // w.shape[3] if axis == 0 else tap % w.shape[3]
        base = place.to(x.device) * window.stride[axis] - window.begin[axis] + inner * window.dilation[axis]
        grid.append((2 * (base + moved[:, :, axis]) + 1) / size - 1)
    places = torch.stack(grid[::-1], -1).reshape(-1, taps * rows, columns, 2)
    parts = x.reshape(-1, x.shape[1] // groups, *x.shape[2:])
    columns_of = functional.grid_sample(parts, places, "bilinear", "zeros", False)
    columns_of = columns_of.reshape(x.shape[0], groups, -1, taps, rows, columns)
    if mask is not None:
        columns_of = columns_of * mask.reshape(x.shape[0], groups, 1, taps, rows, columns)
    group = node.get("group", 1)
    patches = columns_of.reshape(x.shape[0], group, -1, rows, columns)
    kernels = w.reshape(group, w.shape[0] // group, -1)
    y = torch.einsum("ngkhw,gmk->ngmhw", patches, kernels).reshape(x.shape[0], -1, rows, columns)
    return y if b is None else y + b[:, None, None]


@op("NonMaxSuppression")
def non_max_suppression(
    node: NodeInfo,
    boxes: Tensor,
    scores: Tensor,
    most: Tensor | None = None,
    overlap: Tensor | None = None,
    least: Tensor | None = None,
) -> Tensor:
    """Return [batch, class, box] of boxes [batch, n, 4] that no better box of the class covers beyond `overlap`."""
    limit, share = 0 if most is None else int(number(most)), 0.0 if overlap is None else float(number(overlap))
    corners = _corners(boxes.detach(), bool(node.get("center_point_box", 0)))
    found = [
        [batch, kind, place]
        for batch, kinds in enumerate(scores.detach())
        for kind, each in enumerate(kinds)
        for place in _best(corners[batch], each, limit, share, None if least is None else float(number(least)))
    ]
    return torch.tensor(found, dtype=torch.int64, device=boxes.device).reshape(-1, 3)


def _corners(boxes: Tensor, centred: bool) -> Tensor:
    """Lower and upper corners [batch, n, 4] of boxes by any two, or by their centre and size."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if centred:
        return torch.cat([first - second / 2, first + second / 2], -1)
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)


def _best(corners: Tensor, scores: Tensor, limit: int, share: float, least: float | None) -> list[int]:
    """Return the highest score, then the highest of those that it does not cover, and so on; of equals the first."""
    order = torch.argsort(scores, descending=True, stable=True)
    order, found = order if least is None else order[scores[order] > least], list[int]()
    while len(order) and len(found) < limit:
        found.append(int(order[0]))
        order = order[1:][_covered(corners[order[0]], corners[order[1:]]) <= share]
    return found


def _covered(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of a box [4] and others [n, 4]. [n]"""
    sides = (torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])).clamp(min=0)
    areas = (others[:, 2:] - others[:, :2]).prod(-1) + (box[2:] - box[:2]).prod()
    both = sides.prod(-1)
    return torch.where(both > 0, both / (areas - both), torch.zeros_like(both))
