"""Adam without torch's optimiser class computes the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gscompile.adam import Adam


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    filters = torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(t) for t in (filters, torch.randn(7), torch.randn(5, 6))]


def gradients(step: int) -> list[Tensor | None]:
    torch.manual_seed(step)
    found: list[Tensor | None] = [torch.randn_like(p) for p in parameters()]
    return [None if step == 2 and i == 1 else g for i, g in enumerate(found)]  # an untaken branch


def test_it_takes_the_steps_of_torchs_own_bit_for_bit() -> None:
    ours, theirs = parameters(), parameters()
    mine, other = Adam(ours, 0.01), torch.optim.Adam(theirs, 0.01)
    for step in range(5):
        mine.rate = other.param_groups[0]["lr"] = 0.01 / (step + 1)
        for both in (ours, theirs):
            for p, gradient in zip(both, gradients(step), strict=True):
                p.grad = gradient
        mine.step()
        other.step()
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
    mine.zero_grad()
    assert all(p.grad is None for p in ours)


def test_half_precision_takes_the_same_steps_rounded() -> None:
    """The square of a gradient of 1e-4 is nothing in half precision, and a step would divide by its root."""
    half, single = (nn.Parameter(torch.ones(3, dtype=kind)) for kind in (torch.float16, torch.float32))
    for p in (half, single):
        optimizer = Adam([p], 0.01)
        for _ in range(10):
            p.grad = torch.full_like(p, 1e-4)
            optimizer.step()
    assert half.dtype == torch.float16
    assert torch.allclose(single, torch.tensor(0.9), atol=1e-3)
    assert torch.allclose(half.float(), single, atol=3e-3)
