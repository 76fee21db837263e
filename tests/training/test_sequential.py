"""Weights solved for in graph order: what was deleted, clipped or moved is taken over by what stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from gscompile.compensation.units import priced_units, within, without_units
from gscompile.compression.moments import Moments
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions
from gscompile.graph.network import Network
from gscompile.scoring.runner import Runner
from gscompile.training.sequential import refitted
from tests.small_networks import network

MAPPING = MapOptions(Crossbar(64, 64))
X = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)

# Units 0 and 1 of three are the same: |x0|, |x0| and |x1|; the outputs are 2 |x0| + 3 |x0| and |x1|.
COPIES = """g (float[n, 2] x) => (float[n, 2] y) <float[2, 3] a, float[3, 2] b>
{ h = MatMul(x, a)  r = Abs(h)  y = MatMul(r, b) }"""
FIRST = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
SECOND = np.array([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])


def copies() -> Network:
    return network(COPIES, a=FIRST, b=SECOND)


def feeds() -> Iterator[Mapping[str, Tensor]]:
    return ({"x": torch.from_numpy(X[start : start + 16])} for start in range(0, 64, 16))


def outputs(net: Network) -> np.ndarray:
    return np.asarray(Runner(net)({"x": X})["y"])


def test_a_copy_goes_for_nothing_and_the_other_does_its_work() -> None:
    hidden = np.abs(X @ FIRST).astype(np.float64)
    moments = {"n2": Moments((hidden.T @ hidden / 64)[None], np.eye(2)[None])}
    (priced,) = priced_units(copies(), moments, MAPPING)
    gone = within([priced], cells=4.0)  # a unit has a column of two and a row of two
    assert gone[0][1][:2].sum() == 1
    assert not gone[0][1][2]
    smaller = without_units(copies(), gone)
    assert np.abs(outputs(smaller) - outputs(copies())).max() > 1
    solved = refitted(copies(), smaller, feeds, {})
    np.testing.assert_allclose(outputs(solved), outputs(copies()), atol=0.01)
    assert (solved.matrices("n2") == 0).all(axis=2).sum() == 1  # what went stays away


def test_the_given_network_is_not_touched() -> None:
    smaller = copies()
    smaller.set_matrices("n2", np.zeros((1, 3, 2), np.float32))
    refitted(copies(), smaller, feeds, {})
    assert not smaller.matrices("n2").any()


def test_the_original_is_left_as_it_is() -> None:
    np.testing.assert_allclose(outputs(refitted(copies(), copies(), feeds, {})), outputs(copies()), atol=1e-5)


def test_a_residual_sum_makes_good_what_its_shortcut_lost() -> None:
    """s = 2 x becomes s = x; the branch, 1 x before, has to give 2 x for the sum to be 3 x as before."""
    text = """g (float[n, 2] x) => (float[n, 2] y) <float[2, 2] a, float[2, 2] b>
    { s = Mul(x, w)  h = MatMul(x, b)  y = Add(h, s) }""".replace("float[2, 2] a", "float[1] w")
    original = network(text, w=np.array([2.0]), b=np.eye(2))
    changed = network(text, w=np.array([1.0]), b=np.eye(2))
    solved = refitted(original, changed, feeds, {})
    np.testing.assert_allclose(solved.matrices("n1")[0], 2 * np.eye(2), atol=0.01)


def test_both_factors_are_solved_for() -> None:
    """Outputs are 4 x0 and x1 / 10, and rank 1 keeps the first, from factors that had kept the second."""
    text = "g (float[n, 2] x) => (float[n, 2] y) <float[2, 2] a> { h = MatMul(x, a)  y = Abs(h) }"
    original = network(text, a=np.diag([4.0, 0.1]))
    clipped = original.copy()
    first, second = clipped.factor("n0", np.array([[[0.1], [0.1]]]), np.array([[[0.1, 1.0]]]))
    solved = refitted(original, clipped, feeds, {})
    product = solved.matrices(first)[0] @ solved.matrices(second)[0]
    np.testing.assert_allclose(product, np.diag([4.0, 0.0]), atol=0.2)


def test_one_batch_holds_nothing_out_and_changes_nothing() -> None:
    changed = copies()
    changed.set_matrices("n2", 2 * changed.matrices("n2"))
    solved = refitted(copies(), changed, lambda: [{"x": torch.from_numpy(X)}], {})
    np.testing.assert_array_equal(solved.matrices("n2"), changed.matrices("n2"))


def test_the_same_samples_give_the_same_weights() -> None:
    changed = copies()
    changed.set_matrices("n0", FIRST[None] * 1.5)
    once, again = (refitted(copies(), changed, feeds, {}) for _ in range(2))
    np.testing.assert_array_equal(once.matrices("n2"), again.matrices("n2"))
