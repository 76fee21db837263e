"""Weighted ops in numpy; a function that multiplies by the tiles computes their products.

A product takes (part, x [n, inputs]) and returns [n, outputs]: one matrix times n input vectors. An op forms the
vectors, calls the product, and puts the results where the ONNX operator specification says.

A product takes (part, x [n, inputs]) and gives [n, outputs]: what one matrix does with n input vectors. An
op forms the vectors, calls it, and puts the results where they belong, as the ONNX operator specification
says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product as cartesian
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.graph.weight_ops import MatrixLayout

Array = NDArray[Any]
Product = Callable[[int, Array], Array]
Inputs = Sequence[Array | None]
Attributes = Mapping[str, Any]


def conv(inputs: Inputs, attributes: Attributes, layout: MatrixLayout, product: Product) -> Array:
    """Return Conv: every output position of every sample is one input vector of C/g x kernel."""
    x, _, bias = _padded_list(inputs, 3)
    kernel, group = layout.shape[2:], layout.parts
    strides, dilations = _moves(attributes, len(kernel))
    x = np.pad(x, [(0, 0), (0, 0), *_pads(attributes, x.shape[2:], kernel, strides, dilations)])
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, extents, axis=axes)
    steps = [slice(None, None, s) for s in strides]
    taps = [slice(None, None, d) for d in dilations]
    windows = windows[(slice(None), slice(None), *steps, *taps)]  # [n, C, *out, *kernel]
    out = windows.shape[2 : 2 + len(kernel)]
    parts = [_vectors(windows[:, chunk], len(kernel)) for chunk in _chunks(x.shape[1], group)]
    columns = [product(part, vectors) for part, vectors in enumerate(parts)]
    joined = np.concatenate(columns, axis=1).reshape(x.shape[0], *out, -1)
    return _with_bias(np.moveaxis(joined, -1, 1), bias)


def _vectors(windows: Array, spatial: int) -> Array:
    """Return [n, c, *out, *kernel] as [n * out, c * kernel]."""
    channels_last = np.moveaxis(windows, 1, 1 + spatial)
    rows = math.prod(channels_last.shape[: 1 + spatial])
    return channels_last.reshape(rows, -1)


def conv_transpose(inputs: Inputs, attributes: Attributes, layout: MatrixLayout, product: Product) -> Array:
    """Return ConvTranspose: every input position is a vector of C/g; results of M/g x kernel are added up in place."""
    x, _, bias = _padded_list(inputs, 3)
    kernel, size = layout.shape[2:], x.shape[2:]
    strides, dilations = _moves(attributes, len(kernel))
    begins, out = _transposed_size(attributes, size, kernel, strides, dilations)
    full = [
        max((s - 1) * st + (k - 1) * d + 1, b + o)
        for s, st, k, d, b, o in zip(size, strides, kernel, dilations, begins, out, strict=True)
    ]
    parts = []
    for part, chunk in enumerate(_chunks(x.shape[1], layout.parts)):
        vectors = np.moveaxis(x[:, chunk], 1, -1).reshape(-1, layout.inputs)
        results = product(part, vectors).reshape(x.shape[0], *size, layout.shape[1], *kernel)
        parts.append(_scattered(results, kernel, strides, dilations, full))
    crop = tuple(slice(b, b + o) for b, o in zip(begins, out, strict=True))
    return _with_bias(np.concatenate(parts, axis=1)[(slice(None), slice(None), *crop)], bias)


def _scattered(
    results: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    full: Sequence[int],
) -> Array:
    """Return [n, *size, m, *kernel] added up as [n, m, *full]."""
    spatial = len(kernel)
    size, channels = results.shape[1 : 1 + spatial], results.shape[1 + spatial]
    total = np.zeros((results.shape[0], channels, *full), results.dtype)
    for tap in cartesian(*map(range, kernel)):
        places = tuple(
            slice(t * d, t * d + (s - 1) * st + 1, st)
            for t, d, s, st in zip(tap, dilations, size, strides, strict=True)
        )
        total[(slice(None), slice(None), *places)] += np.moveaxis(_at_tap(results, tap), -1, 1)
    return total


def _at_tap(results: Array, tap: tuple[int, ...]) -> Array:
    """Return [n, *size, m] of one position of the kernel."""
    return results[(slice(None),) * (results.ndim - len(tap)) + tap]


def _transposed_size(
    attributes: Attributes,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Return the number of elements cut off at the start of each axis, and the number kept."""
    count = len(kernel)
    extra = attributes.get("output_padding") or [0] * count
    grown = [
        (s - 1) * st + (k - 1) * d + 1 + e
        for s, st, k, d, e in zip(size, strides, kernel, dilations, extra, strict=True)
    ]
    mode, wanted = attributes.get("auto_pad", "NOTSET"), attributes.get("output_shape")
    if wanted is None and mode.startswith("SAME"):
        wanted = [s * st for s, st in zip(size, strides, strict=True)]
    if wanted is None:
        pads = attributes.get("pads") or [0] * (2 * count)
        pads = [0] * (2 * count) if mode == "VALID" else pads
        return list(pads[:count]), [g - a - b for g, a, b in zip(grown, pads[:count], pads[count:], strict=True)]
    wanted = list(wanted)[-count:]
    cut = [max(g - w, 0) for g, w in zip(grown, wanted, strict=True)]
    upper = mode == "SAME_UPPER"
    return [c // 2 if upper else c - c // 2 for c in cut], wanted


def gemm(inputs: Inputs, attributes: Attributes, layout: MatrixLayout, product: Product) -> Array:  # noqa: ARG001
    """Return alpha A W + beta C."""
    a, _, c = _padded_list(inputs, 3)
    a = a.T if attributes.get("transA", 0) else a
    y = product(0, a) * np.asarray(attributes.get("alpha", 1.0), a.dtype)
    return y if c is None else np.asarray(y + c * np.asarray(attributes.get("beta", 1.0), a.dtype))


def gemm_left(inputs: Inputs, attributes: Attributes, layout: MatrixLayout, product: Product) -> Array:
    """Return alpha W B + beta C, computed as the transposed product."""
    _, b, c = _padded_list(inputs, 3)
    turned = {**attributes, "transA": not attributes.get("transB", 0)}
    y = gemm([b, None], turned, layout, product).T
    return y if c is None else np.asarray(y + c * np.asarray(attributes.get("beta", 1.0), b.dtype))


def matmul(inputs: Inputs, attributes: Attributes, layout: MatrixLayout, product: Product) -> Array:  # noqa: ARG001
    """Return x @ W, or W @ x computed as the transposed product; leading axes of both broadcast."""
    if len(layout.shape) == 1:
        return _times_vector(inputs, product)
    left = layout.transposed
    x = inputs[1] if left else inputs[0]
    assert x is not None
    vector = x.ndim == 1
    x = x[None] if vector else (x.swapaxes(-1, -2) if left else x)
    batch = layout.shape[:-2]
    lead = np.broadcast_shapes(x.shape[:-2], batch)
    if layout.parts == 1:
        y = product(0, x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)
        y = np.broadcast_to(y, (*lead, *y.shape[-2:]))
    else:
        y = _batched(np.broadcast_to(x, (*lead, *x.shape[-2:])), batch, product)
    y = y[..., 0, :] if vector else y.swapaxes(-1, -2) if left else y
    return np.asarray(y)


def _times_vector(inputs: Inputs, product: Product) -> Array:
    """x @ w or w @ x for a vector w, the input that is not given: the result has no axis for the one output."""
    x, from_left = (inputs[1], True) if inputs[0] is None else (inputs[0], False)
    assert x is not None
    x = x.swapaxes(-1, -2) if from_left and x.ndim > 1 else x
    return product(0, x.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])


def _batched(x: Array, batch: Sequence[int], product: Product) -> Array:
    """Return x [*lead, m, k] times a matrix for every index of `batch`, which broadcasts to lead."""
    lead = x.shape[:-2]
    number = np.broadcast_to(np.arange(math.prod(batch)).reshape(batch), lead).reshape(-1)
    flat = x.reshape(-1, *x.shape[-2:])
    results = [product(int(part), sample) for part, sample in zip(number, flat, strict=True)]
    return np.stack(results).reshape(*lead, x.shape[-2], -1)


TileOp = Callable[[Inputs, Attributes, MatrixLayout, Product], Array]
TILE_OPS: dict[str, TileOp] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
}
LEFT_OPS: dict[str, TileOp] = {"Gemm": gemm_left}  # with the weight as their first input


# -- shared ------------------------------------------------------------------------------------------------


def _padded_list(inputs: Inputs, count: int) -> list[Any]:
    return [*inputs, *[None] * (count - len(inputs))]


def _moves(attributes: Attributes, count: int) -> tuple[list[int], list[int]]:
    ones = [1] * count
    return list(attributes.get("strides") or ones), list(attributes.get("dilations") or ones)


def _pads(
    attributes: Attributes,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    """Return the zeros before and after each spatial axis."""
    mode, count = attributes.get("auto_pad", "NOTSET"), len(kernel)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        missing = [
            max((-(-s // st) - 1) * st + (k - 1) * d + 1 - s, 0)
            for s, k, st, d in zip(size, kernel, strides, dilations, strict=True)
        ]
        return [(m // 2, m - m // 2) if mode == "SAME_UPPER" else (m - m // 2, m // 2) for m in missing]
    pads = [0] * (2 * count) if mode == "VALID" else attributes.get("pads") or [0] * (2 * count)
    return list(zip(pads[:count], pads[count:], strict=True))


def _chunks(channels: int, group: int) -> list[slice]:
    size = channels // group
    return [slice(g * size, (g + 1) * size) for g in range(group)]


def _with_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias.reshape(1, -1, *[1] * (y.ndim - 2))
