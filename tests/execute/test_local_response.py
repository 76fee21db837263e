"""Local response normalisation: its own gradient against finite differences."""

from __future__ import annotations

import pytest
import torch

from gscompile.execute.local_response import local_response, neighbours


def test_neighbours_beyond_the_edge_count_nothing() -> None:
    x = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    assert neighbours(x, 1, 1).tolist() == [[11.0, 111.0, 1110.0, 1100.0]]
    assert neighbours(x, 0, 9).tolist() == [[1111.0, 1110.0, 1100.0, 1000.0]]


def test_one_channel_alone_is_divided_by_its_own_size() -> None:
    x = torch.full((1, 1, 2), 3.0)
    assert torch.allclose(local_response(x, 1, 1.0, 0.5, 0.0), torch.ones(1, 1, 2))  # 3 / sqrt(9)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_the_gradient_is_that_of_finite_differences(size: int) -> None:
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: local_response(x, size, 0.3, 0.75, 1.5), x.requires_grad_())
