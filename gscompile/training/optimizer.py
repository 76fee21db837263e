"""Adam (Kingma and Ba 2015) in torch's own arithmetic, its steps as long as each tensor is large.

Networks keep weights of one layer a tenth as large as those of another, and factors of what was clipped are of sizes of
their own: one length for all steps shakes the small ones while the large ones hardly move. Lengths in proportion are
those of Adafactor (Shazeer and Stern 2018, section 8).

torch.optim.Adam computes the same, bit for bit; but the first one that is made imports a compiler, for two seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

REFERENCE_RMS = 1 / 16  # root mean square of a tensor whose steps are of the length that the rate says
MIN_RMS = 1e-3  # root mean square that a tensor is taken for, such as a bias of zeros


class Adam:
    """Steps of about `rate` x root mean square / `REFERENCE_RMS` for every parameter that has a gradient.

    The root mean square is that of the weights which are not zero, when the optimiser is made. `steps`, `means` and
    `squares` are all that it remembers, a tensor for each parameter; in single precision at least, since squares of
    gradients are nothing in half, and a step divides by their roots.
    """

    def __init__(self, parameters: Sequence[Tensor], rate: float) -> None:
        self.parameters, self.rate = parameters, rate
        self.scales = [scale(p) for p in parameters]
        self.steps = [torch.zeros(()) for _ in parameters]
        self.means = [torch.zeros_like(p, dtype=_kept_as(p), requires_grad=False) for p in parameters]
        self.squares = [torch.zeros_like(p, dtype=_kept_as(p), requires_grad=False) for p in parameters]

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Every parameter by the steps of its scale: those are Adam's on parameters divided by it."""
        for size in sorted({*self.scales}):
            alike = (i for i, own in enumerate(self.scales) if own == size)
            self._step([i for i in alike if self.parameters[i].grad is not None], size)

    @torch.no_grad()
    def _step(self, which: Sequence[int], size: float) -> None:
        means, squares, steps = ([kept[i] for i in which] for kept in (self.means, self.squares, self.steps))
        own = [self.parameters[i] for i in which]
        gradients = [p.grad.to(m.dtype) for p, m in zip(own, means, strict=True) if p.grad is not None]
        params = [p.to(m.dtype) for p, m in zip(own, means, strict=True)]
        adam(
            params, gradients, means, squares, [], steps, amsgrad=False, maximize=False, beta1=0.9, beta2=0.999,
            lr=self.rate * size, weight_decay=0.0, eps=1e-8 / size,
        )  # fmt: skip
        for p, stepped in zip(own, params, strict=True):
            if stepped is not p:
                p.copy_(stepped)


@torch.no_grad()
def scale(parameter: Tensor) -> float:
    """How large a tensor's weights are beside `REFERENCE_RMS`, as a power of two: multiplying by it rounds nothing.

    >>> scale(torch.tensor([0.0, 0.25, -0.25]))
    4.0
    """
    count = int(parameter.count_nonzero())
    size = float(parameter.double().square().sum()) / max(count, 1)
    return float(2.0 ** round(math.log2(max(math.sqrt(size), MIN_RMS) / REFERENCE_RMS))) if math.isfinite(size) else 1.0


def _kept_as(parameter: Tensor) -> torch.dtype:
    return torch.promote_types(parameter.dtype, torch.float32)
