"""Low-rank factoring as mathematics: spectra, ranks and balanced factors. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK_ROWS = 1024  # rows that are taken to double precision at a time
FEW = 128  # rows of which so many stay in a processor's cache
FULL_SVD_SIDE = 32  # a side up to which the full decomposition costs nothing
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


def spectrum(w: Array, inputs: Array | None = None, outputs: Array | None = None, ridge: float = 1e-4) -> Spectrum:
    """The spectrum of w [n, m] under input moments [n, n] and output curvature [m, m] (identity when absent).

    With A = L L' and G = R R', the singular value decomposition of L' w R, taken back by the inverses of L' and R.
    `ridge` is added to the moments, relative to their mean diagonal: directions the data never showed stay defined.
    Rows and columns of zeros stay zeros, whatever else there is of what they see.
    """
    alive = w != 0
    rows, cols = alive.any(axis=1), alive.any(axis=0)
    if 0 < rows.sum() < len(rows) or 0 < cols.sum() < len(cols):
        a, g = (m if m is None else m[kept][:, kept] for m, kept in ((inputs, rows), (outputs, cols)))
        live = spectrum(w[np.ix_(rows, cols)], a, g, ridge)
        return replace(live, left=_spread(live.left, rows), right=_spread(live.right.T, cols).T)
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

    u [n, k] and v [k, m] are balanced, columns of u and rows of v of equal length: their first r give the best
    product of rank r. `energy` [k] is what each direction holds, `rest` what w has in none of them, as parts of
    ||w||². Dropping the directions from r on costs `loss[r]`: it is measured, and never guessed.
    """

    u: NDArray[Any]
    v: NDArray[Any]
    energy: Array
    rest: float

    @property
    def loss(self) -> Array:
        return np.append(np.cumsum(self.energy[::-1])[::-1], 0.0) + self.rest

    def factors(self, rank: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """u [n, rank] and v [rank, m]; empty where there are fewer directions than that."""
        missing = max(0, rank - len(self.energy))
        u, v = self.u[:, :rank], self.v[:rank]
        return (np.pad(u, ((0, 0), (0, missing))), np.pad(v, ((0, missing), (0, 0)))) if missing else (u, v)


def weight_spectrum(w: NDArray[Any], most: int | None = None) -> WeightSpectrum:
    """The spectrum of w [n, m] by the cheapest way its shape allows, with `most` directions: those that are worthwhile.

    Small: the singular value decomposition. Large on both sides: a random sketch (Halko, Martinsson and Tropp 2011),
    where it misses no more than `LEFT_OVER`, which is measured. Else the eigenvectors of the smaller Gram matrix, in
    the precision of the weights: the energy in each is measured, so that their own error is counted with it (what is
    left over is known to a millionth of the whole, in single precision).
    """
    most = worthwhile(*w.shape) if most is None else most
    alive = w != 0
    rows, cols = alive.any(axis=1), alive.any(axis=0)
    if 0 < rows.sum() < len(rows) or 0 < cols.sum() < len(cols):
        live = weight_spectrum(w[np.ix_(rows, cols)], most)
        return replace(live, u=_spread(live.u, rows), v=_spread(live.v.T, cols).T)
    turned = w.shape[0] < w.shape[1]
    tall = w.T if turned else w
    total = squared_norm(tall) or 1.0
    found = _sketched(tall, total) if min(w.shape) >= SKETCHED else None
    if found is None or found.rest > LEFT_OVER:
        found = _seen_along(tall, _directions(tall)[:most], total)
    return replace(found, u=found.v.T, v=found.u.T) if turned else found


def _seen_along(w: NDArray[Any], directions: NDArray[Any], total: float) -> WeightSpectrum:
    """Return the spectrum of w [n, m] in orthonormal directions [k, m]; `total` is ||w||²."""
    directions = np.ascontiguousarray(directions)
    seen, squares = np.empty((len(w), len(directions)), directions.dtype), np.zeros(len(directions))
    for start, block in zip(range(0, len(w), BLOCK_ROWS), _blocks(w, directions.dtype), strict=True):
        part = seen[start : start + BLOCK_ROWS]
        np.matmul(block, directions.T, out=part)
        squares += _energies(part)
    root = np.sqrt(np.sqrt(squares)).astype(directions.dtype)
    seen /= np.where(root > 0, root, 1)
    energy = squares / total
    return WeightSpectrum(seen, directions * root[:, None], energy, max(0.0, 1.0 - float(energy.sum())))


def worthwhile(inputs: int, outputs: int) -> int:
    """The largest rank whose two factors are no larger than the matrix, and one more."""
    return inputs * outputs // (inputs + outputs) + 1


def _spread(part: NDArray[Any], alive: NDArray[np.bool_]) -> NDArray[Any]:
    whole = np.zeros((len(alive), part.shape[1]), part.dtype)
    whole[alive] = part
    return whole


def squared_norm(w: NDArray[Any]) -> float:
    """||w||², by blocks of rows."""
    return float(sum(np.vdot(block, block) for block in _blocks(w.T if w.flags.f_contiguous else w, np.float64, FEW)))


def _energies(seen: NDArray[Any]) -> Array:
    """Squared lengths of the columns of seen [n, k]."""
    found = np.zeros(seen.shape[1])
    for block in _blocks(seen, np.float64, FEW):
        found += np.einsum("ij,ij->j", block, block)
    return found


def _blocks(w: NDArray[Any], kind: Any, rows: int = BLOCK_ROWS) -> Iterator[NDArray[Any]]:
    """Rows of w in the precision asked for, some at a time: w may be larger than memory likes."""
    return (w[i : i + rows].astype(kind, copy=False) for i in range(0, len(w), rows))


def _directions(w: NDArray[Any]) -> NDArray[Any]:
    """An orthonormal basis of the rows of w [n, m], a direction [m] a row, most energy first."""
    if w.shape[1] <= FULL_SVD_SIDE:
        return np.asarray(np.linalg.svd(w.astype(np.float64), full_matrices=False)[2])
    return _eigenvectors(_gram(w, np.result_type(np.float32, w.dtype))).T


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


def _sketched(w: NDArray[Any], total: float) -> WeightSpectrum:
    """Most of what w [n, m] acts on, along `SKETCH` directions; `total` is ||w||²."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((w.shape[1], SKETCH)))[0]
    for _ in range(1 + POWERS):
        basis = np.linalg.qr(_back(w, basis))[0]
    seen = np.concatenate([block @ basis for block in _blocks(w, np.float64)])
    return _seen_along(w, (basis @ _eigenvectors(seen.T @ seen)).T, total)


def _back(w: NDArray[Any], basis: Array) -> Array:
    """w' w basis, by blocks of rows."""
    found = np.zeros_like(basis)
    for block in _blocks(w, np.float64):
        found += block.T @ (block @ basis)
    return found


def _root(moments: Array | None, size: int, ridge: float) -> Array | None:
    """Return the Cholesky factor L of moments + ridge, L L' = moments; the identity where they have no such factor.

    Moments near the smallest numbers that doubles hold have none: they say nothing, and all directions count alike.
    """
    if moments is None:
        return None
    scale = float(np.trace(moments)) / max(size, 1) or 1.0
    try:
        return np.asarray(np.linalg.cholesky(moments + ridge * scale * np.eye(size)), np.float64)
    except np.linalg.LinAlgError:
        return np.eye(size)


def balanced(u: Array, v: Array) -> tuple[Array, Array]:
    """Return factors of the same product with equal singular values on both sides, which keeps fine-tuning stable.

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
