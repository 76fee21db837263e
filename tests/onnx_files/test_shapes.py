"""Shapes that the file does not tell."""

from __future__ import annotations

import numpy as np

from gscompile.graph.network import Network
from gscompile.onnx_files.shapes import known_shapes
from tests.small_networks import model

TOKENS = """g (float[n,5,3] x) => (float[p,q,r] y) <float[3,6] a, float[1,20,20] big> {
    h = MatMul (x, a)  s = Shape (h)  i = Constant <value = int64 {0}> ()  f = Gather (s, i)
    o = Constant <value = int64[1] {0}> ()  u = Unsqueeze (f, o)  t = Constant <value = int64[2] {5,6}> ()
    c = Concat <axis = 0> (u, t)  k = Reshape (h, c)  y = Add (k, k) }"""


def test_what_follows_from_the_graph_is_known_and_nothing_is_written() -> None:
    net = Network.from_proto(model(TOKENS, big=np.ones((1, 20, 20))))
    before = net.to_proto().SerializeToString()
    shapes = known_shapes(net.model)
    assert shapes["h"] == (None, 5, 6)
    assert shapes["k"] == (None, 5, 6)  # through the arithmetic on its shape
    assert shapes["big"] == (1, 20, 20)
    assert net.to_proto().SerializeToString() == before


def test_what_the_file_tells_goes_before_what_is_inferred() -> None:
    net = Network.from_proto(model(TOKENS))
    next(v for v in net.graph.node(0).outputs if v.name == "h").shape = None
    assert known_shapes(net.model)["y"] == (None, None, None)  # as declared: p, q, r


def test_a_graph_that_inference_refuses_keeps_what_it_tells() -> None:
    net = Network.from_proto(model(TOKENS))
    net.graph.node(0).attributes.clear()
    net.graph.node(0).op_type = "Concat"  # without its axis
    assert known_shapes(net.model)["x"] == (None, 5, 3)
    assert "k" not in known_shapes(net.model)
