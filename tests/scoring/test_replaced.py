"""One session serves a network whose weights are replaced one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gscompile.graph.network import Network
from gscompile.scoring import replaced
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
X = {"x": np.array([[1.0, 10.0]], np.float32)}


def test_a_weight_is_replaced_for_one_run_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """x a b = 6 x; with ones for a the sum 11 is tripled, with zeros for b nothing is left. One session runs all."""
    made: list[Any] = []

    def counted(*given: Any, **options: Any) -> Runner:
        made.append(given)
        return Runner(*given, **options)

    monkeypatch.setattr(replaced, "Runner", counted)
    network = Network.from_proto(model(DOUBLED))
    a, b = network.layers
    many = Replaced(network)
    np.testing.assert_array_equal(many.whole(X)["y"], [[6, 60]])
    np.testing.assert_array_equal(many.run(a, np.ones((1, 2, 2)))(X)["y"], [[33, 33]])
    np.testing.assert_array_equal(many.run(b, np.zeros((1, 2, 2)))(X)["y"], [[0, 0]])
    np.testing.assert_array_equal(many.whole(X)["y"], [[6, 60]])
    assert len(made) == 1


def test_a_weight_that_others_read_is_replaced_for_its_layer_alone() -> None:
    network = Network.from_proto(model(TIED))
    (layer,) = network.layers
    found = Replaced(network).run(layer, np.ones((1, 2, 2)))(X)
    np.testing.assert_array_equal(found["y"], [[11, 11]])
    np.testing.assert_array_equal(found["z"], [[-2, 0], [0, -2]])
