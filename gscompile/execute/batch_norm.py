"""Batch normalization by a batch's own mean and variance, also where other processes see other parts of the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


@dataclass(frozen=True)
class Shared:
    """A batch of which this process sees a part, a `share` of the whole; `total` is the sum over all processes."""

    share: float
    total: Callable[[Tensor], Tensor]


_SHARED: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def batches_shared(share: float, total: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While the block runs, forward and backward, batches are parts of those that several processes see."""
    token = _SHARED.set(Shared(share, total))
    try:
        yield
    finally:
        _SHARED.reset(token)


def normalized_by_batch(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """x [N, C, ...] by its mean and variance over all axes but C, times scale [C], plus bias [C]."""
    shared = _SHARED.get()
    if shared is None:
        return functional.batch_norm(x, None, None, scale, bias, True, 0.0, epsilon)
    y: Tensor = _ByShared.apply(x, scale, bias, epsilon, shared)  # type: ignore[no-untyped-call]
    return y


class _ByShared(Function):
    """Sums over the batch are over all processes.

    With h = (x - mean) / deviation for each of n values of a channel, and the gradients dy at y,

        dx = scale / deviation (dy - (sum of dy + h sum of dy h) / n)

    (Ioffe and Szegedy 2015). A process has the gradients of the loss of its own part, which are averaged by its share
    afterwards: in sums over all they count by it, and n is the count of its own values, which is the share of all.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, bias: Tensor, epsilon: float, shared: Shared) -> Tensor:
        _, mean, inverse = torch.native_batch_norm(x, scale, bias, None, None, True, 0.0, epsilon)
        square = inverse**-2 - epsilon + mean**2
        mean, square = shared.total(shared.share * torch.stack([mean, square]))
        variance = (square - mean**2).clamp_min(0)
        ctx.save_for_backward(x, scale, mean, variance)
        ctx.epsilon, ctx.shared = epsilon, shared
        return functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, scale, mean, variance = ctx.saved_tensors
        (dy,), shared, epsilon = gradients, ctx.shared, ctx.epsilon
        dx, dscale, dbias = torch.ops.aten.native_batch_norm_backward(
            dy, x, scale, mean, variance, None, None, False, epsilon, [True, True, True]
        )
        sums = shared.total(shared.share * torch.stack([dbias, dscale]))
        count = x.numel() / x.shape[1]
        towards = functional.batch_norm(x, mean, variance, sums[1], sums[0], False, 0.0, epsilon)
        along = (-scale * (variance + epsilon).rsqrt() / count).to(x.dtype).reshape(-1, *[1] * (x.ndim - 2))
        return dx.addcmul(towards, along), dscale, dbias, None, None
