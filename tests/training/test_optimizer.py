"""Adam without torch's optimiser class computes the same; large tensors take large steps, and small ones small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gscompile.training.optimizer import REFERENCE_RMS, Adam, scale


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    filters = torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(t) for t in (filters / 16, torch.randn(7) / 512, torch.randn(5, 6))]


def gradients(step: int) -> list[Tensor | None]:
    torch.manual_seed(step)
    found: list[Tensor | None] = [torch.randn_like(p) for p in parameters()]
    return [None if step == 2 and i == 1 else g for i, g in enumerate(found)]  # an untaken branch


def test_it_takes_the_steps_of_torchs_own_bit_for_bit() -> None:
    ours, theirs = parameters(), parameters()
    mine = Adam(ours, 0.01)
    assert mine.scales == [1, 1 / 32, 16]
    other = torch.optim.Adam([{"params": [p], "eps": 1e-8 / s} for p, s in zip(theirs, mine.scales, strict=True)])
    for step in range(5):
        mine.rate = 0.01 / (step + 1)
        for group, size in zip(other.param_groups, mine.scales, strict=True):
            group["lr"] = mine.rate * size
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
        optimizer = Adam([p], 0.01 * REFERENCE_RMS)
        for _ in range(10):
            p.grad = torch.full_like(p, 1e-4)
            optimizer.step()
    assert half.dtype == torch.float16
    assert torch.allclose(single, torch.tensor(0.9), atol=1e-3)
    assert torch.allclose(half.float(), single, atol=3e-3)


def test_a_step_is_in_proportion_to_the_weights() -> None:
    """Whatever the gradient, Adam's first step is the rate; for weights of twice the usual size it is twice that."""
    usual, large = nn.Parameter(torch.full((4,), REFERENCE_RMS)), nn.Parameter(torch.full((4,), 2 * REFERENCE_RMS))
    usual.grad, large.grad = torch.full((4,), 3.0), torch.full((4,), -1e-3)
    Adam([usual, large], 0.01).step()
    assert torch.allclose(usual, torch.tensor(REFERENCE_RMS - 0.01))
    assert torch.allclose(large, torch.tensor(2 * REFERENCE_RMS + 0.02), atol=1e-5)


def test_zeros_are_of_the_least_size_and_do_not_make_others_small() -> None:
    assert scale(torch.zeros(3)) == 1 / 64
    assert scale(torch.tensor([REFERENCE_RMS] + 99 * [0.0])) == 1
