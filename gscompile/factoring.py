"""Low-rank factoring as mathematics: spectra, ranks under one budget, balanced factors. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 1024  # rows that are taken to double precision at a time
SMALL = 32  # a side up to which the full decomposition costs nothing
SKETCHED = 2048  # a side from which on a sketch is tried first: to diagonalise costs its third power
SKETCH, POWERS = 256, 1
LEFT_OVER = 1e-6  # of the squared norm: what a sketch may miss


class Decomposed(Protocol):
    """A matrix taken apart: what every rank costs, and its factors."""

    @property
    def loss(self) -> Array: ...

    def factors(self, rank: int) -> tuple[NDArray[Any], NDArray[Any]]: ...


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


@dataclass(frozen=True, eq=False)
class WeightSpectrum:
    """A matrix w [n, m] and the directions it acts in, most energy first; nothing is known of its data.

    `basis` [m, k] has orthonormal columns and `seen` [n, k] is w basis; where `turned`, they are those of the
    transposed matrix. `energy` [k] are the squared lengths of `seen`, `rest` what w has in no direction of the basis,
    all as parts of ||w||². Dropping the directions from r on costs `loss[r]`: it is measured, and never guessed.
    """

    seen: NDArray[Any]
    basis: NDArray[Any]
    energy: Array
    rest: float
    turned: bool

    @property
    def loss(self) -> Array:
        return np.append(np.cumsum(self.energy[::-1])[::-1], 0.0) + self.rest

    def factors(self, rank: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """u [n, rank] and v [rank, m], balanced: columns of u and rows of v of equal length."""
        seen, basis = self.seen[:, :rank], self.basis[:, :rank]
        root = np.sqrt(np.linalg.norm(seen, axis=0)) + np.finfo(np.float32).tiny
        first, second = (_widened(part, rank) for part in (seen / root, basis * root))
        return (second, first.T) if self.turned else (first, second.T)


def _widened(factor: NDArray[Any], rank: int) -> NDArray[Any]:
    """With empty columns where there are fewer than `rank`."""
    return np.pad(factor, ((0, 0), (0, rank - factor.shape[1])))


def weight_spectrum(w: NDArray[Any], most: int | None = None) -> WeightSpectrum:
    """The spectrum of w [n, m] by the cheapest way its shape allows, with `most` directions: those that are worthwhile.

    Small: the singular value decomposition. Large on both sides: a random sketch (Halko, Martinsson and Tropp 2011),
    where it misses no more than `LEFT_OVER`, which is measured. Else the eigenvectors of the smaller Gram matrix, in
    the precision of the weights: the energy in each is measured, so that their own error is counted with it.
    """
    most = worthwhile(*w.shape) if most is None else most
    alive = w != 0
    rows, cols = alive.any(axis=1), alive.any(axis=0)
    if 0 < rows.sum() < len(rows) or 0 < cols.sum() < len(cols):
        return _live_spectrum(w, rows, cols, most)
    turned = w.shape[0] < w.shape[1]
    tall = w.T if turned else w
    total = squared_norm(tall) or 1.0
    if min(w.shape) >= SKETCHED:
        seen, basis = _sketched(tall)
        energy = _energies(seen) / total
        rest = max(0.0, 1.0 - float(energy.sum()))
        if rest <= LEFT_OVER:
            return WeightSpectrum(seen, basis, energy, rest, turned)
    seen, basis = _taken_apart(tall)
    energy = _energies(seen) / total
    return WeightSpectrum(seen[:, :most], basis[:, :most], energy[:most], float(energy[most:].sum()), turned)


def worthwhile(inputs: int, outputs: int) -> int:
    """The largest rank whose two factors are no larger than the matrix, and one more."""
    return inputs * outputs // (inputs + outputs) + 1


def _live_spectrum(
    w: NDArray[Any], rows: NDArray[np.bool_], cols: NDArray[np.bool_], most: int
) -> WeightSpectrum:
    """That of the rows and columns that hold something; the others take part in no direction."""
    found = weight_spectrum(w[np.ix_(rows, cols)], most)
    seen, basis = (cols, rows) if found.turned else (rows, cols)
    return replace(found, seen=_spread(found.seen, seen), basis=_spread(found.basis, basis))


def _spread(part: NDArray[Any], alive: NDArray[np.bool_]) -> NDArray[Any]:
    whole = np.zeros((len(alive), part.shape[1]), part.dtype)
    whole[alive] = part
    return whole


def squared_norm(w: NDArray[Any]) -> float:
    """||w||², by blocks of rows."""
    return sum(float(np.square(block.astype(np.float64)).sum()) for block in _blocks(w, w.dtype))


def _energies(seen: NDArray[Any]) -> Array:
    return np.asarray(np.square(seen, dtype=np.float64).sum(axis=0))


def _blocks(w: NDArray[Any], kind: Any) -> Iterator[NDArray[Any]]:
    """Rows of w in the precision asked for, some at a time: w may be larger than memory likes."""
    return (w[i : i + BLOCK].astype(kind, copy=False) for i in range(0, len(w), BLOCK))


def _taken_apart(w: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """w basis [n, m] and a basis [m, m] of w [n, m], most energy first."""
    kind = np.float64 if w.shape[1] <= SMALL else np.result_type(np.float32, w.dtype)
    if w.shape[1] <= SMALL:
        basis = np.linalg.svd(w.astype(kind), full_matrices=False)[2].T
    else:
        basis = _eigenvectors(_gram(w, kind))
    return np.concatenate([block @ basis for block in _blocks(w, kind)]), basis


def _eigenvectors(symmetric: NDArray[Any]) -> NDArray[Any]:
    """Largest first. By divide and conquer, for which scipy takes half the time of numpy in single precision."""
    from scipy.linalg import eigh

    return np.asarray(eigh(symmetric, driver="evd", overwrite_a=True, check_finite=False)[1][:, ::-1])


def _gram(w: NDArray[Any], kind: Any) -> NDArray[Any]:
    """w' w of w [n, m]."""
    gram = np.zeros((w.shape[1], w.shape[1]), kind)
    for block in _blocks(w, kind):
        gram += block.T @ block
    return gram


def _sketched(w: NDArray[Any]) -> tuple[Array, Array]:
    """w basis [n, SKETCH] and an orthonormal basis [m, SKETCH] of most of what w [n, m] acts on, most energy first."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((w.shape[1], SKETCH)))[0]
    for _ in range(1 + POWERS):
        basis = np.linalg.qr(_back(w, basis))[0]
    seen = np.concatenate([block @ basis for block in _blocks(w, np.float64)])
    turn = _eigenvectors(seen.T @ seen)
    return seen @ turn, basis @ turn


def _back(w: NDArray[Any], basis: Array) -> Array:
    """w' w basis, by blocks of rows."""
    found = np.zeros_like(basis)
    for block in _blocks(w, np.float64):
        found += block.T @ (block @ basis)
    return found


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
    if epsilon < 1e-9:  # beyond what Gram matrices know
        energy = np.linalg.svd(w, compute_uv=False) ** 2
    else:
        energy = np.maximum(np.linalg.eigvalsh(_gram(w.T if len(w) < len(w.T) else w, np.float64))[::-1], 0.0)
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
    known = [(np.asarray(c.loss), np.asarray(c.cells)) for c in choices]
    low, high = 0.0, 1e-12
    while _cells(known, pick := _at_price(known, high)) > budget and high < 1e30:
        low, high = high, high * 4
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _cells(known, _at_price(known, middle)) > budget:
            low = middle
        else:
            high = middle
            pick = _at_price(known, high)
    return pick


_Options = Sequence[tuple[Array, Array]]  # loss and cells of every option of a layer


def _at_price(choices: _Options, price: float) -> list[int]:
    return [int(np.argmin(loss + price * cells)) for loss, cells in choices]


def _cells(choices: _Options, pick: Sequence[int]) -> float:
    return float(sum(cells[i] for (_, cells), i in zip(choices, pick, strict=True)))
