"""Constants that are not finite: a NaN that is computed with is refused, one that is chosen or an infinity is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gscompile
from gscompile.errors import ModelError
from gscompile.judging.constants_check import odd_constants
from gscompile.judging.verify import verify_again
from tests.small_networks import model, network

BIASED = """biased (float[n,6] x) => (float[n,3] y) <float[6,3] a, float[3] b>
    { h = MatMul (x, a)  s = Add (h, b)  y = Softmax (s) }"""
CHOSEN = """chosen (float[n,6] x) => (float[n,3] y) <float[6,3] a, float[1] b>
    { h = MatMul (x, a)  q = Greater (h, h)  y = Where (q, b, h) }"""
BEHIND = """behind (float[n,3] x) => (float[n,3] y) <float[3] b> { i = Identity (b)  y = Mul (x, i) }"""


def test_an_original_with_a_nan_in_a_bias_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        gscompile.compile(model(BIASED, b=np.array([0, np.nan, 0])), out=tmp_path / "out")
    assert str(caught.value) == "constant 'b' (1 NaN of 3): Add computes with it; expected numbers"


def test_an_infinity_is_named_in_report_and_verification(tmp_path: Path) -> None:
    """A class that is never to be chosen has a bias of -inf."""
    result = gscompile.compile(model(BIASED, b=np.array([0, -np.inf, 0])), out=tmp_path / "out")
    line = "constants that are not finite: 'b' (1 infinite of 3)"
    assert line in result.report.verification
    assert line in verify_again(tmp_path / "out")


def test_a_nan_that_is_only_chosen_is_named(tmp_path: Path) -> None:
    gscompile.compile(model(CHOSEN, b=np.array([np.nan])), out=tmp_path / "out")
    assert "constants that are not finite: 'b' (1 NaN of 1)" in verify_again(tmp_path / "out")


def test_a_constant_is_followed_through_identity() -> None:
    (odd,) = odd_constants(network(BEHIND, b=np.array([1, np.nan, np.inf])))
    assert (odd.nans, odd.infinite, odd.elements, odd.spoils) == (1, 1, 3, "Mul")
