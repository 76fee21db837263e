"""A node of somebody's own domain means what its function says, whatever ONNX calls by that name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.helper import make_function, make_node, make_opsetid

from gscompile.channels.dead_units import drop_dead_units
from gscompile.graph.fold import fold
from gscompile.graph.network import Network
from tests.small_networks import assert_same_outputs, model


def own(text: str, op: str, inputs: list[str], body: list[onnx.NodeProto]) -> onnx.ModelProto:
    """The model of `text`, whose `mine.OP` is a function with that body; it gives y."""
    imports = [make_opsetid("", 17)]
    proto = model(text, imports=', "mine" : 1')
    proto.functions.append(make_function("mine", op, inputs, ["y"], body, imports))
    return proto


def test_an_add_that_subtracts_is_not_folded() -> None:
    proto = own(
        "g (float[n,4] x) => (float[n,3] y) <float[4,3] w, float[3] b> { h = MatMul (x, w)  y = mine.Add (h, b) }",
        "Add",
        ["a", "b"],
        [make_node("Sub", ["a", "b"], ["y"])],
    )
    net = Network.from_proto(proto)
    assert fold(net) == []
    assert_same_outputs(proto, net)


def test_a_relu_that_adds_one_keeps_its_dead_neurons() -> None:
    text = """g (float[n,4] x) => (float[n,2] y) <float[4,6] a, float[6,2] c>
        { h = MatMul (x, a)  r = mine.Relu (h)  y = MatMul (r, c) }"""
    one = make_node("Constant", [], ["one"], value=onnx.numpy_helper.from_array(np.ones(1, np.float32)))
    proto = own(text, "Relu", ["a"], [one, make_node("Add", ["a", "one"], ["y"])])
    net = Network.from_proto(proto)
    dead = net.layers[0].matrices.copy()
    dead[..., [1, 4]] = 0
    net.set_matrices(net.layers[0].name, dead)
    before = net.to_proto()
    assert drop_dead_units(net) == []
    assert_same_outputs(before, net)


def test_an_identity_that_negates_is_not_looked_through() -> None:
    text = """g (float[n,3] x) => (float[n,2] y) <float[3,2] w> { k = mine.Identity (w)  y = MatMul (x, k) }"""
    proto = own(text, "Identity", ["a"], [make_node("Neg", ["a"], ["y"])])
    net = Network.from_proto(proto)
    fold(net)
    assert [layer.value.name for layer in net.layers] != ["w"]
    assert_same_outputs(proto, net)
