"""Low-rank factoring as mathematics: spectra, ranks under one budget, balanced factors. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A matrix W [n, m] taken apart in the metric of its inputs and outputs: W = left diag(values) right.

    left [n, k], values [k] falling, right [k, m]. Dropping the components from r on costs `loss[r]`, the sum of
    their squared values, in units of the loss; `loss` has k + 1 entries and ends in 0.
    """

    left: Array
    values: Array
    right: Array

    @property
    def loss(self) -> Array:
        return np.append(np.cumsum(self.values[::-1] ** 2)[::-1], 0.0)

    def scaled(self, factor: float) -> Spectrum:
        """The spectrum of `factor` times the matrix with losses as they are: errors relative to its size."""
        return Spectrum(self.left * factor, self.values, self.right)

    def factors(self, rank: int) -> tuple[Array, Array]:
        """The best u [n, rank] and v [rank, m] in the metric, balanced: columns of u and rows of v of equal length."""
        return balanced(self.left[:, :rank] * self.values[:rank], self.right[:rank])


def spectrum(
    w: Array, inputs: Array | None = None, outputs: Array | None = None, ridge: float = 1e-4
) -> Spectrum:
    """The spectrum of w [n, m] under input moments [n, n] and output curvature [m, m] (identity when absent).

    With A = L L' and G = R R', the singular value decomposition of L' w R, taken back by the inverses of L' and R.
    `ridge` is added to the moments, relative to their mean diagonal: directions the data never showed stay defined.
    """
    below, right = _root(inputs, len(w), ridge), _root(outputs, w.shape[1], ridge)
    seen = w if below is None else below.T @ w
    seen = seen if right is None else seen @ right
    u, s, vt = np.linalg.svd(seen, full_matrices=False)
    left = u if below is None else np.linalg.solve(below.T, u)
    back = vt if right is None else np.linalg.solve(right.T, vt.T).T
    return Spectrum(left, s, back)


def _root(moments: Array | None, size: int, ridge: float) -> Array | None:
    """The Cholesky factor L of moments + ridge, L L' = moments."""
    if moments is None:
        return None
    scale = float(np.trace(moments)) / max(size, 1) or 1.0
    return np.asarray(np.linalg.cholesky(moments + ridge * scale * np.eye(size)), np.float64)


def balanced(u: Array, v: Array) -> tuple[Array, Array]:
    """The same product u v with equal singular values on both sides, which keeps fine-tuning stable.

    >>> a, b = balanced(np.array([[4.0], [0.0]]), np.array([[1.0, 0.0]]))
    >>> float(abs(a[0, 0])), float(abs(b[0, 0]))
    (2.0, 2.0)
    """
    q, r = np.linalg.qr(u)
    p, t = np.linalg.qr(v.T)
    left, s, right = np.linalg.svd(r @ t.T, full_matrices=False)
    root = np.sqrt(s)
    return q @ left * root, (root[:, None] * right) @ p.T


def pca_rank(w: Array, epsilon: float) -> int:
    """The paper's rule: the smallest rank that keeps ||w - u v||^2 / ||w||^2 at or below epsilon.

    >>> pca_rank(np.diag([3.0, 1.0, 0.1]), 0.01)
    2
    """
    energy = np.linalg.svd(w, compute_uv=False) ** 2
    lost = np.append(np.cumsum(energy[::-1])[::-1], 0.0) / max(energy.sum(), np.finfo(float).tiny)
    return int(np.argmax(lost <= epsilon))


@dataclass(frozen=True)
class Choice:
    """What a layer may become: `loss` and `cells` of every option, option 0 being what it is now."""

    loss: tuple[float, ...]
    cells: tuple[float, ...]


def choose(choices: Sequence[Choice], budget: float) -> list[int]:
    """The option of each layer with the least total loss such that all cells together fit `budget`.

    Lagrange's method: one price for a cell, every layer takes its own best option at that price, and the price is
    raised until the budget is met (or every layer is as small as it gets).
    """
    low, high = 0.0, 1e-12
    while _cells(choices, pick := _at_price(choices, high)) > budget and high < 1e30:
        low, high = high, high * 4
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _cells(choices, _at_price(choices, middle)) > budget:
            low = middle
        else:
            high = middle
            pick = _at_price(choices, high)
    return pick


def _at_price(choices: Sequence[Choice], price: float) -> list[int]:
    return [int(np.argmin(np.asarray(c.loss) + price * np.asarray(c.cells))) for c in choices]


def _cells(choices: Sequence[Choice], pick: Sequence[int]) -> float:
    return sum(choice.cells[i] for choice, i in zip(choices, pick, strict=True))
