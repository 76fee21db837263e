"""Channels that die disappear from both neighbours, and outputs stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from gscompile.channels.dead_units import dead_units, drop_dead_units, find_coupled_channels
from gscompile.graph.network import Network
from tests.small_networks import assert_same_outputs, model

TWO = "g (float[n,4] x) => (float[n,2] y) <float[4,6] a, float[6] b, float[6,2] c> { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"
CONVS = """g (float[n,2,8,8] x) => (float[n,5] y) <float[4,2,3,3] a, float[4] b, float[36,5] c>
    { h = Conv (x, a, b)  r = Relu (h)  p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
      f = Flatten (p)  y = Gemm (f, c) }"""
RESIDUAL = """g (float[n,4] x) => (float[n,2] y) <float[4,6] a, float[6,6] b, float[6,2] c>
    { h = MatMul (x, a)  r = Relu (h)  k = MatMul (r, b)  s = Add (k, r)  y = MatMul (s, c) }"""


def zeroed(proto: Any, name: str, index: Any) -> None:
    """Set part of a weight of a model to zero."""
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    array = np.frombuffer(tensor.raw_data, np.float32).reshape(tuple(tensor.dims)).copy()
    array[index] = 0
    tensor.raw_data = array.tobytes()


def shapes(net: Network) -> dict[str, tuple[int, ...]]:
    return {t.name: tuple(t.dims) for t in net.to_proto().graph.initializer}


def test_a_neuron_without_inputs_takes_its_bias_and_its_row_along() -> None:
    proto = model(TWO)
    zeroed(proto, "a", (slice(None), [1, 4]))
    zeroed(proto, "b", [1, 4])
    net = Network.from_proto(proto)
    assert drop_dead_units(net) == [("n0", 6, 4)]
    assert shapes(net) == {"a": (4, 4), "b": (4,), "c": (4, 2)}
    assert_same_outputs(proto, net)


def test_a_neuron_that_nobody_reads_goes_whatever_its_bias() -> None:
    proto = model(TWO)
    zeroed(proto, "c", [0, 5])
    net = Network.from_proto(proto)
    drop_dead_units(net)
    assert shapes(net) == {"a": (4, 4), "b": (4,), "c": (4, 2)}
    assert_same_outputs(proto, net)


def test_a_neuron_with_a_bias_stays() -> None:
    proto = model(TWO)
    zeroed(proto, "a", (slice(None), 1))
    assert drop_dead_units(Network.from_proto(proto)) == []


def test_a_channel_goes_with_all_its_positions_behind_a_flatten() -> None:
    proto = model(CONVS)
    zeroed(proto, "a", 2)
    zeroed(proto, "b", 2)
    net = Network.from_proto(proto)
    drop_dead_units(net)
    assert shapes(net) == {"a": (3, 2, 3, 3), "b": (3,), "c": (27, 5)}
    assert_same_outputs(proto, net)


def test_a_residual_addition_ties_its_producers() -> None:
    proto = model(RESIDUAL)
    space, _ = find_coupled_channels(Network.from_proto(proto))
    assert {side.layer for side in space.producers} == {"n0", "n2"}
    assert {side.layer for side in space.consumers} == {"n2", "n4"}
    zeroed(proto, "a", (slice(None), 3))
    assert not dead_units(Network.from_proto(proto), space).any()  # the other one still produces it
    zeroed(proto, "b", (slice(None), 3))
    net = Network.from_proto(proto)
    drop_dead_units(net)
    assert shapes(net) == {"a": (4, 5), "b": (5, 5), "c": (5, 2)}
    assert_same_outputs(proto, net)


def test_a_dead_unit_that_leaves_another_dead_takes_it_along() -> None:
    text = """g (float[n,4] x) => (float[n,2] y) <float[4,3] a, float[3,3] b, float[3,2] c>
        { h = MatMul (x, a)  r = Relu (h)  k = MatMul (r, b)  s = Relu (k)  y = MatMul (s, c) }"""
    proto = model(text, b=np.diag([1.0, 2, 3]))
    zeroed(proto, "c", 1)
    net = Network.from_proto(proto)
    drop_dead_units(net)
    assert shapes(net) == {"a": (4, 2), "b": (2, 2), "c": (2, 2)}
    assert_same_outputs(proto, net)


def test_the_last_unit_is_kept() -> None:
    net = Network.from_proto(model(TWO, a=np.zeros((4, 6)), b=np.zeros(6)))
    drop_dead_units(net)
    assert shapes(net) == {"a": (4, 1), "b": (1,), "c": (1, 2)}


def test_a_rank_between_two_factors_is_a_unit() -> None:
    net = Network.from_proto(model("g (float[n,4] x) => (float[n,3] y) <float[4,3] w> { y = MatMul (x, w) }"))
    before = net.to_proto()
    u = np.pad(net.matrices("n0").astype(float), ((0, 0), (0, 0), (0, 2)))
    net.factor("n0", u, np.pad(np.eye(3), ((0, 2), (0, 0)))[None])
    assert drop_dead_units(net) == [("n0_u", 5, 3)]
    assert_same_outputs(before, net)


ALONG = {
    "batch norm": """g (float[n,2,5] x) => (float[n,2,1] y)
        <float[4,2,3] a, float[4] s, float[4] t, float[4] m, float[4] v, float[2,4,3] c>
        { h = Conv (x, a)  k = BatchNormalization (h, s, t, m, v)  y = Conv (k, c) }""",
    "bias after a product": """g (float[n,7,4] x) => (float[n,7,2] y) <float[4,6] a, float[6] b, float[6,2] c>
        { h = MatMul (x, a)  k = Add (h, b)  r = Tanh (k)  y = MatMul (r, c) }""",
    "vector along channels": """g (float[n,2,5] x) => (float[n,2,1] y) <float[4,2,3] a, float[1,4,1] b, float[2,4,3] c>
        { h = Conv (x, a)  k = Mul (h, b)  y = Conv (k, c) }""",
    "sigmoid": """g (float[n,4] x) => (float[n,2] y) <float[4,6] a, float[6,2] c>
        { h = MatMul (x, a)  k = Sigmoid (h)  y = MatMul (k, c) }""",
    "transpose": """g (float[n,4,5] x) => (float[n,2,3] y) <float[6,4,3] a, float[6,2] c>
        { h = Conv (x, a)  k = Transpose <perm = [0,2,1]> (h)  m = MatMul (k, c)  y = Transpose <perm = [0,2,1]> (m) }""",
    "reshape to rows": """g (float[n,2,4] x) => (float[n,2] y) <float[4,2,3] a, float[8,2] c>
        { h = Conv (x, a)  s = Constant <value = int64[2] {0, -1}> ()  k = Reshape (h, s)  y = MatMul (k, c) }""",
    "swish": """g (float[n,4] x) => (float[n,2] y) <float[4,6] a, float[6,2] c>
        { h = MatMul (x, a)  k = Sigmoid (h)  m = Mul (h, k)  y = MatMul (m, c) }""",
    "transposed convolution": """g (float[n,2,4] x) => (float[n,2,8] y) <float[2,4,3] a, float[4] b, float[4,2,3] c>
        { h = ConvTranspose (x, a, b)  r = Relu (h)  y = ConvTranspose (r, c) }""",
    "gemm transB": """g (float[n,4] x) => (float[n,2] y) <float[6,4] a, float[6] b, float[2,6] c>
        { h = Gemm <transB = 1> (x, a, b)  r = Relu (h)  y = Gemm <transB = 1> (r, c) }""",
}


@pytest.mark.parametrize("case", ALONG)
def test_units_run_along_what_treats_channels_alike(case: str) -> None:
    proto = model(ALONG[case], v=np.array([0.5, 1, 2, 4]))
    consumer = Network.from_proto(proto).layers[-1]
    axis = {"Conv": 1, "Gemm": 1}.get(consumer.op, 0)
    unread = np.arange(2) if case == "reshape to rows" else 0  # channel 0 has two positions
    zeroed(proto, "c", (slice(None),) * axis + (unread,))
    net = Network.from_proto(proto)
    size = find_coupled_channels(net)[0].size
    assert [(before, after) for _, before, after in drop_dead_units(net)] == [(size, size - 1)]
    assert_same_outputs(proto, net)


PINNED = {
    "a vector that is read elsewhere": "{ h = MatMul (x, a)  k = Add (h, v)  i = Mul (w, v)  j = Add (k, i)  y = MatMul (j, c) }",
    "the addend of a Gemm": "{ h = MatMul (x, a)  k = Relu (h)  j = Gemm (w, d, k)  i = MatMul (k, d)  y = MatMul (j, c) }",
    "a product with the other axis": "{ h = MatMul (x, a)  k = MatMul (d, h)  y = MatMul (k, c) }",
    "a transposed Gemm": "{ h = MatMul (x, a)  y = Gemm <transA = 1> (h, c) }",
    "softmax": "{ h = MatMul (x, a)  k = Softmax (h)  y = MatMul (k, c) }",
    "an output": "{ h = MatMul (x, a)  z = Relu (h)  y = MatMul (z, c) }",
    "a sum over channels": "{ h = MatMul (x, a)  s = ReduceSum <keepdims = 1> (h)  k = Mul (h, s)  y = MatMul (k, c) }",
    "an addition of an input": "{ h = MatMul (x, a)  k = Add (h, w)  y = MatMul (k, c) }",
}


@pytest.mark.parametrize("case", PINNED)
def test_channels_that_are_seen_or_mixed_are_pinned(case: str) -> None:
    outs = "float[n,2] y, float[n,4] z" if case == "an output" else "float[m,2] y"
    weights = "float[4,4] a, float[4,4] d, float[4] v, float[4,2] c"
    text = f"g (float[4,4] x, float[4,4] w) => ({outs}) <{weights}> {PINNED[case]}"
    proto = model(text)
    zeroed(proto, "a", (slice(None), 0))
    zeroed(proto, "c", 0)
    net = Network.from_proto(proto)
    assert find_coupled_channels(net)[0].pinned is not None
    assert drop_dead_units(net) == []


def test_channels_that_a_branch_captures_are_pinned() -> None:
    text = """g (float[n,4] x, bool q) => (float[n,2] y) <float[4,4] a, float[4,2] c>
        { h = MatMul (x, a)
          k = If (q) <then_branch = t () => (float[n,4] p) { p = Relu (h) }, else_branch = e () => (float[n,4] o) { o = Neg (h) }>
          y = MatMul (k, c) }"""
    assert find_coupled_channels(Network.from_proto(model(text)))[0].pinned is not None


def test_a_convolution_read_along_its_positions_is_pinned() -> None:
    text = """g (float[n,2,6] x) => (float[n,4,2] y) <float[4,2,3] a, float[4,2] c>
        { h = Conv (x, a)  y = MatMul (h, c) }"""  # four channels at four positions: sizes alone do not tell
    proto = model(text)
    zeroed(proto, "c", 1)
    net = Network.from_proto(proto)
    assert drop_dead_units(net) == []
    assert_same_outputs(proto, net)


@pytest.mark.parametrize(("target", "joins"), [("0, -1", True), ("2, -1", True), ("1, -1", False), ("-1, 8", True)])
def test_a_reshape_to_rows_is_followed_where_it_keeps_samples_apart(target: str, joins: bool) -> None:
    text = f"""g (float[2,2,4] x) => (float[m,2] y) <float[4,2,3] a, float[8,2] c>
        {{ h = Conv (x, a)  s = Constant <value = int64[2] {{{target}}}> ()  k = Reshape (h, s)  y = MatMul (k, c) }}"""
    proto = model(text)
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [2, 4, 2]))
    assert (find_coupled_channels(Network.from_proto(proto))[0].pinned is None) == joins


def test_a_product_from_the_left_has_units_too() -> None:
    text = """g (float[4,n] x) => (float[2,n] y) <float[6,4] a, float[2,6] c>
        { h = MatMul (a, x)  r = Relu (h)  y = MatMul (c, r) }"""
    proto = model(text)
    zeroed(proto, "c", (slice(None), 3))
    net = Network.from_proto(proto)
    assert drop_dead_units(net) == [("n0", 6, 5)]
    assert_same_outputs(proto, net)
