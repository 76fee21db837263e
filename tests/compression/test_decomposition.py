"""The mathematics of low rank, against brute force and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.compression import decomposition as factoring
from gscompile.compression.decomposition import Array, balanced, pca_rank, spectrum, weight_spectrum, worthwhile

seeds = st.integers(0, 10_000)
small = st.integers(1, 7)


def moments(size: int, rng: np.random.Generator) -> Array:
    x = rng.standard_normal((3 * size, size))
    return x.T @ x / len(x)


@given(small, small, small, seeds)
def test_balancing_keeps_the_product_and_evens_the_sides(n: int, r: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((n, r)) * 100, rng.standard_normal((r, m)) / 100
    a, b = balanced(u, v)
    np.testing.assert_allclose(a @ b, u @ v, atol=1e-9)
    np.testing.assert_allclose(np.linalg.svd(a)[1][: min(n, m, r)], np.linalg.svd(b)[1][: min(n, m, r)], atol=1e-7)


@given(small, small, seeds)
def test_full_rank_gives_the_matrix_back(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((n, m))
    u, v = spectrum(w, moments(n, rng), moments(m, rng)).factors(min(n, m))
    np.testing.assert_allclose(u @ v, w, atol=1e-8)


@given(small, small, seeds)
def test_no_other_matrix_of_that_rank_loses_less_and_the_loss_is_as_said(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w, a, g = rng.standard_normal((n, m)), moments(n, rng), moments(m, rng)
    found = spectrum(w, a, g, ridge=0.0)
    left, right = np.linalg.cholesky(a), np.linalg.cholesky(g)

    def loss(approximation: Array) -> float:
        return float(np.square(left.T @ (w - approximation) @ right).sum())

    for rank in range(1, min(n, m)):
        u, v = found.factors(rank)
        assert loss(u @ v) == pytest.approx(found.loss[rank], abs=1e-9)
        for _ in range(5):  # fitting v to u, or u to v, does not help either; nor does any step aside
            other = (u + 0.1 * rng.standard_normal(u.shape)) @ (v + 0.1 * rng.standard_normal(v.shape))
            assert loss(other) >= found.loss[rank] - 1e-9


def test_inputs_that_never_vary_do_not_count() -> None:
    w = np.diag([1.0, 100.0])
    u, v = spectrum(w, np.diag([1.0, 0.0]), ridge=1e-9).factors(1)
    np.testing.assert_allclose((u @ v)[0], [1, 0], atol=1e-3)


def test_losses_fall_to_zero() -> None:
    assert spectrum(np.diag([3.0, 2.0, 1.0])).loss.tolist() == pytest.approx([14, 5, 1, 0])


def test_the_papers_rule_counts_squared_singular_values() -> None:
    w = np.diag([3.0, 1.0, 0.1])  # squares 9, 1, 0.01
    assert [pca_rank(w, e) for e in (0.0, 0.0009, 0.001, 0.09, 0.11, 1.0)] == [3, 3, 2, 2, 1, 0]
    assert pca_rank(np.zeros((3, 3)), 0.03) == 0


def decaying(n: int, m: int, rate: float, seed: int = 0) -> Array:
    """A matrix [n, m] whose singular values fall as rate^i."""
    rng = np.random.default_rng(seed)
    k = min(n, m, 300)
    u, v = (np.linalg.qr(rng.standard_normal((size, k)))[0] for size in (n, m))
    return np.asarray(u * rate ** np.arange(k) @ v.T)


@pytest.mark.parametrize("shape", [(20, 30), (100, 60), (60, 200), (2100, 2050)])
def test_weights_have_the_ranks_of_the_full_decomposition(shape: tuple[int, int]) -> None:
    w = decaying(*shape, rate=0.9)
    values = 0.9 ** np.arange(300) if min(shape) > 300 else np.linalg.svd(w, compute_uv=False)
    full = np.append(np.cumsum(values[::-1] ** 2)[::-1], 0.0) / np.sum(values**2)
    found = weight_spectrum(w)
    for error in (0.5, 0.1, 0.01, 0.001, 1e-4):
        wanted = int(np.argmax(full <= error))
        if wanted > worthwhile(*shape):  # two factors would be larger
            assert found.loss[-1] > error
            continue
        rank = int(np.argmax(found.loss <= error))
        assert rank == wanted
        u, v = found.factors(rank)
        assert np.sum((w - u @ v) ** 2) / np.sum(w**2) == pytest.approx(found.loss[rank], rel=1e-4)
        np.testing.assert_allclose(np.linalg.norm(u, axis=0), np.linalg.norm(v, axis=1), rtol=1e-5)


@pytest.mark.parametrize("shape", [(192, 192), (192, 768), (768, 192)])
def test_weights_in_single_precision_have_the_ranks_of_the_full_decomposition_in_double(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    falling = 1 / (1 + (np.arange(192) / 15) ** 2)  # as trained transformers fall
    left, right = (rng.standard_normal((size, 192)) for size in shape)
    w = (left * falling @ right.T).astype(np.float32)
    squares = np.linalg.svd(w.astype(np.float64), compute_uv=False) ** 2
    full = np.append(np.cumsum(squares[::-1])[::-1], 0.0) / squares.sum()
    loss = weight_spectrum(w).loss
    for error in np.geomspace(0.5, max(1e-4, 1.01 * loss[-1]), 50):
        assert int(np.argmax(loss <= error)) == int(np.argmax(full <= error))
    np.testing.assert_allclose(loss, full[: len(loss)], atol=1e-6)


def test_rows_and_columns_without_weights_do_not_matter() -> None:
    w = np.zeros((90, 80))
    w[10:60, 20:70] = decaying(50, 50, 0.5)
    found = weight_spectrum(w)
    assert len(found.energy) == worthwhile(90, 80) == 43
    u, v = found.factors(20)
    np.testing.assert_allclose(u @ v, w, atol=1e-5)
    assert not u[:10].any()
    assert not v[:, 70:].any()


def test_a_sketch_that_misses_too_much_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factoring, "SKETCHED", 40)
    monkeypatch.setattr(factoring, "SKETCH", 8)
    assert len(weight_spectrum(decaying(50, 40, 0.99)).energy) == worthwhile(50, 40) == 23
    found = weight_spectrum(decaying(50, 40, 0.1))
    assert len(found.energy) == 8
    assert found.loss[-1] == found.rest <= factoring.LEFT_OVER


@pytest.mark.parametrize("epsilon", [0.3, 0.03, 0.001])
def test_the_papers_rank_is_that_of_the_singular_values(epsilon: float) -> None:
    w = decaying(40, 70, 0.8)
    lost = np.append(np.cumsum(np.linalg.svd(w)[1][::-1] ** 2)[::-1], 0.0) / np.sum(w**2)
    assert pca_rank(w, epsilon) == int(np.argmax(lost <= epsilon))


def test_moments_that_say_nothing_leave_all_directions_alike() -> None:
    w = np.diag([3.0, 2.0])
    assert spectrum(w, np.full((2, 2), -5e-324), None, 1e-3).values.tolist() == [3.0, 2.0]
