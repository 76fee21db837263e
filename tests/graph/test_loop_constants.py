"""A weight that a loop carries unchanged is a matrix like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.graph.network import Network
from tests.small_networks import assert_same_outputs, model

LOOP = """g (float[n,4] x) => (float[n,4] y {result}) <float[4,4] w, int64 i = {{3}}, bool go = {{1}}> {{
    y, {final} = Loop (i, go, x, w) <body = b (int64 k, bool c, float[n,4] s, float[4,4] v)
        => (bool d, float[n,4] t, float[4,4] u) {{ d = Identity (c)  p = MatMul (s, v)  t = Tanh (p)  {hand_on} }}>
    {after} }}"""
CARRIED = {
    "unread": ("", "f", "u = Identity (v)", ""),
    "through two Identity nodes": ("", "f", "a = Identity (v)  u = Identity (a)", ""),
    "multiplied afterwards": (", float[n,4] z", "f", "u = Identity (v)", "z = MatMul (x, f)"),
    "starts again as the constant": ("", "f", "u = Identity (w)", ""),
}


@pytest.mark.parametrize("case", CARRIED)
def test_a_weight_that_a_loop_carries_is_read_as_a_constant(case: str) -> None:
    result, final, hand_on, after = CARRIED[case]
    proto = model(LOOP.format(result=result, final=final, hand_on=hand_on, after=after))
    network = Network.from_proto(proto)
    assert [layer.layout.shape for layer in network.layers] == [(4, 4)]
    (loop,) = (node for node in network.graph if node.op_type == "Loop")
    assert (len(loop.inputs), len(loop.outputs)) == (3, 1)
    assert network.corrected == ("Loop n0: carries 'w' unchanged, read as a constant",)
    assert_same_outputs(proto, network)
    onnx.checker.check_model(network.to_proto(), full_check=True)


def test_a_state_that_is_a_result_stays_and_its_weight_is_mapped() -> None:
    proto = model(LOOP.format(result=", float[4,4] f", final="f", hand_on="u = Identity (v)", after=""))
    network = Network.from_proto(proto)
    (layer,) = network.layers
    assert not network.holds_alone(layer)
    network.set_matrices(layer.name, np.zeros((1, 4, 4)))
    assert [output.name for output in network.outputs] == ["y", "f"]
    assert_same_outputs(proto, Network.from_proto(proto))
    again = Network.from_proto(Network.from_proto(proto).to_proto())
    assert_same_outputs(proto, again)


CHANGED = {
    "doubled": "u = Add (v, v)",
    "transposed": "u = Transpose (v)",
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_weight_that_changes_from_turn_to_turn_is_no_constant(case: str) -> None:
    proto = model(LOOP.format(result="", final="f", hand_on=CHANGED[case], after=""))
    network = Network.from_proto(proto)
    assert (network.layers, network.corrected) == ((), ())
    assert_same_outputs(proto, network)


def test_two_weights_that_change_places_are_no_constants() -> None:
    proto = model("""g (float[n,2] x) => (float[n,2] y) <float[2,2] w, float[2,2] q, int64 i = {3}, bool go = {1}> {
        y, f, h = Loop (i, go, x, w, q) <body = b (int64 k, bool c, float[n,2] s, float[2,2] v, float[2,2] r)
        => (bool d, float[n,2] t, float[2,2] u, float[2,2] e)
        { d = Identity (c)  t = MatMul (s, v)  u = Identity (r)  e = Identity (v) }> }""")
    network = Network.from_proto(proto)
    assert (network.layers, network.corrected) == ((), ())
    assert_same_outputs(proto, network)


def test_a_scan_carries_a_weight_too() -> None:
    proto = model("""g (float[5,3] x, float[3] s) => (float[5,3] y) <float[3,3] w> {
        f, h, y = Scan <num_scan_inputs = 1, body = b (float[3] a, float[3,3] v, float[3] k)
        => (float[3] e, float[3,3] u, float[3] o)
        { p = MatMul (a, v)  e = Add (p, k)  o = Tanh (e)  u = Identity (v) }> (s, w, x) }""")
    network = Network.from_proto(proto)
    assert [layer.layout.shape for layer in network.layers] == [(3, 3)]
    assert_same_outputs(proto, network)
    onnx.checker.check_model(network.to_proto(), full_check=True)


def test_a_loop_in_a_loop_hands_a_weight_through() -> None:
    proto = model("""g (float[n,2] x) => (float[n,2] y) <float[2,2] w, int64 i = {3}, bool go = {1}> {
        y, f = Loop (i, go, x, w) <body = b (int64 k, bool c, float[n,2] s, float[2,2] v)
        => (bool d, float[n,2] t, float[2,2] u) {
            d = Identity (c)
            t, u = Loop (i, go, s, v) <body = inner (int64 l, bool m, float[n,2] a, float[2,2] o)
            => (bool j, float[n,2] h, float[2,2] e)
            { j = Identity (m)  z = MatMul (a, o)  h = Tanh (z)  e = Identity (o) }>
        }> }""")
    network = Network.from_proto(proto)
    assert [layer.layout.shape for layer in network.layers] == [(2, 2)]
    loops = [node for node in network.graph.all_nodes() if node.op_type == "Loop"]
    assert [len(loop.outputs) for loop in loops] == [1, 1]
    assert_same_outputs(proto, network)


def test_the_weight_is_compressed_and_the_folder_verifies(tmp_path: Path) -> None:
    ones = np.ones((8, 1))
    text = (
        LOOP.format(result="", final="f", hand_on="u = Identity (v)", after="").replace("4]", "8]").replace("4,", "8,")
    )
    result = gscompile.compile(model(text, w=ones @ ones.T / 8), crossbar="4x4", out=tmp_path / "o")
    assert [matrix.cells for matrix in result.netlist.matrices] == [8, 8]
    assert result.report.before.cells == 64
