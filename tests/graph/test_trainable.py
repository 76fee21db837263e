"""What is trained of a network can be replaced."""

from __future__ import annotations

import numpy as np

from gscompile.graph.trainable import set_trained, trainable_values
from tests.small_networks import network

MLP = """mlp (float[n,2] x) => (float[n,2] y) <float[2,2] w, float[2] b>
    { h = MatMul (x, w)  y = Add (h, b) }"""


def test_weights_and_biases_are_replaced_by_name() -> None:
    net = network(MLP, w=np.array([[1.0, 0.0], [4.0, -2.0]]), b=np.array([0.0, 1.0]))
    weight, bias = trainable_values(net)
    set_trained(net, {weight: np.array([[3.0, 0.0], [4.0, 2.0]], np.float32), bias: np.array([1.0, 2.0], np.float32)})
    assert net.layers[0].matrix.tolist() == [[3.0, 0.0], [4.0, 2.0]]
    said = net.array(net.graph.initializers["b"])
    assert said is not None
    assert said.tolist() == [1.0, 2.0]
