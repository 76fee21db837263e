"""What is trained of a network can be read, replaced and averaged."""

from __future__ import annotations

import numpy as np

from gscompile.graph.trainable import halfway
from tests.small_networks import network

MLP = """mlp (float[n,2] x) => (float[n,2] y) <float[2,2] w, float[2] b>
    { h = MatMul (x, w)  y = Add (h, b) }"""


def test_halfway_between_two_networks_are_the_means_of_their_weights_and_biases() -> None:
    one = network(MLP, w=np.array([[1.0, 0.0], [4.0, -2.0]]), b=np.array([0.0, 1.0]))
    other = network(MLP, w=np.array([[3.0, 0.0], [4.0, 2.0]]), b=np.array([1.0, 2.0]))
    mean = halfway(one, other)
    assert mean.layers[0].matrix.tolist() == [[2.0, 0.0], [4.0, 0.0]]
    assert mean.array(mean.graph.initializers["b"]).tolist() == [0.5, 1.5]  # type: ignore[union-attr]
    assert one.layers[0].matrix.tolist() == [[1.0, 0.0], [4.0, -2.0]]
