"""Every weighted op's tensor is matrices that give what onnxruntime computes, and full-rank factors change nothing."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from gscompile.channels.dead_units import drop_dead_units
from gscompile.graph.network import Network
from gscompile.graph.weight_ops import MatrixLayout
from tests.small_networks import assert_same_outputs, feeds_for, model, network, outputs

CASES = {
    "conv 1-D": "g (float[n,3,9] x) => (float[n,4,a] y) <float[4,3,3] w, float[4] b> { y = Conv (x, w, b) }",
    "conv 2-D": "g (float[n,3,7,6] x) => (float[n,4,a,b] y) <float[4,3,3,2] w> { y = Conv (x, w) }",
    "conv 3-D": "g (float[n,2,5,5,5] x) => (float[n,3,a,b,c] y) <float[3,2,3,3,3] w> { y = Conv (x, w) }",
    "conv strides, pads, dilations": """g (float[n,3,9,9] x) => (float[n,4,a,b] y) <float[4,3,3,3] w, float[4] b>
        { y = Conv <strides = [2,1], pads = [1,0,2,1], dilations = [1,2]> (x, w, b) }""",
    "conv auto_pad": """g (float[n,3,8,8] x) => (float[n,4,a,b] y) <float[4,3,3,3] w>
        { y = Conv <auto_pad = "SAME_UPPER", strides = [2,2]> (x, w) }""",
    "conv groups": "g (float[n,4,6,6] x) => (float[n,6,a,b] y) <float[6,2,3,3] w> { y = Conv <group = 2> (x, w) }",
    "conv depthwise": "g (float[n,4,6,6] x) => (float[n,4,a,b] y) <float[4,1,3,3] w> { y = Conv <group = 4> (x, w) }",
    "conv kernel_shape": """g (float[n,3,6,6] x) => (float[n,4,a,b] y) <float[4,3,3,3] w>
        { y = Conv <kernel_shape = [3,3]> (x, w) }""",
    "transposed": "g (float[n,3,5,5] x) => (float[n,4,a,b] y) <float[3,4,3,3] w, float[4] b> { y = ConvTranspose (x, w, b) }",
    "transposed, strides, groups, output_padding": """g (float[n,4,5,5] x) => (float[n,6,a,b] y) <float[4,3,3,3] w>
        { y = ConvTranspose <group = 2, strides = [2,2], pads = [1,1,1,1], output_padding = [1,0]> (x, w) }""",
    "gemm": "g (float[n,5] x) => (float[n,4] y) <float[5,4] w, float[4] b> { y = Gemm (x, w, b) }",
    "gemm transB": "g (float[n,5] x) => (float[n,4] y) <float[4,5] w> { y = Gemm <transB = 1> (x, w) }",
    "gemm alpha, beta": """g (float[n,5] x) => (float[n,4] y) <float[5,4] w, float[4] b>
        { y = Gemm <alpha = 0.5, beta = 2.0> (x, w, b) }""",
    "gemm transA": "g (float[5,3] x) => (float[3,4] y) <float[5,4] w> { y = Gemm <transA = 1> (x, w) }",
    "gemm, constant on the left": """g (float[5,3] x) => (float[4,3] y) <float[4,5] w, float[4,1] b>
        { y = Gemm <alpha = 0.5> (w, x, b) }""",
    "gemm, constant on the left, both turned": """g (float[n,5] x) => (float[4,n] y) <float[5,4] w>
        { y = Gemm <transA = 1, transB = 1> (w, x) }""",
    "gemm, constant on the left turned": """g (float[5,3] x) => (float[4,3] y) <float[5,4] w>
        { y = Gemm <transA = 1> (w, x) }""",
    "matmul": "g (float[n,5] x) => (float[n,4] y) <float[5,4] w> { y = MatMul (x, w) }",
    "matmul of a sequence": "g (float[n,7,5] x) => (float[n,7,4] y) <float[5,4] w> { y = MatMul (x, w) }",
    "matmul, constant on the left": "g (float[5,3] x) => (float[4,3] y) <float[4,5] w> { y = MatMul (w, x) }",
    "matmul, left of a batch": "g (float[n,5,3] x) => (float[n,4,3] y) <float[4,5] w> { y = MatMul (w, x) }",
    "matmul, a matrix a head": "g (float[n,3,7,5] x) => (float[n,3,7,4] y) <float[3,5,4] w> { y = MatMul (x, w) }",
    "matmul, a matrix a head on the left": "g (float[n,3,5,7] x) => (float[n,3,4,7] y) <float[3,4,5] w> { y = MatMul (w, x) }",
    "lstm": """g (float[6,n,5] x) => (float[6,1,n,3] y, float[1,n,3] h) <float[1,12,5] w, float[1,12,3] r, float[1,24] b>
        { y, h = LSTM <hidden_size = 3> (x, w, r, b) }""",
    "lstm both ways": """g (float[6,n,5] x) => (float[6,2,n,3] y) <float[2,12,5] w, float[2,12,3] r>
        { y = LSTM <hidden_size = 3, direction = "bidirectional"> (x, w, r) }""",
    "gru backwards": """g (float[6,n,5] x) => (float[6,1,n,3] y) <float[1,9,5] w, float[1,9,3] r>
        { y = GRU <hidden_size = 3, direction = "reverse"> (x, w, r) }""",
    "gru both ways": """g (float[6,n,5] x) => (float[6,2,n,3] y) <float[2,9,5] w, float[2,9,3] r, float[2,18] b>
        { y = GRU <hidden_size = 3, direction = "bidirectional", linear_before_reset = 1> (x, w, r, b) }""",
    "rnn both ways": """g (float[6,n,5] x) => (float[6,2,n,3] y) <float[2,3,5] w, float[2,3,3] r>
        { y = RNN <hidden_size = 3, direction = "bidirectional"> (x, w, r) }""",
}
VECTORS = {
    "matmul, a vector": "g (float[n,7,5] x) => (float[n,7] y) <float[5] w> { y = MatMul (x, w) }",
    "matmul, a vector on the left": "g (float[n,5,7] x) => (float[n,7] y) <float[5] w> { y = MatMul (w, x) }",
    "matmul of two vectors": "g (float[5] x) => (float y) <float[5] w> { y = MatMul (x, w) }",
}


@pytest.mark.parametrize("case", CASES)
def test_full_rank_factors_leave_outputs_equal(case: str) -> None:
    before = model(CASES[case])
    net = Network.from_proto(before)
    layer = next(layer for layer in net.layers if layer.layout.factorable)
    inputs, outs = layer.layout.inputs, layer.layout.outputs
    w = layer.matrices.astype(np.float64)
    eye = np.broadcast_to(np.eye(min(inputs, outs)), (len(w), min(inputs, outs), min(inputs, outs)))
    u, v = (eye, w) if inputs <= outs else (w, eye)
    first, second = net.factor(layer.name, u, v)
    assert (net.layer(first).origin, net.layer(second).origin) == (layer.name, layer.name)
    assert net.matrices(first).shape == u.shape
    assert net.matrices(second).shape == v.shape
    assert_same_outputs(before, net)


@pytest.mark.parametrize("text", [*CASES.values(), *VECTORS.values()], ids=[*CASES, *VECTORS])
def test_a_weight_set_to_itself_is_the_same_tensor(text: str) -> None:
    before = model(text)
    net = Network.from_proto(before)
    for layer in net.layers:
        net.set_matrices(layer.name, layer.matrices.copy())
    assert net.to_proto().graph.initializer == before.graph.initializer


def test_a_conv_matrix_times_a_patch_is_an_output_pixel() -> None:
    proto = model(CASES["conv groups"])
    (layer,) = Network.from_proto(proto).layers
    assert layer.matrices.shape == (2, 2 * 9, 3)
    feeds = feeds_for(proto)
    patches = feeds["x"][:, :, :3, 2:5].reshape(2, 2, 18)  # [n, group, channels x kernel]
    wanted = outputs(proto, feeds)["y"][:, :, 0, 2].reshape(2, 2, 3)
    np.testing.assert_allclose(np.einsum("ngi,gio->ngo", patches, layer.matrices), wanted, atol=1e-4)


def test_a_transposed_conv_spreads_a_pixel_over_its_kernel() -> None:
    proto = model(CASES["transposed"].replace(", b)", ")").replace(", float[4] b>", ">"))
    (layer,) = Network.from_proto(proto).layers
    pixel = np.zeros((2, 3, 5, 5), np.float32)
    pixel[:, :, 0, 0] = feeds_for(proto)["x"][:, :, 0, 0]
    wanted = outputs(proto, {"x": pixel})["y"][:, :, :3, :3].reshape(2, 36)
    np.testing.assert_allclose(pixel[:, :, 0, 0] @ layer.matrix, wanted, atol=1e-5)


@pytest.mark.parametrize("case", ["gemm transB", "matmul"])
def test_a_product_is_the_input_times_the_matrix(case: str) -> None:
    proto = model(CASES[case])
    feeds = feeds_for(proto)
    (layer,) = Network.from_proto(proto).layers
    np.testing.assert_allclose(feeds["x"] @ layer.matrix, outputs(proto, feeds)["y"], atol=1e-5)


def test_a_constant_on_the_left_takes_columns_of_the_input() -> None:
    proto = model(CASES["matmul, constant on the left"])
    feeds = feeds_for(proto)
    (layer,) = Network.from_proto(proto).layers
    assert layer.matrix.shape == (5, 4)
    np.testing.assert_allclose((feeds["x"].T @ layer.matrix).T, outputs(proto, feeds)["y"], atol=1e-5)


def test_a_vector_is_a_matrix_of_one_column_and_loses_the_rows_that_dead_units_feed() -> None:
    text = "g (float[n,2] x) => (float[n] y) <float[2,3] w, float[3] v> { h = MatMul (x, w)  r = Relu (h)  y = MatMul (r, v) }"
    w = np.array([[1, 0, 2], [3, 0, 4]])
    proto = model(text, w=w, v=np.array([5, 6, 7]))
    net = Network.from_proto(proto)
    assert net.matrices("n2").tolist() == [[[5], [6], [7]]]
    drop_dead_units(net)
    assert net.matrices("n2").tolist() == [[[5], [7]]]
    assert_same_outputs(proto, net)


@pytest.mark.parametrize("group", [0, -1])
def test_a_convolution_without_a_whole_number_of_groups_has_no_matrix(group: int) -> None:
    proto = model(CASES["conv 2-D"])
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("group", group))
    assert not Network.from_proto(proto).layers


def test_both_directions_of_an_lstm_read_one_input_matrix() -> None:
    layers = {layer.name: layer.matrices.shape for layer in network(CASES["lstm both ways"]).layers}
    assert layers == {"n0.W": (1, 5, 24), "n0.R": (2, 3, 12)}


def test_quantised_weights_are_mapped_as_they_are() -> None:
    (layer,) = network("g (int8[n,5] x) => (int32[n,4] y) <int8[5,4] w> { y = MatMulInteger (x, w) }", opset=10).layers
    assert not layer.layout.compressible
    assert layer.matrix.shape == (5, 4)


def test_products_of_two_inputs_and_lookups_have_no_weights() -> None:
    assert not network("g (float[n,5] x, float[5,n] z) => (float[n,n] y) { y = MatMul (x, z) }").layers
    assert not network("g (int64[n] x) => (float[n,4] y) <float[9,4] w> { y = Gather (w, x) }").layers


def test_a_layout_is_its_own_inverse() -> None:
    layout = MatrixLayout((6, 2, 3), 2, 3, 6, transposed=True)
    tensor = np.arange(36).reshape(6, 2, 3)
    assert layout.matrices(tensor).shape == (2, 6, 3)
    np.testing.assert_array_equal(layout.tensor(layout.matrices(tensor)), tensor)
