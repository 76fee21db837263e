"""How large an error gets beyond the samples that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def tail_quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a `share` of further draws exceeds, from the largest values (Weissman 1978).

    The k = sqrt(n) largest of n values are taken for the tail of a Pareto law, whose exponent is Hill's estimate (Hill
    1975). At least the k-th largest value; infinite where a value is not finite; 0 where there are no values.

    >>> tail_quantile([1.0] * 64, 0.001)
    1.0
    """
    if not len(values):
        return 0.0
    ordered = np.sort(np.asarray(values, np.float64))[::-1]
    count = max(1, math.isqrt(len(ordered)))
    edge = float(ordered[min(count, len(ordered) - 1)])
    if not np.isfinite(ordered[0]):
        return math.inf
    if edge <= 0:
        return float(ordered[0])
    exponent = float(np.mean(np.log(ordered[:count] / edge)))
    return float(edge * max(1.0, count / (len(ordered) * share)) ** exponent)
