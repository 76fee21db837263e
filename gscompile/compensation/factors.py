"""Two factors in the place of a matrix, fitted to data by alternating least squares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gscompile.compensation.moments import Array
from gscompile.compression.decomposition import balanced

ALTERNATIONS = 2  # over both factors: later ones gain less than a hundredth of the error
CG_STEPS = 20  # of conjugate gradients in a sweep
FACTOR_RIDGE = 1e-9  # of the mean diagonal: a direction that no sample shows keeps a solution


def fit_factors(target: Array, inputs: Array, curvature: Array, u: Array, v: Array, taps: int) -> tuple[Array, Array]:
    """Return u [n / taps, rank] and v [rank, taps m] that minimise tr((W - B)' A (W - B) G), W being u v unfolded.

    B = `target` [n, m], A = `inputs` [n, n], G = `curvature` [m, m]; u and v are the start. A row of W is (row of u,
    tap), as in a convolution whose first factor moves along some axes of the kernel and the second along the others.
    The second factor is solved for directly, the first by conjugate gradients; no sweep raises the error.
    """
    (n, m), rank = target.shape, u.shape[1]
    goal = (inputs @ target @ curvature).reshape(n // taps, -1)
    for _ in range(ALTERNATIONS):
        u, v = balanced(u, second_factor(target, inputs, u, taps))

        def normal(x: Array, v: Array = v) -> Array:
            w = (x @ v).reshape(n, m)
            return (inputs @ w @ curvature).reshape(n // taps, -1) @ v.T

        u = conjugate_gradients(normal, goal @ v.T, u)
    assert u.shape[1] == rank
    return balanced(u, second_factor(target, inputs, u, taps))


def second_factor(target: Array, inputs: Array, u: Array, taps: int) -> Array:
    """Return the v [rank, taps m] with which `u` [n / taps, rank] comes nearest to `target` [n, m] on the inputs.

    G does not matter to it: every output has least squares of its own.
    """
    rank = u.shape[1]
    seen = np.einsum("hi,kl->hkil", u, np.eye(taps)).reshape(len(target), rank * taps)
    shown = inputs @ seen
    moments = seen.T @ shown
    moments += FACTOR_RIDGE * max(float(np.trace(moments)), np.finfo(float).tiny) / len(moments) * np.eye(len(moments))
    return np.asarray(np.linalg.solve(moments, shown.T @ target).reshape(rank, -1), np.float64)


def conjugate_gradients(apply: Callable[[Array], Array], goal: Array, start: Array) -> Array:
    """Return x after `CG_STEPS` steps towards apply(x) = goal, `apply` symmetric (Hestenes and Stiefel 1952)."""
    x, rest = start, goal - apply(start)
    way, left = rest, float(np.vdot(rest, rest))
    enough = 1e-12 * float(np.vdot(goal, goal))
    for _ in range(CG_STEPS):
        moved = apply(way)
        curved = float(np.vdot(way, moved))
        if left <= enough or curved <= 0:
            break
        x, rest = x + left / curved * way, rest - left / curved * moved
        was, left = left, float(np.vdot(rest, rest))
        way = rest + left / was * way
    return x
