"""Outputs of two networks are compared in kind, type and shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gscompile.scoring.forms import other_form

HALF = np.zeros((2, 3), np.float16)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (np.zeros((2, 3)), HALF, "float64 [2, 3], expected float16 [2, 3]"),
        (np.zeros(1), np.zeros(()), "float64 [1], expected float64 []"),
        ([np.zeros(2)], [np.zeros(2), np.zeros(3)], "sequence (float64 [2]), expected sequence (float64 [2], "),
        (np.array(["a"]), np.array([1]), "string [1], expected int64 [1]"),
        (None, HALF, "nothing, expected float16 [2, 3]"),
    ],
)
def test_what_differs_is_named(ours: Any, theirs: Any, said: str) -> None:
    assert f"output 'y' is {said}" in str(other_form({"y": ours}, {"y": theirs}))
    assert other_form({"y": theirs}, {"y": theirs}) is None


def test_strings_of_any_length_have_one_type() -> None:
    assert other_form({"y": np.array(["a"])}, {"y": np.array(["abc"], object)}) is None
    assert other_form({}, {"y": HALF}) == "output 'y' is missing"
