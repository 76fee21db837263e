"""Padding, output sizes and sliding windows of convolution and pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo


@dataclass(frozen=True)
class Window:
    """A sliding window: one entry per spatial dimension in each field."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def symmetric(self) -> bool:
        """Return whether torch can do the padding itself."""
        return self.begin == self.end

    @property
    def centred(self) -> bool:
        """Return whether the window moves by one, with equally many inputs before and behind its centre."""
        around = tuple(2 * begin + 1 for begin in self.begin)
        return self.symmetric and around == self.kernel and {*self.stride, *self.dilation} == {1}

    @property
    def extent(self) -> tuple[int, ...]:
        """Return the input elements that a window spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def window_of(node: NodeInfo, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """Return the window that a node's attributes describe, over an input of the spatial `sizes`."""
    rank = len(sizes)
    stride = tuple(node.get("strides", (1,) * rank))
    dilation = tuple(node.get("dilations", (1,) * rank))
    pads = tuple(node.get("pads", (0,) * (2 * rank)))
    auto = node.get("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = (0,) * (2 * rank)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [same_padding(n, k, s, d) for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
        small, large = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        pads = small + large if auto == "SAME_UPPER" else large + small
    return Window(kernel=tuple(kernel), stride=stride, dilation=dilation, begin=pads[:rank], end=pads[rank:])


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the padding in total for which there are ceil(size / stride) outputs."""
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)


def pad(x: Tensor, begin: Sequence[int], end: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad (or crop, where negative) the last dimensions of `x`."""
    widths = [width for pair in zip(reversed(begin), reversed(end), strict=True) for width in pair]
    return functional.pad(x, widths, value=value) if any(widths) else x


def ceil_end(window: Window, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the end padding with which rounding up is exact; windows that would begin in it are left out."""
    ends = []
    for size, extent, stride, begin, end in zip(
        sizes, window.extent, window.stride, window.begin, window.end, strict=True
    ):
        outputs = -(-(size + begin + end - extent) // stride) + 1
        if (outputs - 1) * stride >= size + begin:
            outputs -= 1
        ends.append(max((outputs - 1) * stride + extent - size - begin, end))
    return tuple(ends)


def rounds_up(window: Window, sizes: Sequence[int]) -> bool:
    """Return whether symmetric padding with a rounded-up output size gives the same windows.

    >>> rounds_up(Window((3,), (2,), (1,), (0,), (1,)), [32]), rounds_up(Window((3,), (2,), (1,), (0,), (1,)), [33])
    (True, True)
    >>> rounds_up(Window((3,), (1,), (1,), (0,), (1,)), [32])
    False
    """
    even = replace(window, end=window.begin)
    return _outputs(window, sizes) == _outputs(replace(even, end=ceil_end(even, sizes)), sizes)


def _outputs(window: Window, sizes: Sequence[int]) -> tuple[int, ...]:
    spans = zip(sizes, window.begin, window.end, window.extent, window.stride, strict=True)
    return tuple((n + begin + end - extent) // stride + 1 for n, begin, end, extent, stride in spans)


def unfold(x: Tensor, window: Window) -> Tensor:
    """Return all windows of a padded x [N, C, sizes...] -> [N, C, outputs..., kernel...]."""
    rank = len(window.kernel)
    for axis in range(rank):
        x = x.unfold(2 + axis, window.extent[axis], window.stride[axis])
    for axis in range(rank):
        x = x[(..., slice(None, None, window.dilation[axis])) + (slice(None),) * (rank - 1 - axis)]
    return x


# Averages that are not divided: a quarter of the time of a sum over unfolded windows.
SUMS: dict[int, Callable[..., Tensor]] = {
    2: partial(functional.avg_pool2d, divisor_override=1),
    3: partial(functional.avg_pool3d, divisor_override=1),
}


def window_sum(x: Tensor, window: Window) -> Tensor:
    """Return the sum over each window of a padded x [N, C, sizes...] -> [N, C, outputs...]."""
    if x.ndim - 2 in SUMS and x.is_floating_point() and set(window.dilation) == {1}:
        return SUMS[x.ndim - 2](x, window.kernel, window.stride)
    return torch.sum(unfold(x, window), dim=tuple(range(-len(window.kernel), 0)))
