"""Second moments of pairs of vectors, accumulated in a stream: all that least squares needs of the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Centred:
    """Means of x [n] and y [m], and moments about them: inputs [n, n], cross [n, m]."""

    inputs: Array
    cross: Array
    mean_x: Array
    mean_y: Array

    def bias(self, weights: Array) -> Array:
        """Return the bias [m] with which `weights` [n, m] meet the mean of y."""
        return self.mean_y - self.mean_x @ weights


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Sums of [x 1]'[x 1], [x 1]'y and y'y over pairs of an input x [n] and a target y [m].

    `inputs` [n + 1, n + 1], `cross` [n + 1, m], `targets` [m, m]; memory does not depend on how many pairs there are.
    """

    inputs: Array
    cross: Array
    targets: Array

    @classmethod
    def of(cls, x: NDArray[Any], y: NDArray[Any]) -> PairMoments:
        """Return the moments of x [samples, n] and y [samples, m], multiplied in the precision that they come in."""
        x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)
        return cls(*(np.asarray(product, np.float64) for product in (x.T @ x, x.T @ y, y.T @ y)))

    def __add__(self, other: PairMoments) -> PairMoments:
        return PairMoments(self.inputs + other.inputs, self.cross + other.cross, self.targets + other.targets)

    def __sub__(self, other: PairMoments) -> PairMoments:
        return PairMoments(self.inputs - other.inputs, self.cross - other.cross, self.targets - other.targets)

    @property
    def count(self) -> float:
        """Number of pairs."""
        return float(self.inputs[-1, -1])

    @property
    def are_finite(self) -> bool:
        """Whether every pair was of finite numbers."""
        return all(bool(np.isfinite(part).all()) for part in (self.inputs, self.cross, self.targets))

    def part(self, rows: NDArray[np.bool_], cols: NDArray[np.bool_]) -> PairMoments:
        """Return the moments of some entries of x and of y, given by masks [n] and [m]."""
        kept = np.append(rows, True)
        return PairMoments(self.inputs[np.ix_(kept, kept)], self.cross[np.ix_(kept, cols)], self.targets[cols][:, cols])

    def centred(self, intercept: bool = True) -> Centred:
        """Return moments about the means, or about zero where no bias can be fitted."""
        count = max(self.count, 1.0)
        inputs, cross = self.inputs[:-1, :-1] / count, self.cross[:-1] / count
        mean_x, mean_y = self.inputs[-1, :-1] / count, self.cross[-1] / count
        if not intercept:
            return Centred(inputs, cross, np.zeros_like(mean_x), np.zeros_like(mean_y))
        return Centred(inputs - np.outer(mean_x, mean_x), cross - np.outer(mean_x, mean_y), mean_x, mean_y)

    def error(self, weights: Array, bias: Array, curvature: Array) -> float:
        """Return the mean of e G e' over the pairs, e = x W + b - y, with W [n, m], b [m], G = `curvature` [m, m]."""
        w = np.vstack([weights, bias])
        mixed = w.T @ self.cross
        errors = w.T @ (self.inputs @ w) - mixed - mixed.T + self.targets
        return float(np.sum(curvature * errors) / max(self.count, 1.0))
