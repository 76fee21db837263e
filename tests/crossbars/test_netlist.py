"""A netlist and its tiles are the network: rebuilt, round-tripped, and refused where they are broken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gscompile.crossbars.crossbar import Crossbar, Tiling
from gscompile.crossbars.mapping import MapOptions, cut, footprint, map_network, tile_weights
from gscompile.crossbars.netlist import Matrix, Netlist, check, rebuild
from gscompile.crossbars.pins import from_ranges, hulls_apart, to_ranges
from gscompile.errors import VerificationError
from tests.small_networks import network

LENET = """lenet (float[n,1,28,28] x) => (float[n,10] y)
    <float[20,1,5,5] a, float[20] b, float[50,20,5,5] c, float[50] d, float[800,500] e, float[500] f, float[500,10] g, float[10] h>
    { i = Conv (x, a, b)  j = MaxPool <kernel_shape = [2,2], strides = [2,2]> (i)
      k = Conv (j, c, d)  l = MaxPool <kernel_shape = [2,2], strides = [2,2]> (k)
      m = Flatten (l)  o = Gemm (m, e, f)  p = Relu (o)  y = Gemm (p, g, h) }"""


def holed(n: int, m: int, seed: int) -> NDArray[Any]:
    """A matrix with empty rows, columns and cells."""
    rng = np.random.default_rng(seed)
    keep = (rng.random((n, 1)) > 0.3) & (rng.random((1, m)) > 0.3) & (rng.random((n, m)) > 0.3)
    return np.asarray(rng.standard_normal((n, m)) * keep, np.float32)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from(["full", "equal"]),
    st.integers(0, 999),
)
def test_a_matrix_is_rebuilt_bit_for_bit_from_its_tiles(
    n: int, m: int, rows: int, cols: int, tiling: Tiling, seed: int
) -> None:
    dense = holed(n, m, seed)
    tiles = tuple(cut("w", dense, MapOptions(Crossbar(rows, cols), tiling)))
    matrix = Matrix("w", "w", 0, n, m, "in", "out", tiles)
    weights = {tile.name: dense[np.ix_(tile.inputs, tile.outputs)] for tile in tiles}
    np.testing.assert_array_equal(rebuild(matrix, weights), dense)
    for tile in tiles:  # every pin has a weight
        assert len(tile.inputs) <= rows
        assert len(tile.outputs) <= cols
        assert (weights[tile.name] != 0).any(axis=1).all()
        assert (weights[tile.name] != 0).any(axis=0).all()


@given(st.lists(st.integers(0, 60), unique=True))
def test_ranges_name_exactly_the_indices(indices: list[int]) -> None:
    indices.sort()
    assert from_ranges(to_ranges(np.array(indices, np.int64))).tolist() == indices


def mapped(text: str = LENET, crossbar: str = "64x64") -> Netlist:
    return map_network(network(text), MapOptions(Crossbar.parse(crossbar)))


def test_lenet_has_121_tiles_and_14425_wires() -> None:
    netlist = mapped()
    check(netlist)
    assert (netlist.arrays, netlist.wires, netlist.cells) == (121, 14_425, 430_500)
    found = footprint(network(LENET), MapOptions(Crossbar(64, 64)))
    assert (found.tiles, found.wires, found.cells) == (121, 14_425, 430_500)


def test_a_netlist_survives_json() -> None:
    data = mapped().to_json()
    again = Netlist.from_json(json.loads(json.dumps(data)))
    check(again)
    assert again.to_json() == data


def test_rows_and_columns_without_weights_are_left_out_before_cutting() -> None:
    dense = np.zeros((8, 8), np.float32)
    dense[::2, 1::2] = 1
    (tile,) = cut("w", dense, MapOptions(Crossbar(4, 4)))
    assert (tile.inputs.tolist(), tile.outputs.tolist()) == ([0, 2, 4, 6], [1, 3, 5, 7])


def test_a_matrix_of_zeros_has_no_tiles() -> None:
    net = network("g (float[n,3] x) => (float[n,2] y) <float[3,2] w> { y = MatMul (x, w) }", w=np.zeros((3, 2)))
    netlist = map_network(net, MapOptions(Crossbar(64, 64)))
    check(netlist)
    assert list(tile_weights(net, netlist)) == []
    np.testing.assert_array_equal(rebuild(netlist.matrices[0], {}), np.zeros((3, 2)))


def broken(**changes: Any) -> Netlist:
    """A netlist of two tiles in one matrix, with fields of the matrix or of the first tile replaced."""
    netlist = mapped("g (float[n,6] x) => (float[n,4] y) <float[6,4] w> { y = MatMul (x, w) }", "3x4")
    (matrix,) = netlist.matrices
    first, *rest = matrix.tiles
    tile: dict[str, Any] = {
        k: np.array(v) if isinstance(v, list) else v for k, v in changes.items() if k in ("inputs", "outputs", "name")
    }
    whole = {k: v for k, v in changes.items() if k in ("input_bus", "output_bus")}
    top = {k: v for k, v in changes.items() if k in ("crossbar", "blocks", "ports", "buses")}
    return replace(netlist, **{"matrices": (replace(matrix, tiles=(replace(first, **tile), *rest), **whole),)} | top)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a doubled cell": ({"inputs": [1, 2, 3]}, "tile 'n0/1_0': a cell that another tile of 'n0' holds too"),
    "a pin outside": (
        {"outputs": [1, 2, 3, 4]},
        "tile 'n0/0_0': column pins are not distinct indices below 4",
    ),
    "a negative pin": ({"inputs": [-1, 0]}, "tile 'n0/0_0': row pins"),
    "a pin twice": ({"inputs": [0, 0, 1]}, "tile 'n0/0_0': row pins are not distinct"),
    "no pins": ({"inputs": []}, "tile 'n0/0_0': 0 row pins; a crossbar has 1 to 3"),
    "a tile that is too wide": (
        {"crossbar": Crossbar(3, 3)},
        "tile 'n0/0_0': 4 column pins; a crossbar has 1 to 3",
    ),
    "two tiles of a name": ({"name": "n0/1_0"}, "tile 'n0/1_0': there are two of that name"),
    "an unknown bus": ({"input_bus": "nowhere"}, "matrix 'n0': 6 inputs on bus 'nowhere' of None"),
    "a bus of another width": ({"output_bus": "n0.in"}, "matrix 'n0': 4 outputs on bus 'n0.in' of 6"),
    "no driver": ({"blocks": ()}, "bus 'n0.in', read by 'n0': 0 drivers; there must be one"),
    "no buses": ({"buses": ()}, "matrix 'n0': 6 inputs on bus 'n0.in' of None"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_broken_netlist_is_refused_with_the_place(mistake: str) -> None:
    changes, message = WRONG[mistake]
    with pytest.raises(VerificationError, match=message):
        check(broken(**changes))


def test_two_drivers_of_one_bus_are_refused() -> None:
    netlist = broken()
    twice = tuple(replace(block, outputs=(*block.outputs, "n0.out")) for block in netlist.blocks[:1])
    with pytest.raises(VerificationError, match=r"bus 'n0\.out', read by .*: 2 drivers"):
        check(replace(netlist, blocks=(*twice, *netlist.blocks[1:])))


def test_weights_that_do_not_fit_their_tile_are_refused() -> None:
    netlist = mapped("g (float[n,2] x) => (float[n,2] y) <float[2,2] w> { y = MatMul (x, w) }")
    with pytest.raises(VerificationError, match=r"tile 'n0/0_0': 2 row and 2 column pins, weights \(2, 3\)"):
        rebuild(netlist.matrices[0], {"n0/0_0": np.ones((2, 3))})


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=2, max_size=5))
def test_tiles_that_seem_apart_at_one_look_share_no_cell(corners: list[tuple[int, int, int, int]]) -> None:
    rows = [np.arange(a, a + b + 1) for a, b, _, _ in corners]
    cols = [np.arange(c, c + d + 1) for _, _, c, d in corners]
    covered = np.zeros((20, 20), int)
    for r, c in zip(rows, cols, strict=True):
        covered[np.ix_(r, c)] += 1
    if hulls_apart(rows, cols):
        assert covered.max() == 1


def test_a_grid_of_tiles_is_apart_at_one_look() -> None:
    rows, cols = [np.array([0, 2]), np.array([1]), np.array([3])], [np.array([0]), np.array([1, 4]), np.array([0, 4])]
    assert hulls_apart(rows, cols)
    assert not hulls_apart([*rows, np.array([3])], [*cols, np.array([2])])
