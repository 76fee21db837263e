"""Values of a JSON file have the types that are asked for."""

from __future__ import annotations

import pytest

from gscompile.files.typed import typed


@pytest.mark.parametrize("number", [-3.4028234663852886e38, 1e300, 7])
def test_a_float_is_any_finite_number(number: float) -> None:
    """An output that is masked is the lowest number of its type."""
    assert typed(float, number) == number


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1 << 63])
def test_a_float_is_no_infinity_and_no_integer_without_end(number: float) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        typed(float, number)
