"""Ridge regression towards the weights that are there, its strength found on samples that were held out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gscompile.compensation.moments import Array, Centred, PairMoments

# Strengths that are tried, relative to the mean diagonal of the moments: from as good as none to as good as no solve.
STRENGTHS = tuple(float(strength) for strength in 10.0 ** np.arange(-4.0, 3.5, 0.5))


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights [n, m] and bias [m]; `gain` is the error on held-out samples over that of the prior, at most 1.

    `strength` is that of the ridge; None where the prior was best.
    """

    weights: Array
    bias: Array
    gain: float
    strength: float | None


def ridge_path(centred: Centred, prior: Array, strengths: Iterable[float]) -> Iterator[Array]:
    """Yield for each strength l the W [n, m] that minimises E|x W - y|^2 + l d |W - prior|^2, d the mean diagonal of A.

    W = prior + (A + l d I)^-1 (C - A prior), with A = E[x'x] and C = E[x'y] (Hoerl and Kennard 1970, about a prior):
    where samples say nothing of a direction, the prior stays.
    """
    values, vectors = np.linalg.eigh(centred.inputs)
    wanted = vectors.T @ (centred.cross - centred.inputs @ prior)
    diagonal = max(float(values.mean()), np.finfo(float).tiny)
    for strength in strengths:
        yield prior + vectors @ (wanted / (np.maximum(values, 0.0) + strength * diagonal)[:, None])


def cross_validated(folds: Sequence[PairMoments], prior: Array, curvature: Array, intercept: bool = True) -> Fit:
    """Return the ridge solution of all folds, of the strength that does best on each fold solved without it.

    `folds` hold different samples; errors are weighed by `curvature` G [m, m]. The prior itself is among what is tried,
    so that a solve which does harm on held-out samples is not taken. A single fold has nothing held out: the prior.
    """
    total = sum(folds[1:], folds[0])
    errors = np.zeros(len(STRENGTHS) + 1)
    for fold in folds if len(folds) > 1 else ():
        centred = (total - fold).centred(intercept)
        tried = (*ridge_path(centred, prior, STRENGTHS), prior)
        errors += [fold.error(weights, centred.bias(weights), curvature) for weights in tried]
    best = _last_best(errors)
    strength = STRENGTHS[best] if best < len(STRENGTHS) else None
    weights, bias = ridge(total, prior, strength, intercept)
    return Fit(weights, bias, float(errors[best] / errors[-1]) if errors[-1] > 0 else 1.0, strength)


def ridge(moments: PairMoments, prior: Array, strength: float | None, intercept: bool = True) -> tuple[Array, Array]:
    """Return the weights [n, m] and bias [m] of one strength; those of the prior where it is None."""
    centred = moments.centred(intercept)
    weights = prior if strength is None else next(ridge_path(centred, prior, (strength,)))
    return weights, centred.bias(weights)


def _last_best(errors: Array) -> int:
    """Return the index of the least error, the last of equal ones: the strongest regularisation."""
    return int(len(errors) - 1 - np.argmin(errors[::-1]))
