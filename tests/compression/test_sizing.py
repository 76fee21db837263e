"""What a product of every rank takes: a rank that brings a tile more costs all of the tile's wires."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gscompile.compression.linear_maps import LinearMap, linear_maps
from gscompile.compression.sizing import Cells, Priced
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import MapOptions
from tests.small_networks import network

MAPPING = MapOptions(Crossbar(64, 64))
WIRES, CELLS, TILES = Priced(MAPPING, Price(0, 1)), Priced(MAPPING, Price(1, 0)), Priced(MAPPING, Price(0, 0, 1))


def linear(weight: NDArray[np.float64]) -> LinearMap:
    """y = x W."""
    rows, columns = weight.shape
    text = f"g (float[n,{rows}] x) => (float[n,{columns}] y) <float[{rows},{columns}] w> {{ y = MatMul (x, w) }}"
    (found,) = linear_maps(network(text, w=weight))
    return found


def test_dense_cells_are_counted_where_nothing_is_paid() -> None:
    m = linear(np.ones((100, 80)))
    assert (Cells().now(m), Cells().at(m, (1, 5))) == (8000, [180, 900])


def test_the_rank_that_no_longer_fits_a_tile_costs_all_of_its_wires() -> None:
    """100 x 80 in four tiles. At 64 the factors take two tiles each, at 65 four: their rows and columns twice."""
    m = linear(np.ones((100, 80)))
    assert (WIRES.now(m), TILES.now(m)) == (2 * 100 + 2 * 80, 4)
    assert TILES.at(m, (64, 65)) == [2 + 2, 4 + 4]
    assert WIRES.at(m, (64, 65)) == [100 + 2 * 64 + 2 * 64 + 80, 2 * 100 + 2 * 65 + 2 * 65 + 2 * 80]


@pytest.mark.parametrize(("rank", "cells"), [(1, 90 + 70), (2, 2 * (90 + 70))])
def test_what_holds_no_weight_is_not_paid_for(rank: int, cells: int) -> None:
    """Ten inputs that nothing reads, ten outputs that nothing gives."""
    weight = np.ones((100, 80))
    weight[:10] = 0
    weight[:, 70:] = 0
    m = linear(weight)
    assert CELLS.now(m) == 90 * 70
    assert CELLS.at(m, [rank]) == [cells]
