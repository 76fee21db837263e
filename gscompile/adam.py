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

    `steps`, `means` and `squares` are all that it remembers, a tensor for each parameter.
    """

    def __init__(self, parameters: Sequence[Tensor], rate: float) -> None:
        self.parameters, self.rate = parameters, rate
        self.steps = [torch.zeros(()) for _ in parameters]
        self.means = [torch.zeros_like(p, requires_grad=False) for p in parameters]
        self.squares = [torch.zeros_like(p, requires_grad=False) for p in parameters]

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        ready = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        params, means, squares, steps = (
            [tensors[i] for i in ready] for tensors in (self.parameters, self.means, self.squares, self.steps)
        )
        adam(
            params, gradients, means, squares, [], steps,
            amsgrad=False, beta1=0.9, beta2=0.999, lr=self.rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip
