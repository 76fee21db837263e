"""The choice of a learning rate that does no harm to a trained network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import dropwhile

from gscompile.compression.trainer import LearningRate
from gscompile.search.settings import RECOVERY_LR_SCALE

RATES = (1e-3, 3e-4, 1e-4)  # the rates to choose from, the largest first
TRIAL_EPOCHS = 0.5  # epochs of a trial
# Share of the original's errors. A rate that adds more than so many at the scale of recoveries is left out: annealing
# would not bring them back. ResNet-20 loses 47.7 points at 3 x 1e-3.
DIVERGENCE = 0.5


def choose_learning_rate(loss_of: Callable[[float], float], base: float, standard_error: float) -> LearningRate:
    """Return the largest of `RATES` that costs a trained network no more than the gentlest, but for chance.

    Rates that diverge at the scale of recoveries are left out, except the smallest. Smaller rates are tried until one
    costs no more than a standard error. The result costs within half a standard error of the least: training on
    augmented samples costs something at any rate.

    Args:
        loss_of: Function that trains the original at a rate and returns the points that its score has lost.
        base: Score of the original, in percent.
        standard_error: Standard error of that score, in points.

    >>> choose_learning_rate({3e-3: 2.5, 1e-3: 0.4}.__getitem__, base=91.0, standard_error=0.5)
    LearningRate(value=0.001, tuning_loss=0.4)
    """
    most = DIVERGENCE * (100 - base) + standard_error

    def diverges(rate: float) -> bool:
        return rate > RATES[-1] and loss_of(RECOVERY_LR_SCALE * rate) > most

    losses: dict[float, float] = {}
    for rate in dropwhile(diverges, RATES):
        losses[rate] = loss_of(rate)
        if losses[rate] <= standard_error:
            break
    least = min(losses.values())
    return next(LearningRate(rate, loss) for rate, loss in losses.items() if loss <= least + standard_error / 2)
