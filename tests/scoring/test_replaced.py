"""One session serves a network whose weights are replaced one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from gscompile.graph.network import Network
from gscompile.scoring import replaced, tail_run
from gscompile.scoring.replaced import Replaced
from gscompile.scoring.runner import Runner
from tests.small_networks import model

DOUBLED = """
agraph (float[1,2] x) => (float[1,2] y)
<float[2,2] a = {2, 0, 0, 2}, float[2,2] b = {3, 0, 0, 3}> {
    h = MatMul (x, a)
    y = MatMul (h, b)
}
"""
TIED = """
agraph (float[1,2] x) => (float[1,2] y, float[2,2] z)
<float[2,2] a = {2, 0, 0, 2}> {
    y = MatMul (x, a)
    z = Neg (a)
}
"""
HELD_OTHERWISE = """
agraph (float[1,2] x) => (float[1,2] y)
<float[2,2] b = {3, 1, 0, 3}> {
    a = Constant <value = float[2,2] {2, 0, 0, 2}> ()
    h = MatMul (x, a)
    turned = Transpose (b)
    y = MatMul (h, turned)
}
"""
X = {"x": np.array([[1.0, 10.0]], np.float32)}


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What sessions were made of."""
    made: list[Any] = []

    def counted(*given: Any, **options: Any) -> Runner:
        made.append(given)
        return Runner(*given, **options)

    for module in (replaced, tail_run):
        monkeypatch.setattr(module, "Runner", counted)
    return made


def test_a_weight_is_replaced_for_one_run_and_the_others_stay(sessions: list[Any]) -> None:
    """x a b = 6 x; with ones for a the sum 11 is tripled, with zeros for b nothing is left. One session runs all."""
    network = Network.from_proto(model(DOUBLED))
    a, b = network.layers
    many = Replaced(network)
    np.testing.assert_array_equal(many.whole(X)["y"], [[6, 60]])
    np.testing.assert_array_equal(many.run(a, np.ones((1, 2, 2)))(X)["y"], [[33, 33]])
    np.testing.assert_array_equal(many.run(b, np.zeros((1, 2, 2)))(X)["y"], [[0, 0]])
    np.testing.assert_array_equal(many.whole(X)["y"], [[6, 60]])
    assert len(sessions) == 1


def test_a_weight_that_others_read_is_replaced_for_its_layer_alone() -> None:
    network = Network.from_proto(model(TIED))
    (layer,) = network.layers
    found = Replaced(network).run(layer, np.ones((1, 2, 2)))(X)
    np.testing.assert_array_equal(found["y"], [[11, 11]])
    np.testing.assert_array_equal(found["z"], [[-2, 0], [0, -2]])


def test_weights_in_constants_and_computed_ones_are_fed_to_one_session_too(sessions: list[Any]) -> None:
    """x is doubled by a and multiplied by [[3, 0], [1, 3]]: 2 (3 + 10), 2 (30); a of ones gives 11 in both places."""
    network = Network.from_proto(model(HELD_OTHERWISE))
    a, b = network.layers
    many = Replaced(network)
    np.testing.assert_array_equal(many.whole(X)["y"], [[26, 60]])
    np.testing.assert_array_equal(many.run(a, np.ones((1, 2, 2)))(X)["y"], [[44, 33]])
    np.testing.assert_array_equal(many.run(b, np.zeros((1, 2, 2)))(X)["y"], [[0, 0]])
    np.testing.assert_array_equal(many.run_all([(a, np.ones((1, 2, 2))), (b, np.ones((1, 2, 2)))])(X)["y"], [[22, 22]])
    assert len(sessions) == 1


def test_weights_that_are_inputs_as_well_are_fed_in_the_oldest_files() -> None:
    """Before IR version 4 every initializer is an input, and onnxruntime takes no other array for it."""
    old = model(DOUBLED)
    old.ir_version = 3
    old.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in old.graph.initializer
    )
    network = Network.from_proto(old)
    np.testing.assert_array_equal(Replaced(network).run(network.layers[0], np.ones((1, 2, 2)))(X)["y"], [[33, 33]])


def test_once_runs_took_as_long_as_a_session_only_the_nodes_behind_a_cut_are_run(sessions: list[Any]) -> None:
    """Ten layers that double, cut before the ninth: without the last nothing is left, of the first one 2^9 x."""
    names = [f"w{number}" for number in range(10)]
    weights = ", ".join(f"float[2,2] {name} = {{2, 0, 0, 2}}" for name in names)
    lines = "\n".join(f"h{n + 1} = MatMul (h{n}, {name})" for n, name in enumerate(names))
    text = f"agraph (float[1,2] h0) => (float[1,2] h10) <{weights}> {{ {lines} }}"
    network, given = Network.from_proto(model(text)), {"h0": X["x"]}
    many = Replaced(network)
    np.testing.assert_array_equal(many.whole(given)["h10"], 1024 * X["x"])
    many._seconds_of_session = 0.0
    for run in range(3):
        np.testing.assert_array_equal(many.run(network.layers[-1], np.eye(2)[None] * 6)(given)["h10"], 3072 * X["x"])
        assert len(sessions) == (1 if run == 0 else 3), "the first run is whole; the others need one before, one behind"
    np.testing.assert_array_equal(many.run(network.layers[0], np.eye(2)[None])(given)["h10"], 512 * X["x"])
    np.testing.assert_array_equal(many.run(network.layers[-1], np.zeros((1, 2, 2)))(given)["h10"], [[0, 0]])
    assert len(sessions) == 3
