"""Ridge regression towards the weights that are there, its strength found on samples that were held out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.linalg import LinAlgError, solve

from gscompile.compensation.moments import Array, Centred, PairMoments

# Strengths that are tried, relative to the mean diagonal of the moments: from as good as none to as good as no solve.
STRENGTHS = tuple(float(strength) for strength in 10.0 ** np.arange(-4.0, 4.0))


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


def best_strength(
    solved_on: PairMoments, tested_on: PairMoments, prior: Array, curvature: Array, intercept: bool = True
) -> float | None:
    """Return the strength of the solution of some pairs that does best on others; None where the prior does.

    Errors are weighed by `curvature` G [m, m]. The prior is among what is tried, so that a solve which does harm on
    held-out samples is not taken; of equal errors the strongest regularisation counts.
    """
    centred = solved_on.centred(intercept)
    tried = (*ridge_path(centred, prior, STRENGTHS), prior)
    errors = np.array([tested_on.error(weights, centred.bias(weights), curvature) for weights in tried])
    best = _last_best(errors)
    return STRENGTHS[best] if best < len(STRENGTHS) else None


def ridge(moments: PairMoments, prior: Array, strength: float | None, intercept: bool = True) -> tuple[Array, Array]:
    """Return the weights [n, m] and bias [m] of one strength; those of the prior where it is None."""
    centred = moments.centred(intercept)
    weights = prior
    if strength is not None:
        size = len(prior)
        diagonal = max(float(np.trace(centred.inputs)) / size, np.finfo(float).tiny)
        wanted = centred.cross - centred.inputs @ prior
        try:
            weights = prior + solve(centred.inputs + strength * diagonal * np.eye(size), wanted, assume_a="pos")
        except LinAlgError:  # inputs that are zero, or that vary by what rounding leaves: eigenvalues are cut at zero
            weights = next(ridge_path(centred, prior, (strength,)))
    return weights, centred.bias(weights)


def _last_best(errors: Array) -> int:
    """Return the index of the least error, the last of equal ones: the strongest regularisation."""
    return int(len(errors) - 1 - np.argmin(errors[::-1]))
