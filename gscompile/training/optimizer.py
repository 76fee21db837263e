"""Adam (Kingma and Ba 2015) with steps in proportion to the size of each tensor.

The weights of one layer can be a tenth of those of another, and factor pairs have sizes of their own. Steps of one
length for all would shake small weights and leave large ones in place. Steps in proportion to the root mean square of
the weights are those of Adafactor (Shazeer and Stern 2018, section 8).

The arithmetic is torch's own function `adam`. torch.optim.Adam gives the same bits, but its first object imports a
compiler, which takes two seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

REFERENCE_RMS = 1 / 16  # root mean square of a tensor whose steps are as long as the learning rate
MIN_RMS = 1e-3  # smallest root mean square that is assumed, as for a bias of zeros


class Adam:
    """Adam with steps of about `rate` x root mean square / `REFERENCE_RMS` for every parameter that has a gradient.

    The root mean square is that of the nonzero weights when the optimizer is made. The state is `steps`, `means` and
    `squares`, a tensor per parameter in float32 or a wider type, because squares of gradients underflow in float16.
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
        """Do one step for every parameter: that of Adam on parameters divided by their scale."""
        for size in sorted({*self.scales}):
            same_scale = (i for i, own in enumerate(self.scales) if own == size)
            self._step([i for i in same_scale if self.parameters[i].grad is not None], size)

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
    """Return the size of a tensor relative to `REFERENCE_RMS`, as a power of two: a product with it is not rounded.

    >>> scale(torch.tensor([0.0, 0.25, -0.25]))
    4.0
    """
    count = int(parameter.count_nonzero())
    size = float(parameter.double().square().sum()) / max(count, 1)
    return float(2.0 ** round(math.log2(max(math.sqrt(size), MIN_RMS) / REFERENCE_RMS))) if math.isfinite(size) else 1.0


def _kept_as(parameter: Tensor) -> torch.dtype:
    return torch.promote_types(parameter.dtype, torch.float32)
