"""Pools that torch takes as they are, instead of padded images: the same windows, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gscompile.execute.pooling import mean_around
from gscompile.execute.power import fraction, fractional_power
from gscompile.execute.windows import Window, rounds_up


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize(("size", "kernel", "stride", "end"), [(8, 3, 2, 1), (7, 3, 2, 0), (9, 2, 2, 1), (5, 3, 1, 1)])
def test_padding_at_the_end_is_rounding_up_where_the_windows_are_the_same(
    size: int, kernel: int, stride: int, end: int
) -> None:
    window = Window((kernel,), (stride,), (1,), (0,), (end,))
    x = image(1, 1, size)
    padded = torch.nn.functional.max_pool1d(torch.nn.functional.pad(x, (0, end), value=-torch.inf), kernel, stride)
    rounded = torch.nn.functional.max_pool1d(x, kernel, stride, ceil_mode=True)
    assert rounds_up(window, [size]) == (padded.shape == rounded.shape)
    if rounds_up(window, [size]):
        assert torch.equal(padded, rounded)


def test_means_around_and_their_gradient() -> None:
    x = image(2, 3, 4, 5).requires_grad_()
    assert torch.equal(mean_around(x, (3, 3)), torch.nn.functional.avg_pool2d(x, 3, 1, 1))
    assert torch.autograd.gradcheck(lambda x: mean_around(x, (3, 1)), x)


@pytest.mark.parametrize("exponent", [0.75, 2.5, -0.5])
def test_a_fractional_power_and_its_gradient(exponent: float) -> None:
    x = image(4).abs().add(0.1).requires_grad_()
    assert torch.allclose(fractional_power(x, exponent), x**exponent)
    assert torch.autograd.gradcheck(lambda x: fractional_power(x, exponent), x)


def test_at_zero_and_below_powers_are_those_of_torch() -> None:
    x = torch.tensor([0.0, -2.0], requires_grad=True)
    for exponent in (0.5, 1.5, -1.5):
        mine, its = fractional_power(x, exponent), x**exponent
        assert torch.equal(mine.nan_to_num(nan=-7), its.nan_to_num(nan=-7))
        slopes = [torch.autograd.grad(y.sum(), x)[0].nan_to_num(nan=-7) for y in (mine, its)]
        assert torch.equal(*slopes)


def test_only_one_number_that_is_not_whole_counts() -> None:
    assert fraction(torch.tensor([0.75])) == 0.75
    assert [fraction(torch.tensor(e)) for e in (2.0, [0.5, 0.5], float("inf"), float("nan"))] == [None] * 4
