"""Pooling over sliding windows and over whole images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import ints
from gscompile.execute.windows import Window, ceil_end, pad, rounds_up, window_of, window_sum

MAX_POOL: dict[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
AVERAGE_POOL: dict[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


def _pool_window(node: NodeInfo, x: Tensor) -> Window:
    """Return the node's window; where the output size is rounded up, with the end padding that this takes."""
    window = window_of(node, x.shape[2:], node.ints("kernel_shape"))
    if not node.get("ceil_mode", 0):
        return window
    return Window(
        kernel=window.kernel,
        stride=window.stride,
        dilation=window.dilation,
        begin=window.begin,
        end=ceil_end(window, x.shape[2:]),
    )


def _pads_little(window: Window) -> bool:
    """Return whether torch supports the padding: half of the kernel at most."""
    return all(2 * p <= k for p, k in zip(window.begin, window.kernel, strict=True))


@op("MaxPool")
def max_pool(node: NodeInfo, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Return the maximum of each window of x [N, C, sizes...], and on request its index in the flat input."""
    if x.ndim - 2 not in MAX_POOL or not x.is_floating_point():
        raise NotImplementedError
    function = MAX_POOL[x.ndim - 2]
    window = _pool_window(node, x)
    padded, padding, up = x, window.begin, not window.symmetric
    if not _pads_little(window) or (up and not rounds_up(window, x.shape[2:])):
        padded, padding, up = pad(x, window.begin, window.end, -torch.inf), (0,) * len(padding), False
    if not node.wants(1):
        return function(padded, window.kernel, window.stride, padding, window.dilation, up)
    y, index = function(padded, window.kernel, window.stride, padding, window.dilation, up, return_indices=True)
    shift = [0] * len(padding) if padded is x else window.begin
    return y, _flat_index(index, x.shape, padded.shape[2:], shift, bool(node.get("storage_order", 0)))


def _flat_index(
    index: Tensor, shape: Sequence[int], padded: Sequence[int], shift: Sequence[int], column_major: bool
) -> Tensor:
    """Convert torch's index in a padded image to ONNX's in the flat input [N, C, sizes...]."""
    coordinates = []
    for size, offset in zip(reversed(padded), reversed(shift), strict=True):
        coordinates.append(index % size - offset)
        index = index // size
    dims = list(zip(coordinates[::-1], shape[2:], strict=True))
    flat = torch.zeros_like(index)
    for coordinate, size in reversed(dims) if column_major else dims:
        flat = flat * size + coordinate
    planes = torch.arange(shape[0] * shape[1], device=index.device).reshape(shape[0], shape[1], *(1,) * len(dims))
    image = 1
    for size in shape[2:]:
        image *= size
    return planes * image + flat


class _MeanAround(torch.autograd.Function):
    """The mean over a window around each place, beyond the edge of zeros: a symmetric map, so its own gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: tuple[int, ...]) -> Tensor:
        ctx.kernel = kernel
        return AVERAGE_POOL[x.ndim - 2](x, kernel, 1, tuple(k // 2 for k in kernel))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _MeanAround.forward(ctx, gradients[0], ctx.kernel), None


def mean_around(x: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """Return the mean over windows of odd sizes around each position of x [N, C, sizes...].

    The backward pass takes a quarter of the time of torch's average pooling.

    >>> mean_around(torch.tensor([[[3.0, 6.0, 9.0]]]), (3,)).tolist()
    [[[3.0, 6.0, 5.0]]]
    """
    result: Tensor = _MeanAround.apply(x, kernel)  # type: ignore[no-untyped-call]
    return result


@op("AveragePool")
def average_pool(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the mean of each window of x [N, C, sizes...], over the padding too with `count_include_pad`."""
    window = window_of(node, x.shape[2:], node.ints("kernel_shape"))
    include = bool(node.get("count_include_pad", 0))
    if x.ndim - 2 in AVERAGE_POOL and set(window.dilation) == {1} and _pads_little(window):
        up = bool(node.get("ceil_mode", 0)) or not window.symmetric
        if include and window.centred:
            return mean_around(x, window.kernel)
        if not up or (not include and rounds_up(_pool_window(node, x), x.shape[2:])):
            return AVERAGE_POOL[x.ndim - 2](x, window.kernel, window.stride, window.begin, up, include)
    ceiled = _pool_window(node, x)
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    ones = pad(ones, window.begin, window.end, 1.0 if include else 0.0)
    ones = pad(ones, [0] * (x.ndim - 2), [c - e for c, e in zip(ceiled.end, window.end, strict=True)])
    return window_sum(pad(x, ceiled.begin, ceiled.end), ceiled) / window_sum(ones, ceiled)


@op("LpPool")
def lp_pool(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the p-norm of each window of x [N, C, sizes...]."""
    p = node.get("p", 2)
    window = _pool_window(node, x)
    return window_sum(pad(x, window.begin, window.end).abs() ** p, window) ** (1 / p)


@op("GlobalAveragePool")
def global_average_pool(_node: NodeInfo, x: Tensor) -> Tensor:
    """Return the mean of each image of x [N, C, sizes...]."""
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(_node: NodeInfo, x: Tensor) -> Tensor:
    """Return the maximum of each image of x [N, C, sizes...]."""
    return x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalLpPool")
def global_lp_pool(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the p-norm of each image of x [N, C, sizes...]."""
    p = node.get("p", 2)
    return (x.abs() ** p).sum(dim=tuple(range(2, x.ndim)), keepdim=True) ** (1 / p)


@op("MaxUnpool")
def max_unpool(node: NodeInfo, x: Tensor, index: Tensor, shape: Tensor | None = None) -> Tensor:
    """Return each value at its flat index in an image that is otherwise zero."""
    kernel = node.ints("kernel_shape")
    window = window_of(node, x.shape[2:], kernel)
    inferred = [
        (n - 1) * s - b - e + k
        for n, s, b, e, k in zip(x.shape[2:], window.stride, window.begin, window.end, kernel, strict=True)
    ]
    base = torch.zeros([*x.shape[:2], *inferred], dtype=x.dtype, device=x.device)
    y = base.reshape(-1).index_put((index.reshape(-1),), x.reshape(-1)).reshape(base.shape)
    if shape is None:
        return y
    return pad(y, [0] * len(kernel), [want - have for want, have in zip(ints(shape)[2:], inferred, strict=True)])
