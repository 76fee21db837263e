"""One matrix, or two factors of one, solved for from pairs of inputs and targets, as far as held-out pairs agree."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gscompile.compensation.factors import fit_factors
from gscompile.compensation.moments import Array, PairMoments
from gscompile.compensation.ridge import best_strength, ridge
from gscompile.compression.decomposition import spectrum
from gscompile.compression.separable import separable_spectrum

Array32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Fitted = tuple[tuple[Array, ...], Array]  # a matrix, or two factors of one, and a bias
CURVATURE_RIDGE = 1e-3  # of the mean diagonal of a curvature: no output is worth nothing


@dataclass(frozen=True, eq=False)
class Pairs:
    """Inputs x [rows, n] of a matrix and targets y [rows, m] of its outputs, with the fold of the samples [rows]."""

    x: Array32
    y: Array32
    fold: NDArray[np.int64]

    @property
    def are_finite(self) -> bool:
        """Whether every number is finite."""
        return bool(np.isfinite(self.x).all() and np.isfinite(self.y).all())

    @property
    def folds(self) -> list[int]:
        """The folds that have pairs."""
        return [int(fold) for fold in np.unique(self.fold)]

    def part(self, rows: Mask, cols: Mask) -> Pairs:
        """Return the pairs of some entries of x and of y, given by masks [n] and [m]."""
        return replace(self, x=self.x[:, rows], y=self.y[:, cols])

    def of(self, folds: Collection[int]) -> Pairs:
        """Return the pairs of some folds."""
        seen = np.isin(self.fold, [*folds])
        return Pairs(self.x[seen], self.y[seen], self.fold[seen])

    @property
    def moments(self) -> PairMoments:
        return PairMoments.of(self.x, self.y)


def joined(pairs: Sequence[Pairs]) -> Pairs:
    """Return the pairs of all batches together."""
    return Pairs(*(np.concatenate([getattr(each, field.name) for each in pairs]) for field in fields(Pairs)))


@dataclass(frozen=True, eq=False)
class LayerFit:
    """A matrix [n, m] to be solved for: towards `prior` where pairs say nothing, errors weighed by `curvature` [m, m].

    `rank` 0 asks for a whole matrix, else for factors of that rank; `taps` as in `fit_factors`. Without `intercept` no
    bias can be fitted.
    """

    prior: Array
    curvature: Array
    rank: int = 0
    taps: int = 1
    intercept: bool = True

    def solved(self, pairs: Pairs, current: Array, bias: Array) -> Fitted | None:
        """Return the solution of all pairs; None where that of the others does no good to the last fold."""
        folds = pairs.folds
        if len(folds) < 2:
            return None
        held_out, others = pairs.of(folds[-1:]), pairs.of(folds[:-1])
        within = others.folds[-1:] if len(folds) > 2 else folds[-1:]
        solved_on = others.of(folds[:-2]) if len(folds) > 2 else others
        tested_on = pairs.of(within)
        strength = best_strength(solved_on.moments, tested_on.moments, self.prior, self.curvature, self.intercept)
        solve = partial(self._fit, strength=strength)
        found, trial_bias = solve(others)
        if not self.error(held_out, self.product(found), trial_bias) < self.error(held_out, current, bias):
            return None
        return solve(pairs)

    def product(self, weights: tuple[Array, ...]) -> Array:
        """Return the matrix that a solution makes."""
        return weights[0] if len(weights) == 1 else (weights[0] @ weights[1]).reshape(self.prior.shape)

    def error(self, pairs: Pairs, weights: Array, bias: Array) -> float:
        """Return the mean of e G e' over the pairs, e = x W + b - y."""
        errors = pairs.x @ weights.astype(np.float32) + bias.astype(np.float32) - pairs.y
        return float(np.sum((errors @ self.curvature.astype(np.float32)) * errors) / max(len(errors), 1))

    def _fit(self, pairs: Pairs, strength: float | None) -> Fitted:
        """Return the solution of one strength: the matrix, or the factors nearest to it in the metric of the pairs."""
        moments = pairs.moments
        solved, bias = ridge(moments, self.prior, strength, self.intercept)
        if not self.rank:
            return (solved,), bias
        centred = moments.centred(self.intercept)
        n = len(self.prior)
        a = centred.inputs + CURVATURE_RIDGE * float(np.trace(centred.inputs)) / n * np.eye(n)
        if self.taps == 1:
            u, v = spectrum(solved, a, self.curvature).factors(self.rank)
        else:
            start = separable_spectrum(solved, a, self.curvature, self.taps).factors(self.rank)
            u, v = fit_factors(solved, a, self.curvature, *start, self.taps)
        return (u, v), centred.bias((u @ v).reshape(self.prior.shape))


def regular(curvature: Array) -> Array:
    """Return a curvature [m, m] by which every output counts a little."""
    size = len(curvature)
    return curvature + CURVATURE_RIDGE * (float(np.trace(curvature)) / size or 1.0) * np.eye(size)
