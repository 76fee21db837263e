"""Einsum, ops of com.microsoft and quantised ops: what is a matrix, what is factored, and what stays as it is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from gscompile.graph.factor_pairs import factor_pairs
from gscompile.graph.network import Network
from gscompile.onnx_files.einsum import parse_product
from tests.small_networks import assert_same_outputs, model, network

MS = ', "com.microsoft" : 1'
FACTORED = {
    "einsum, a product": 'g (float[n,3,5] x) => (float[n,3,4] y) <float[5,4] w> { y = Einsum <equation = "bsd,de->bse"> (x, w) }',
    "einsum to heads": """g (float[n,3,5] x) => (float[n,3,2,4] y) <float[5,2,4] w>
        { y = Einsum <equation = "bsd,dhk->bshk"> (x, w) }""",
    "einsum from heads": """g (float[n,3,2,4] x) => (float[n,3,6] y) <float[2,4,6] w>
        { y = Einsum <equation = "bshk,hkd->bsd"> (x, w) }""",
    "einsum, a matrix a head": """g (float[n,2,3,4] x) => (float[n,2,3,5] y) <float[2,5,4] w>
        { y = Einsum <equation = "bhsk,hdk->bhsd"> (x, w) }""",
    "einsum, batch in the middle of the weight": """g (float[n,2,4] x) => (float[n,2,5] y) <float[4,2,5] w>
        { y = Einsum <equation = "bhd,dhk->bhk"> (x, w) }""",
    "einsum, what is summed over apart": """g (float[n,2,4] x) => (float[n,5] y) <float[2,5,4] w>
        { y = Einsum <equation = "bhd,hkd->bk"> (x, w) }""",
    "einsum, a matrix a sample": """g (float[3,2,4] x) => (float[3,2,5] y) <float[4,3,5] w>
        { y = Einsum <equation = "dbe,bsd->bse"> (w, x) }""",
    "einsum, weight first, dots": """g (float[n,3,5] x) => (float[n,3,4] y) <float[4,5] w>
        { y = Einsum <equation = "oi,...i->...o"> (w, x) }""",
    "einsum without an arrow": 'g (float[n,5] b) => (float[n,4] y) <float[5,4] w> { y = Einsum <equation = "ab,bc"> (b, w) }',
    "fused": "g (float[n,5] x) => (float[n,4] y) <float[5,4] w> { y = com.microsoft.FusedMatMul <alpha = 0.5> (x, w) }",
    "fused, both turned": """g (float[2,5,3] x) => (float[2,3,4] y) <float[4,5] w>
        { y = com.microsoft.FusedMatMul <transA = 1, transB = 1> (x, w) }""",
    "fused, weight first": """g (float[2,3,5] x) => (float[2,4,3] y) <float[5,4] w>
        { y = com.microsoft.FusedMatMul <transA = 1, transB = 1> (w, x) }""",
    "fused gemm": """g (float[n,5] x) => (float[n,4] y) <float[5,4] w, float[4] b>
        { y = com.microsoft.FusedGemm <activation = "Relu"> (x, w, b) }""",
    "fused conv": """g (float[n,3,6,6] x) => (float[n,4,a,b] y) <float[4,3,3,3] w, float[4] b>
        { y = com.microsoft.FusedConv <activation = "Relu"> (x, w, b) }""",
    "attention": """g (float[2,3,8] x) => (float[2,3,8] y) <float[8,24] w, float[24] b>
        { y = com.microsoft.Attention <num_heads = 2> (x, w, b) }""",
}


@pytest.mark.parametrize("case", FACTORED)
def test_full_rank_factors_leave_outputs_equal_and_are_seen_as_a_pair(case: str) -> None:
    before = model(FACTORED[case], imports=MS)
    net = Network.from_proto(before)
    (layer,) = net.layers
    assert layer.layout.factorable
    inputs, outputs, parts = layer.layout.inputs, layer.layout.outputs, layer.layout.parts
    eye = np.broadcast_to(np.eye(min(inputs, outputs)), (parts, min(inputs, outputs), min(inputs, outputs)))
    u, v = (eye, layer.matrices) if inputs <= outputs else (layer.matrices, eye)
    first, second = net.factor(layer.name, u, v)
    assert_same_outputs(before, net)
    assert factor_pairs(net) == {second: first}


def test_a_product_on_the_other_axis_is_no_pair() -> None:
    net = network("""g (float[4,4] x) => (float[4,4] y) <float[4,4] w, float[4,4] v>
        { h = MatMul (x, w) y = MatMul (v, h) }""")
    assert factor_pairs(net) == {}


@pytest.mark.parametrize(
    "equation",
    [
        "ab,cd->abcd",
        "abc,bd->ad",
        "ab,bb->a",
        "ab,...b->a",
        "ab,bc,cd->ad",
        "ab->ba",
        "bsd,hdk->bsk",
    ],
)
def test_what_is_no_product_of_matrices_is_left_alone(equation: str) -> None:
    assert parse_product(equation, 1) is None


MAPPED = {
    "DeformConv": (
        """g (float[1,4,5,5] x, float[1,18,5,5] o) => (float[1,6,5,5] y) <float[6,4,3,3] w>
        { y = DeformConv <pads = [1,1,1,1]> (x, w, o) }""",
        (1, 36, 6),
        True,
    ),
    "QLinearConv": (
        """g (uint8[1,4,5,5] x) => (uint8[1,6,3,3] y)
        <float s, uint8 z, int8[6,4,3,3] w, float ws, int8 wz>
        { y = QLinearConv (x, s, z, w, ws, wz, s, z) }""",
        (1, 36, 6),
        False,
    ),
    "QLinearMatMul": (
        """g (uint8[n,5] x) => (uint8[n,4] y) <float s, uint8 z, int8[5,4] w, int8 wz>
        { y = QLinearMatMul (x, s, z, w, s, wz, s, z) }""",
        (1, 5, 4),
        False,
    ),
    "ConvInteger": (
        "g (uint8[1,4,5,5] x) => (int32[1,6,3,3] y) <uint8[6,4,3,3] w> { y = ConvInteger (x, w) }",
        (1, 36, 6),
        False,
    ),
    "QGemm": (
        """g (uint8[n,5] x) => (uint8[n,4] y) <float s, uint8 z, uint8[5,4] w>
        { y = com.microsoft.QGemm (x, s, z, w, s, z, , s, z) }""",
        (1, 5, 4),
        False,
    ),
    "DynamicQuantizeMatMul": (
        """g (float[n,5] x) => (float[n,4] y) <int8[5,4] w, float s>
        { y = com.microsoft.DynamicQuantizeMatMul (x, w, s) }""",
        (1, 5, 4),
        False,
    ),
}


@pytest.mark.parametrize("op", MAPPED)
def test_some_ops_are_mapped_and_not_factored(op: str) -> None:
    text, shape, compressible = MAPPED[op]
    (layer,) = network(text, opset=19, ir_version=9, imports=MS).layers
    assert layer.matrices.shape == shape
    assert (layer.layout.compressible, layer.layout.factorable) == (compressible, False)


def test_a_vector_times_stacked_matrices_is_not_factored() -> None:
    (layer,) = network("g (float[5] x) => (float[3,4] y) <float[3,5,4] w> { y = MatMul (x, w) }").layers
    assert layer.layout.parts == 3
    assert not layer.layout.factorable


def test_a_quantised_lstm_has_both_its_weights() -> None:
    names = ("W", "W_scale", "W_zp", "R_scale", "R_zp")
    node = onnx.helper.make_node(
        "DynamicQuantizeLSTM",
        ["x", "W", "R", "", "", "", "", "", *names[1:]],
        ["y"],
        "n",
        domain="com.microsoft",
        hidden_size=3,
    )
    held = [
        onnx.numpy_helper.from_array(np.ones(shape, dtype), name)
        for name, shape, dtype in [
            ("W", (1, 5, 12), np.int8),
            ("R", (1, 3, 12), np.int8),
            ("W_scale", (1,), np.float32),
            ("W_zp", (1,), np.int8),
            ("R_scale", (1,), np.float32),
            ("R_zp", (1,), np.int8),
        ]
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [info("x", 1, [6, 2, 5])], [info("y", 1, [6, 1, 2, 3])], held)
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    net = Network.from_proto(onnx.helper.make_model(graph, opset_imports=imports))
    assert {layer.name: layer.matrices.shape for layer in net.layers} == {
        "n.W": (1, 5, 12),
        "n.R": (1, 3, 12),
    }


WEIGHTS_INSIDE = """g (float[2,5] x, bool c) => (float[2,4] y) <float[5,4] w> {
    y = If (c) <
        then_branch = t () => (float[2,4] a) { a = MatMul (x, w) },
        else_branch = e () => (float[2,4] b) { k = Constant <value = float[1] {2.0}> () m = MatMul (x, w) b = Mul (m, k) }
    >
}"""


def test_both_branches_of_an_if_share_one_layer_and_are_factored_alike() -> None:
    before = model(WEIGHTS_INSIDE)
    net = Network.from_proto(before)
    (layer,) = net.layers
    assert len(layer.uses) == 2
    net.factor(layer.name, layer.matrices, np.eye(4, dtype=np.float32)[None])
    for condition in (True, False):
        feeds = {"x": np.ones((2, 5), np.float32), "c": np.array(condition)}
        from tests.small_networks import outputs

        np.testing.assert_allclose(outputs(net.to_proto(), feeds)["y"], outputs(before, feeds)["y"], rtol=1e-5)
