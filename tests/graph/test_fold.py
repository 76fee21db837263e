"""Folding keeps every output, and keeps its hands off what it must not fold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from gscompile.graph.fold import fold
from gscompile.graph.network import Network
from tests.small_networks import assert_same_outputs, model

FOLDS = {
    "batch norm": (
        """g (float[n,2,5,5] x) => (float[n,3,3,3] y) <float[3,2,3,3] w, float[3] s, float[3] t, float[3] m, float[3] v>
        { h = Conv (x, w)  y = BatchNormalization (h, s, t, m, v) }""",
        ["Conv"],
    ),
    "batch norm after a bias, epsilon": (
        """g (float[n,2,5] x) => (float[n,3,3] y) <float[3,2,3] w, float[3] b, float[3] s, float[3] t, float[3] m, float[3] v>
        { h = Conv (x, w, b)  k = BatchNormalization <epsilon = 0.5> (h, s, t, m, v)  y = Relu (k) }""",
        ["Conv", "Relu"],
    ),
    "two batch norms": (
        """g (float[n,2,5] x) => (float[n,3,3] y) <float[3,2,3] w, float[3] s, float[3] t, float[3] m, float[3] v>
        { h = Conv (x, w)  k = BatchNormalization (h, s, t, m, v)  y = BatchNormalization (k, s, t, m, v) }""",
        ["Conv"],
    ),
    "batch norm that reads the value of one Constant as scale, variance and mean": (
        """g (float[n,2,5] x) => (float[n,2,3] y) <float[2,2,3] w, float[2] t>
        { s = Constant <value = float[2] {0.5, 2}> ()  h = Conv (x, w)  y = BatchNormalization (h, s, t, s, s) }""",
        ["Conv"],
    ),
    "batch norm with groups": (
        """g (float[n,4,5] x) => (float[n,4,3] y) <float[4,1,3] w, float[4] s, float[4] t, float[4] m, float[4] v>
        { h = Conv <group = 4> (x, w)  y = BatchNormalization (h, s, t, m, v) }""",
        ["Conv"],
    ),
    "product and sum": (
        "g (float[n,4] x) => (float[n,3] y) <float[4,3] w, float[3] b> { h = MatMul (x, w)  y = Add (h, b) }",
        ["Gemm"],
    ),
    "sum the other way round": (
        "g (float[n,4] x) => (float[n,3] y) <float[4,3] w, float[3] b> { h = MatMul (x, w)  y = Add (b, h) }",
        ["Gemm"],
    ),
    "two products in a row": (
        """g (float[n,4] x) => (float[n,2] y) <float[4,3] w, float[3] b, float[3,2] u, float[2] c>
        { h = MatMul (x, w)  k = Add (h, b)  i = MatMul (k, u)  y = Add (i, c) }""",
        ["Gemm", "Gemm"],
    ),
    "small constants": (
        """g (float[n,4] x) => (float[n,4] y) <float[4] a, float[4] b>
        { c = Add (a, b)  d = Mul (c, c)  y = Mul (x, d) }""",
        ["Mul"],
    ),
    "a weight computed from constants stays a weight": (
        "g (float[n,4] x) => (float[n,3] y) <float[3,4] w> { v = Transpose (w)  y = MatMul (x, v) }",
        ["Transpose", "MatMul"],
    ),
}
POSITIVE = np.array([0.5, 1, 2, 4])


def folded(text: str) -> tuple[list[str], Network]:
    """Ops that are left, and the network; its outputs are what they were."""
    proto = model(text, v=POSITIVE[: 4 if "float[4] v" in text else 3])
    net = Network.from_proto(proto)
    fold(net)
    assert_same_outputs(proto, net)
    return [node.op_type for node in net.graph], net


@pytest.mark.parametrize("case", FOLDS)
def test_folding_keeps_the_outputs(case: str) -> None:
    text, ops = FOLDS[case]
    assert folded(text)[0] == ops


KEPT = {
    "a convolution read twice": """g (float[n,2,5] x) => (float[n,3,3] y, float[n,3,3] z)
        <float[3,2,3] w, float[3] s, float[3] t, float[3] m, float[3] v>
        { h = Conv (x, w)  y = BatchNormalization (h, s, t, m, v)  z = Relu (h) }""",
    "a convolution that is an output": """g (float[n,2,5] x) => (float[n,3,3] y, float[n,3,3] h)
        <float[3,2,3] w, float[3] s, float[3] t, float[3] m, float[3] v>
        { h = Conv (x, w)  y = BatchNormalization (h, s, t, m, v) }""",
    "a weight that another node reads": """g (float[n,2,5] x) => (float[n,3,3] y, float[n,3,3] z)
        <float[3,2,3] w, float[3] s, float[3] t, float[3] m, float[3] v>
        { h = Conv (x, w)  y = BatchNormalization (h, s, t, m, v)  k = Conv (x, w)  z = Relu (k) }""",
    "a sum in three axes": """g (float[n,5,4] x) => (float[n,5,3] y) <float[4,3] w, float[3] b>
        { h = MatMul (x, w)  y = Add (h, b) }""",
    "a sum of a column": """g (float[4,4] x) => (float[4,3] y) <float[4,3] w, float[4,1] b>
        { h = MatMul (x, w)  y = Add (h, b) }""",
    "a sum of two inputs": """g (float[n,4] x, float[n,3] z) => (float[n,3] y) <float[4,3] w>
        { h = MatMul (x, w)  y = Add (h, z) }""",
    "a product read twice": """g (float[n,4] x) => (float[n,3] y, float[n,3] z) <float[4,3] w, float[3] b>
        { h = MatMul (x, w)  y = Add (h, b)  z = Relu (h) }""",
}


@pytest.mark.parametrize("case", KEPT)
def test_what_must_not_fold_does_not(case: str) -> None:
    before = [node.op_type for node in model(KEPT[case]).graph.node]
    assert folded(KEPT[case])[0] == before


def test_random_numbers_are_no_constants() -> None:
    text = """g (float[n,2] x) => (float[n,2] y) { r = RandomNormal <shape = [1, 2]> ()  s = Mul (r, r)  y = Add (x, s) }"""
    net = Network.from_proto(model(text))
    assert fold(net) == []


def test_a_constant_that_would_fill_memory_is_not_computed() -> None:
    text = """g (float[n,4] x) => (float[n,4] y)
        { s = Constant <value = int64[2] {50000, 50000}> ()  w = ConstantOfShape (s)
          k = ReduceMax <keepdims = 0> (w)  y = Add (x, k) }"""
    net = Network.from_proto(model(text))
    assert fold(net) == []
    assert net.array([*net.graph][1].outputs[0]) is None


def test_folding_says_what_it_did_in_one_line_each() -> None:
    net = Network.from_proto(model(FOLDS["batch norm"][0], v=POSITIVE[:3]))
    assert fold(net) == ["BatchNormalization n1: into n0"]


def test_a_batch_norm_of_a_negative_variance_stays_where_it_is() -> None:
    net = Network.from_proto(
        model(FOLDS["batch norm"][0], v=-POSITIVE[:3])
    )  # its outputs are no numbers, the weights stay so
    assert fold(net) == []
    assert np.isfinite(net.layers[0].matrix).all()


def test_a_product_of_integers_stays_a_product() -> None:
    network = Network.from_proto(
        model("g (int32[n,4] x) => (int32[n,3] y) <int32[4,3] w, int32[3] b> { h = MatMul (x, w)  y = Add (h, b) }")
    )
    assert fold(network) == []


def test_a_declared_rank_that_is_wrong_is_not_believed() -> None:
    proto = model(
        "g (float[n,s,4] x) => (float[n,s,3] y) <float[4,3] w, float[3] b>"
        "{ c = Relu (x)  h = MatMul (c, w)  y = Add (h, b) }"
    )
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, ["n", 4]))
    assert fold(Network.from_proto(proto)) == []


def test_a_scalar_that_is_computed_stays_a_scalar() -> None:
    network = Network.from_proto(model("g (float[n,4] x) => (float[n,4] y) <float k> { m = Neg (k)  y = Mul (x, m) }"))
    assert fold(network) == ["Neg n0: constant"]
    (folded,) = network.to_proto().graph.initializer
    assert (folded.name, [*folded.dims]) == ("m", [])


def test_a_constant_that_is_no_number_is_computed_when_the_network_runs() -> None:
    network = Network.from_proto(
        model(
            "g (float[n,4] x) => (float[n,4] y) <float k> { m = Log (k)  y = Add (x, m) }", k=np.array(-1, np.float32)
        )
    )
    assert fold(network) == []
    assert [node.op_type for node in network.graph] == ["Log", "Add"]
