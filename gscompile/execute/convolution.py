"""Convolutions of 1, 2 and 3 spatial dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import ints
from gscompile.execute.windows import pad, window_of

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@op("Conv")
def conv(node: NodeInfo, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Compute x [N, C, sizes...] by w [M, C / group, kernel...] plus b [M]."""
    if x.ndim - 2 not in CONVOLUTIONS:
        raise NotImplementedError
    window = window_of(node, x.shape[2:], w.shape[2:])
    padding: Sequence[int] = window.begin
    if not window.symmetric:
        x, padding = pad(x, window.begin, window.end), (0,) * len(padding)
    function = CONVOLUTIONS[x.ndim - 2]
    return function(x, w, b, window.stride, padding, window.dilation, node.get("group", 1))


@op("ConvTranspose")
def conv_transpose(node: NodeInfo, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Compute x [N, C, sizes...] by w [C, M / group, kernel...] plus b [M]; the pads crop the full result."""
    if x.ndim - 2 not in TRANSPOSED:
        raise NotImplementedError
    window = window_of(node, x.shape[2:], w.shape[2:])
    rank = len(window.kernel)
    extra = tuple(node.get("output_padding", (0,) * rank))
    begin, end = _transposed_pads(node, x.shape[2:], w.shape[2:])
    function, group = TRANSPOSED[rank], node.get("group", 1)
    if (
        begin == end
        and min(begin) >= 0
        and all(e < max(s, d) for e, s, d in zip(extra, window.stride, window.dilation, strict=True))
    ):
        return function(x, w, b, window.stride, begin, extra, group, window.dilation)
    full = function(x, w, None, window.stride, 0, 0, group, window.dilation)
    full = pad(full, [-n for n in begin], [e - n for e, n in zip(extra, end, strict=True)])
    return full if b is None else full + b.reshape(-1, *(1,) * rank)


def _transposed_pads(
    node: NodeInfo, sizes: Sequence[int], kernel: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the begin and end pads of ConvTranspose, from `pads`, `output_shape` or `auto_pad`."""
    rank = len(sizes)
    window = window_of(node, sizes, kernel)
    auto = node.get("auto_pad", "NOTSET")
    extra = node.get("output_padding", (0,) * rank)
    shape = node.ints("output_shape")
    if not shape and auto in ("NOTSET", "VALID"):
        return window.begin, window.end
    shape = shape[-rank:] or tuple(n * s for n, s in zip(sizes, window.stride, strict=True))
    full = [s * (n - 1) + e for n, s, e in zip(sizes, window.stride, window.extent, strict=True)]
    totals = [f + e - n for f, e, n in zip(full, extra, shape, strict=True)]
    small, large = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (small, large) if auto == "SAME_UPPER" else (large, small)


@op("Col2Im")
def col2im(node: NodeInfo, x: Tensor, image: Tensor, block: Tensor) -> Tensor:
    """Compute x [N, C * kernel, windows] summed back into images [N, C, sizes...] of two dimensions."""
    sizes, kernel = ints(image), tuple(ints(block))
    if len(sizes) != 2:
        raise NotImplementedError
    window = window_of(node, sizes, kernel)
    padded = tuple(n + b + e for n, b, e in zip(sizes, window.begin, window.end, strict=True))
    y = functional.fold(x, padded, kernel, window.dilation, 0, window.stride)
    return pad(y, [-n for n in window.begin], [-n for n in window.end])
