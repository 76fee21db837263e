"""Parts of images have gradients whose channels are last where theirs are."""

from __future__ import annotations

import torch

from gscompile.execute.slicing import part

EVERY_OTHER = (slice(None), slice(None), slice(0, 4, 2), slice(1, 4, 2))


def gradient(x: torch.Tensor) -> torch.Tensor:
    x.requires_grad_()
    torch.autograd.backward((2 * part(x, EVERY_OTHER)).sum())
    assert x.grad is not None
    return x.grad


def test_what_was_taken_has_the_gradient_and_what_was_not_has_none() -> None:
    """Rows 0 and 2, columns 1 and 3, wherever the channels are."""
    wanted = torch.zeros(2, 3, 4, 4)
    wanted[:, :, ::2, 1::2] = 2
    for layout in (torch.contiguous_format, torch.channels_last):
        given = gradient(torch.ones(2, 3, 4, 4).contiguous(memory_format=layout))
        assert torch.equal(given, wanted)
        assert given.is_contiguous(memory_format=layout)


def test_the_gradient_of_the_gradient_is_there() -> None:
    """The second derivative of the sum of cubes of what was taken is 6 x."""
    x = torch.full((1, 2, 4, 4), 3.0).contiguous(memory_format=torch.channels_last).requires_grad_()
    (first,) = torch.autograd.grad((part(x, EVERY_OTHER) ** 3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second[0, 0].tolist() == [[0, 18, 0, 18], [0, 0, 0, 0], [0, 18, 0, 18], [0, 0, 0, 0]]
