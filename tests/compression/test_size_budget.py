"""Sizes that are asked for, in numbers and in shares of the original."""

from __future__ import annotations

import pytest

from gscompile.compression.size_budget import SizeBudget
from gscompile.crossbars.mapping import Footprint
from gscompile.sizes import parse_size

ORIGINAL = Footprint(cells=1000, tiles=5, wires=150)


def test_a_share_is_one_of_the_original_and_rounded_down() -> None:
    sizes = {"cells": parse_size("max-cells", "40%"), "tiles": parse_size("max-tiles", "50 %")}
    assert SizeBudget.of(sizes, ORIGINAL).most == {"cells": 400, "tiles": 2}


def test_every_figure_that_is_beyond_is_told_and_by_how_much() -> None:
    sizes = {"cells": parse_size("max-cells", 1200), "wires": parse_size("max-wires", "100")}
    budget = SizeBudget.of(sizes, ORIGINAL)
    assert [*budget.missed(ORIGINAL)] == ["150 wires where at most 100 are asked for: missed by 50"]
    assert not budget.holds(ORIGINAL)
    assert budget.beyond(ORIGINAL) == pytest.approx(1 / 3)  # 50 of 150 wires
    assert budget.beyond(Footprint(cells=10, tiles=1, wires=10)) == 0
    assert budget.holds(Footprint(cells=1200, tiles=9, wires=100))
