"""Adam (Kingma and Ba 2015) in torch's own arithmetic.

torch.optim.Adam computes the same, bit for bit; but the first one that is made imports a compiler, for two seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Steps of length about `rate` for every parameter that has a gradient.

    `steps`, `means` and `squares` are all that it remembers, a tensor for each parameter; in single precision at least,
    since squares of gradients are nothing in half, and a step divides by their roots.
    """

    def __init__(self, parameters: Sequence[Tensor], rate: float) -> None:
        self.parameters, self.rate = parameters, rate
        self.steps = [torch.zeros(()) for _ in parameters]
        self.means = [torch.zeros_like(p, dtype=_kept_as(p), requires_grad=False) for p in parameters]
        self.squares = [torch.zeros_like(p, dtype=_kept_as(p), requires_grad=False) for p in parameters]

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        ready = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        means, squares, steps = ([kept[i] for i in ready] for kept in (self.means, self.squares, self.steps))
        params = [self.parameters[i].to(mean.dtype) for i, mean in zip(ready, means, strict=True)]
        gradients = [g.to(mean.dtype) for g, mean in zip(gradients, means, strict=True)]
        adam(
            params, gradients, means, squares, [], steps,
            amsgrad=False, beta1=0.9, beta2=0.999, lr=self.rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip
        for i, stepped in zip(ready, params, strict=True):
            if stepped is not self.parameters[i]:
                self.parameters[i].copy_(stepped)


def _kept_as(parameter: Tensor) -> torch.dtype:
    return torch.promote_types(parameter.dtype, torch.float32)
