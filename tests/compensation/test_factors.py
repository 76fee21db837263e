"""Two factors fitted to a matrix in the metric of the data."""

from __future__ import annotations

import numpy as np

from gscompile.compensation.factors import conjugate_gradients, fit_factors, second_factor


def error(w: np.ndarray, target: np.ndarray, a: np.ndarray, g: np.ndarray) -> float:
    return float(np.sum(g * ((w - target).T @ a @ (w - target))))


def test_a_product_is_found_again_from_another_start() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((4, 1)), rng.standard_normal((1, 3))
    found, second = fit_factors(u @ v, np.eye(4), np.eye(3), u + 0.1, v, 1)
    np.testing.assert_allclose(found @ second, u @ v, atol=1e-6)


def test_the_second_factor_is_least_squares() -> None:
    """u sees only the first input, of which the second is a copy: v takes the weight of both."""
    a = np.array([[1.0, 1.0], [1.0, 1.0]])
    found = second_factor(np.array([[2.0], [3.0]]), a, np.array([[1.0], [0.0]]), 1)
    np.testing.assert_allclose(found, [[5.0]], rtol=1e-6)


def test_no_sweep_raises_the_error_of_a_kernel_taken_apart() -> None:
    rng = np.random.default_rng(0)
    taps, rank = 3, 2
    target, x, y = rng.standard_normal((6, 4)), rng.standard_normal((20, 6)), rng.standard_normal((20, 4))
    a, g = x.T @ x, y.T @ y
    u, v = rng.standard_normal((2, rank)), rng.standard_normal((rank, taps * 4))
    before = error((u @ v).reshape(6, 4), target, a, g)
    once = error((u @ second_factor(target, a, u, taps)).reshape(6, 4), target, a, g)
    u, v = fit_factors(target, a, g, u, v, taps)
    after = error((u @ v).reshape(6, 4), target, a, g)
    assert after <= once < before


def test_conjugate_gradients_solve_two_equations_in_two_steps() -> None:
    found = conjugate_gradients(lambda x: np.diag([1.0, 4.0]) @ x, np.array([3.0, 8.0]), np.zeros(2))
    np.testing.assert_allclose(found, [3.0, 2.0])
