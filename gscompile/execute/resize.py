"""Resize and Upsample. Interpolation goes axis by axis, each a product with a matrix [outputs, inputs]."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import ints


@dataclass(frozen=True)
class ResizedAxis:
    """How one axis is resized: sizes, scale, the region of interest, and the node's options."""

    inputs: int
    outputs: int
    scale: float
    region: tuple[float, float]
    mode: str
    coordinates: str
    rounding: str
    cubic: float
    exclude_outside: bool
    antialias: bool


@op("Upsample")
def upsample_attributes(node: NodeInfo, x: Tensor) -> Tensor:
    """Upsample by attributes (until opset 8)."""
    scales = node.get("scales", (1.0, 1.0, node.get("height_scale", 1.0), node.get("width_scale", 1.0)))
    return _simple(node, x, list(scales))


@op("Upsample", since=9)
@op("Resize", since=10)
def upsample(node: NodeInfo, x: Tensor, scales: Tensor) -> Tensor:
    """Upsample by the input `scales`; coordinates are divided by it."""
    return _simple(node, x, scales.tolist())


def _simple(node: NodeInfo, x: Tensor, scales: list[float]) -> Tensor:
    mode = node.get("mode", "nearest")
    for axis, (n, scale) in enumerate(zip(tuple(x.shape), scales, strict=True)):
        made = ResizedAxis(
            inputs=n,
            outputs=math.floor(n * scale),
            scale=scale,
            region=(0, 1),
            mode=mode,
            coordinates="asymmetric",
            rounding="floor",
            cubic=-0.75,
            exclude_outside=False,
            antialias=False,
        )
        x = _resized(x, axis, made, 0.0)
    return x


@op("Resize", since=11)
def resize(
    node: NodeInfo,
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """Resize to `sizes`, or by `scales`, along `axes`."""
    axes = [axis % x.ndim for axis in node.get("axes", tuple(range(x.ndim)))]
    lengths = [x.shape[axis] for axis in axes]
    targets, factors = _targets(node, lengths, scales, sizes)
    regions = [0.0] * len(axes) + [1.0] * len(axes) if roi is None or not roi.numel() else roi.tolist()
    for n, axis in enumerate(axes):
        region = (regions[n], regions[n + len(axes)])
        x = _resized(
            x,
            axis,
            _axis(node, lengths[n], targets[n], factors[n], region),
            node.get("extrapolation_value", 0.0),
        )
    return x


def _axis(node: NodeInfo, inputs: int, outputs: int, scale: float, region: tuple[float, float]) -> ResizedAxis:
    return ResizedAxis(
        inputs=inputs,
        outputs=outputs,
        scale=scale,
        region=region,
        mode=node.get("mode", "nearest"),
        coordinates=node.get("coordinate_transformation_mode", "half_pixel"),
        rounding=node.get("nearest_mode", "round_prefer_floor"),
        cubic=node.get("cubic_coeff_a", -0.75),
        exclude_outside=bool(node.get("exclude_outside", 0)),
        antialias=bool(node.get("antialias", 0)),
    )


def _targets(
    node: NodeInfo, lengths: Sequence[int], scales: Tensor | None, sizes: Tensor | None
) -> tuple[list[int], list[float]]:
    """Output sizes and scales, from whichever of the two is given."""
    if sizes is None or not sizes.numel():
        assert scales is not None  # ONNX wants one of the two
        factors = [float(scale) for scale in scales.tolist()]
        return [math.floor(n * scale) for n, scale in zip(lengths, factors, strict=True)], factors
    targets = ints(sizes)
    factors = [m / n for m, n in zip(targets, lengths, strict=True)]
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return targets, factors
    factor = min(factors) if policy == "not_larger" else max(factors)
    return [math.floor(factor * n + 0.5) for n in lengths], [factor] * len(lengths)


def _resized(x: Tensor, axis: int, how: ResizedAxis, outside: float) -> Tensor:
    """x with one axis resized."""
    crops = how.coordinates == "tf_crop_and_resize"
    if how.inputs == how.outputs and how.scale == 1 and not crops:
        return x
    if how.mode == "nearest":
        y = x.index_select(axis, _nearest(how).to(x.device))
    elif not x.is_floating_point():
        raise NotImplementedError
    else:
        y = (x.movedim(axis, -1) @ _matrix(how).to(x).t()).movedim(-1, axis)
    if not crops:
        return y
    place = _coordinates(how)
    lost = ((place < 0) | (place > how.inputs - 1)).reshape(-1, *(1,) * (x.ndim - 1 - axis))
    return torch.where(lost.to(x.device), torch.full_like(y, outside), y)


def _coordinates(how: ResizedAxis) -> Tensor:
    """For each output place, the place in the input (float64 [outputs])."""
    place = torch.arange(how.outputs, dtype=torch.float64)
    width = how.scale * how.inputs
    start, end = how.region
    last = how.inputs - 1
    match how.coordinates:
        case "align_corners":
            return place * last / (width - 1) if width != 1 else place * 0
        case "asymmetric":
            return place / how.scale
        case "tf_half_pixel_for_nn":
            return (place + 0.5) / how.scale
        case "tf_crop_and_resize":
            stretch = place * (end - start) * last / (width - 1) if width != 1 else (end - start) * last / 2 + place * 0
            return stretch + start * last
        case "pytorch_half_pixel" if width == 1:
            return place * 0 - 0.5
        case "half_pixel_symmetric":
            return how.inputs / 2 * (1 - how.outputs / width) + (place + 0.5) / how.scale - 0.5
        case _:
            return (place + 0.5) / how.scale - 0.5


@functools.lru_cache(maxsize=256)
def _nearest(how: ResizedAxis) -> Tensor:
    """Return the input place that each output place takes [outputs]."""
    roundings: dict[str, Callable[[Tensor], Tensor]] = {
        "floor": torch.floor,
        "ceil": torch.ceil,
        "round_prefer_floor": lambda place: torch.ceil(place - 0.5),
        "round_prefer_ceil": lambda place: torch.floor(place + 0.5),
    }
    return roundings[how.rounding](_coordinates(how)).clamp(0, how.inputs - 1).to(torch.int64)


@functools.lru_cache(maxsize=256)
def _matrix(how: ResizedAxis) -> Tensor:
    """Return the weights of the inputs in each output, float64 [outputs, inputs]; rows sum to 1."""
    shrink = min(how.scale, 1.0) if how.antialias else 1.0
    kernel = _linear if how.mode == "linear" else functools.partial(_cubic, a=how.cubic)
    reach = math.ceil((1 if how.mode == "linear" else 2) / shrink)
    place = _coordinates(how)[:, None]
    near = torch.floor(place) + torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = kernel(((near - place) * shrink).abs())
    if how.exclude_outside:
        weights = weights * ((near >= 0) & (near < how.inputs))
    if how.exclude_outside or how.antialias:
        weights = weights / weights.sum(1, keepdim=True)
    matrix = torch.zeros(how.outputs, how.inputs, dtype=torch.float64)
    return matrix.scatter_add(1, near.clamp(0, how.inputs - 1).to(torch.int64), weights)


def _linear(distance: Tensor) -> Tensor:
    return (1 - distance).clamp(min=0)


def _cubic(distance: Tensor, a: float) -> Tensor:
    """Keys' cubic convolution kernel (Keys 1981), with parameter a."""
    d = distance
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, inner, torch.where(d < 2, outer, torch.zeros_like(d)))
