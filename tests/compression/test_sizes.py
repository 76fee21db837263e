"""What a product of every rank takes: a rank that brings a tile more costs all of the tile's wires."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gscompile.compression.linear_maps import LinearMap, linear_maps
from gscompile.compression.sizes import Sizes
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import Footprint, MapOptions
from tests.small_networks import network

SIZES = Sizes(MapOptions(Crossbar(64, 64)))


def linear(weight: NDArray[np.float64]) -> LinearMap:
    """y = x W."""
    rows, columns = weight.shape
    text = f"g (float[n,{rows}] x) => (float[n,{columns}] y) <float[{rows},{columns}] w> {{ y = MatMul (x, w) }}"
    (found,) = linear_maps(network(text, w=weight))
    return found


def test_the_rank_that_no_longer_fits_a_tile_costs_all_of_its_wires() -> None:
    """100 x 80 in four tiles. At 64 the factors take two tiles each, at 65 four: their rows and columns twice."""
    m = linear(np.ones((100, 80)))
    assert SIZES.now(m) == Footprint(8000, 4, 2 * 100 + 2 * 80)
    assert SIZES.at(m, (64, 65)) == [
        Footprint(64 * 180, 2 + 2, 100 + 2 * 64 + 2 * 64 + 80),
        Footprint(65 * 180, 4 + 4, 2 * 100 + 2 * 65 + 2 * 65 + 2 * 80),
    ]


@pytest.mark.parametrize(("rank", "cells"), [(1, 90 + 70), (2, 2 * (90 + 70))])
def test_what_holds_no_weight_is_not_paid_for(rank: int, cells: int) -> None:
    """Ten inputs that nothing reads, ten outputs that nothing gives."""
    weight = np.ones((100, 80))
    weight[:10] = 0
    weight[:, 70:] = 0
    m = linear(weight)
    assert SIZES.now(m).cells == 90 * 70
    assert [taken.cells for taken in SIZES.at(m, [rank])] == [cells]
