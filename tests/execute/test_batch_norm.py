"""A batch in parts is normalised as it is in one, and so are the gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gscompile.execute import Executor
from gscompile.execute.batch_norm import batches_shared, normalized_by_batch
from tests.small_networks import network


def run(x: Tensor, scale: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """What it gives, and the gradients of the mean over samples of a loss that looks at each value."""
    leaves = x, scale, bias = [tensor.clone().requires_grad_() for tensor in (x, scale, bias)]
    y = normalized_by_batch(x, scale, bias, 1e-5)
    loss = (y * torch.linspace(-1, 2, y[0].numel()).reshape(y[0].shape)).pow(2).flatten(1).sum(1).mean()
    return y.detach(), *torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 5), (8, 3, 4, 4)])
def test_a_part_that_is_the_whole_is_like_a_batch_that_nobody_shares(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, scale, bias = torch.randn(shape) * 2 + 1, torch.rand(3), torch.randn(3)
    alone = run(x, scale, bias)
    with batches_shared(1.0, lambda tensor: tensor):
        shared = run(x, scale, bias)
    for one, other in zip(shared, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_two_processes_that_see_the_same_are_like_one() -> None:
    """Each sees a whole batch, which is half of two that are equal: a sum over both is twice its own."""
    torch.manual_seed(0)
    x, scale, bias = torch.randn(8, 3, 4), torch.rand(3), torch.randn(3)
    alone = run(x, scale, bias)
    with batches_shared(0.5, lambda tensor: 2 * tensor):
        shared = run(x, scale, bias)
    for one, other in zip(shared, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2])
def test_a_single_value_is_its_own_mean(samples: int) -> None:
    net = network(
        """g (float[n,3] x) => (float[n,3] y) <float[3] s, float[3] t, float[3] m, float[3] v>
        { y = BatchNormalization <training_mode = 1> (x, s, t, m, v) }""",
        t=torch.arange(3).numpy(),
    )
    assert Executor(net.model)({"x": torch.ones(samples, 3)})["y"].tolist() == [[0.0, 1.0, 2.0]] * samples
