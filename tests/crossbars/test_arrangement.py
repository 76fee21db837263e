"""Inputs and outputs change places among tiles: fewer wires, the same matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import gscompile
from gscompile.crossbars.arrangement import column_wires, gathered
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import Footprint, MapOptions, footprint, map_network, tile_weights
from gscompile.crossbars.netlist import check, rebuild
from gscompile.graph.network import Network
from tests.small_networks import model, network

Matrix = NDArray[np.float64]
PLAIN, ARRANGED = (MapOptions(Crossbar(4, 4), arrange=arrange) for arrange in (False, True))


def product(weights: Matrix) -> Network:
    """A network of one product with `weights`."""
    n, m = weights.shape
    return network(f"g (float[b,{n}] x) => (float[b,{m}] y) <float[{n},{m}] w> {{ y = MatMul (x, w) }}", w=weights)


def scrambled(blocks: int) -> Matrix:
    """Blocks of 4 x 4 weights along the diagonal, rows and columns mixed."""
    rng, size = np.random.default_rng(0), 4 * blocks
    full = np.kron(np.eye(blocks), np.ones((4, 4))) * rng.uniform(1, 2, (size, size))
    return full[rng.permutation(size)][:, rng.permutation(size)]


@pytest.mark.parametrize("blocks", [2, 5, 20])  # 20: more tiles than a window holds
def test_hidden_blocks_are_found_and_take_a_tile_each(blocks: int) -> None:
    net = product(scrambled(blocks))
    assert footprint(net, PLAIN).wires > 1.5 * 8 * blocks
    assert footprint(net, ARRANGED) == Footprint(16 * blocks, blocks, 8 * blocks)


def test_two_kinds_of_rows_are_parted() -> None:
    weights = np.zeros((8, 4))
    weights[::2, :2] = 1  # rows 0, 2, 4, 6 feed columns 0 and 1, the others 2 and 3
    weights[1::2, 2:] = 1
    tiles = list(map_network(product(weights), ARRANGED).tiles)
    assert [(t.inputs.tolist(), t.outputs.tolist()) for t in tiles] == [([0, 2, 4, 6], [0, 1]), ([1, 3, 5, 7], [2, 3])]


def test_a_matrix_without_zeros_stays_in_order() -> None:
    net = product(np.ones((10, 6)))
    plain, arranged = (map_network(net, options).to_json() for options in (PLAIN, ARRANGED))
    assert plain == arranged


matrices = st.tuples(st.integers(1, 14), st.integers(1, 11), st.floats(0.05, 0.95), st.integers(0, 10**6))


def sparse(shape: tuple[int, int, float, int]) -> Matrix:
    n, m, share, seed = shape
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 2, (n, m)) * (rng.random((n, m)) < share)


@given(matrices)
def test_never_more_wires_and_the_matrix_is_rebuilt_bit_for_bit(shape: tuple[int, int, float, int]) -> None:
    net = product(sparse(shape))
    netlist = map_network(net, ARRANGED)
    check(netlist)
    taken = footprint(net, ARRANGED)
    assert (netlist.wires, len([*netlist.tiles]), netlist.cells) == (taken.wires, taken.tiles, taken.cells)
    assert taken.wires <= footprint(net, PLAIN).wires
    for tile in netlist.tiles:
        assert (np.diff(tile.inputs) > 0).all()
        assert (np.diff(tile.outputs) > 0).all()
    if net.layers:
        np.testing.assert_array_equal(
            rebuild(netlist.matrices[0], dict(tile_weights(net, netlist))), net.layers[0].matrix
        )


@given(matrices)
def test_an_order_has_every_row_once_and_is_the_same_each_time(shape: tuple[int, int, float, int]) -> None:
    alive = sparse(shape) != 0
    edges = (*range(0, len(alive), 3), len(alive))
    order = gathered(alive, edges)
    assert sorted(order.tolist()) == list(range(len(alive)))
    assert column_wires(alive[order], edges) <= column_wires(alive, edges)
    np.testing.assert_array_equal(order, gathered(alive.copy(), edges))


def test_the_report_says_what_was_rearranged_and_no_arrange_leaves_it() -> None:
    proto = model("g (float[b,8] x) => (float[b,8] y) <float[8,8] w> { y = MatMul (x, w) }", w=scrambled(2))
    first = gscompile.compile(proto, crossbar="4x4", passes=())
    (said,) = (message for message in first.report.messages if "rearranged" in message)
    assert said.startswith("inputs and outputs of 1 matrix are rearranged among the tiles: ")
    assert said.endswith(": 32 wires, 4 tiles, 64 cells -> 16 wires, 2 tiles, 32 cells")
    assert (first.report.before.wires, first.report.after.wires) == (32, 16)
    second = gscompile.compile(proto, crossbar="4x4", passes=(), arrange=False)
    assert second.report.after.wires == 32
    assert not any("rearranged" in message for message in second.report.messages)
