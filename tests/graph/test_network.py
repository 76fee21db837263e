"""A network is what its file says: read, copied and written back, nothing is lost and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from gscompile.errors import ModelError
from gscompile.graph.network import Network
from tests.small_networks import assert_same_outputs, feeds_for, model, network, outputs

MLP = """mlp (float[n,6] x) => (float[n,3] y) <float[6,5] a, float[5] b, float[5,3] c>
    { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"""


def saved(net: Network, folder: Path) -> onnx.ModelProto:
    net.save(folder / "saved.onnx")
    return onnx.load(folder / "saved.onnx")


def test_what_is_read_is_written_back_to_the_letter(tmp_path: Path) -> None:
    proto = model(MLP)
    proto.producer_name, proto.producer_version, proto.model_version, proto.domain = (
        "maker",
        "1.2",
        7,
        "my.domain",
    )
    proto.doc_string = "a model"
    proto.graph.doc_string, proto.graph.node[0].doc_string = "a graph", "a node"
    proto.graph.input[0].doc_string, proto.graph.initializer[0].doc_string = "an input", "a weight"
    proto.metadata_props.add(key="licence", value="free")
    proto.graph.node[1].metadata_props.add(key="layer", value="7")
    note = proto.graph.quantization_annotation.add(tensor_name="h")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="b")
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, ["n", 5]))
    onnx.save(proto, tmp_path / "m.onnx")
    again = saved(Network.load(tmp_path / "m.onnx"), tmp_path)
    assert again == proto


def test_a_copy_shares_weights_and_is_changed_alone() -> None:
    net = network(MLP)
    twin = net.copy()
    assert np.shares_memory(net.matrices("n0"), twin.matrices("n0"))
    twin.set_matrices("n0", np.zeros((1, 6, 5)))
    assert not twin.matrices("n0").any()
    assert net.matrices("n0").all()


def test_matrices_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        network(MLP).matrices("n0")[0, 0, 0] = 1


def test_factors_are_named_after_their_node_and_remember_the_layer() -> None:
    net = network(MLP)
    names = net.factor("n0", np.ones((1, 6, 2)), np.ones((1, 2, 5)))
    assert names == ("n0_u", "n0")
    assert {layer.name: layer.origin for layer in net.layers} == {"n0_u": "n0", "n0": "n0", "n2": "n2"}
    assert [node.op_type for node in net.graph] == ["Gemm", "Gemm", "Relu", "MatMul"]
    assert {t.name for t in net.to_proto().graph.initializer} == {"a_u", "a_v", "b", "c"}


TIED = "g (float[n,4] x) => (float[n,4] y) <float[4,4] w> { v = Identity (w)  h = MatMul (x, w)  y = MatMul (h, v) }"


def test_before_opset_11_a_gemm_needs_its_bias_and_the_first_factor_is_a_matmul() -> None:
    net = network(MLP, opset=10)
    net.factor("n0", np.ones((1, 6, 2)), np.ones((1, 2, 5)))
    assert [node.op_type for node in net.graph] == ["MatMul", "Gemm", "Relu", "MatMul"]


def test_an_identity_that_nothing_reads_any_more_goes_with_the_weight_it_tied() -> None:
    net = network(TIED)
    assert net.bytes_freed(net.layer("n1")) == 4 * 4 * 4
    net.factor("n1", np.ones((1, 4, 1)), np.ones((1, 1, 4)))
    assert [node.op_type for node in net.graph] == ["MatMul"] * 4
    assert {t.name for t in net.to_proto().graph.initializer} == {"w_u", "w_v"}


def test_readers_that_nothing_reads_go_with_the_weight_and_with_their_own_constants() -> None:
    net = network("""g (float[n,4] x) => (float[n,4] y) <float[4,4] w, float[1] c> {
        y = MatMul (x, w)  i = Identity (w)  dead = Add (i, c) }""")
    net.factor("n0", np.ones((1, 4, 1)), np.ones((1, 1, 4)))
    assert [node.op_type for node in net.graph] == ["MatMul", "MatMul"]
    assert {t.name for t in net.to_proto().graph.initializer} == {"w_u", "w_v"}


def test_a_weight_that_something_else_reads_frees_no_bytes() -> None:
    net = network("""g (float[n,4] x, int64[n] i) => (float[n,4] y, float[n,4] e) <float[4,4] w> {
        t = Transpose (w)  y = MatMul (x, t)  e = Gather (w, i) }""")
    assert net.bytes_freed(net.layer("n1")) == 0
    alone = network("g (float[n,4] x) => (float[n,4] y) <float[4,4] w> { t = Transpose (w)  y = MatMul (x, t) }")
    assert alone.bytes_freed(alone.layer("n1")) == 4 * 4 * 4


def test_untouched_tensors_stay_bit_for_bit(tmp_path: Path) -> None:
    c = np.array([[np.float32(1e-42), -0.0, 3]] * 5)  # a denormal, a negative zero
    net = network(MLP, c=c)
    net.factor("n0", np.ones((1, 6, 2)), np.ones((1, 2, 5)))
    kept = {t.name: t for t in saved(net, tmp_path).graph.initializer}
    assert kept["c"].raw_data == c.astype(np.float32).tobytes()


def test_initializers_that_are_inputs_too_stay_so(tmp_path: Path) -> None:
    proto = model(MLP, opset=8, ir_version=3)
    for tensor in proto.graph.initializer:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    net = Network.from_proto(proto)
    assert [v.name for v in net.inputs] == ["x"]
    assert saved(net, tmp_path) == proto
    net.factor("n2", np.ones((1, 5, 1)), np.ones((1, 1, 3)))
    again = saved(net, tmp_path)
    onnx.checker.check_model(again, full_check=True)
    assert {i.name for i in again.graph.input} == {"x"} | {t.name for t in again.graph.initializer}
    assert outputs(again, feeds_for(proto))["y"].shape == (2, 3)


def test_a_weight_in_a_constant_node_is_found_and_replaced_there() -> None:
    net = network(
        "g (float[n,2] x) => (float[n,2] y) { w = Constant <value = float[2,2] {1, 2, 3, 4}> ()  y = MatMul (x, w) }"
    )
    (layer,) = net.layers
    assert layer.matrix.tolist() == [[1, 2], [3, 4]]
    net.set_matrices(layer.name, np.array([[[5, 6], [7, 8]]]))
    again = net.to_proto()
    assert [node.op_type for node in again.graph.node] == ["Constant", "MatMul"]
    assert not again.graph.initializer
    assert outputs(again, {"x": np.eye(2, dtype=np.float32)})["y"].tolist() == [[5, 6], [7, 8]]


SHARED = "g (float[n,4] x) => (float[n,4] y) <float[4,4] w> { h = MatMul (x, w)  r = Relu (h)  y = MatMul (r, w) }"


@pytest.mark.parametrize("text", [SHARED, TIED])
def test_a_weight_shared_by_two_nodes_is_one_layer(text: str) -> None:
    before = model(text)
    net = Network.from_proto(before)
    (layer,) = net.layers
    assert len(layer.uses) == 2
    net.factor(layer.name, np.eye(4)[None], layer.matrices.astype(np.float64))
    assert len(net.layers) == 2
    assert_same_outputs(before, net)


def test_a_weight_read_two_ways_is_two_layers_that_part_when_one_changes() -> None:
    text = """g (float[n,4] x) => (float[n,4] y) <float[4,4] w>
        { h = Gemm (x, w)  y = Gemm <transB = 1> (h, w) }"""
    net = network(text, opset=13)
    first, second = net.layers
    np.testing.assert_array_equal(first.matrix, second.matrix.T)
    net.set_matrices(first.name, np.zeros((1, 4, 4)))
    assert not net.matrices(first.name).any()
    np.testing.assert_array_equal(net.matrices(second.name), second.matrices)


def test_a_weight_on_either_side_is_two_layers_that_are_factored_each_in_its_way() -> None:
    before = model("""g (float[4,4] x) => (float[4,4] y) <float[4,4] w>
        { h = MatMul (w, x)  y = Gemm <transB = 1> (h, w) }""")
    net = Network.from_proto(before)
    assert [layer.name for layer in net.layers] == ["n0", "n1"]
    for name in ("n0", "n1"):
        net.factor(name, net.matrices(name).astype(np.float64), np.eye(4)[None])
    assert_same_outputs(before, net)


BEHIND = {
    "Cast": "g (float[n,4] x) => (float[n,3] y) <float16[4,3] w> { v = Cast <to = 1> (w)  y = MatMul (x, v) }",
    "Transpose": "g (float[n,4] x) => (float[n,3] y) <float[3,4] w> { v = Transpose (w)  y = MatMul (x, v) }",
    "DequantizeLinear": """g (float[n,4] x) => (float[n,3] y) <int8[4,3] w, float s>
        { v = DequantizeLinear (w, s)  y = MatMul (x, v) }""",
    "Cast and Mul of int8": """g (float[n,4] x) => (float[n,3] y) <int8[4,3] w, float s>
        { f = Cast <to = 1> (w)  v = Mul (f, s)  y = MatMul (x, v) }""",
    "Reshape": """g (float[n,4] x) => (float[n,3] y) <float[12] w>
        { s = Constant <value = int64[2] {4, 3}> ()  v = Reshape (w, s)  y = MatMul (x, v) }""",
}

COUNT = np.arange(12)
WEIGHTS = dict.fromkeys(BEHIND, COUNT.reshape(4, 3)) | {"Transpose": COUNT.reshape(3, 4), "Reshape": COUNT}


@pytest.mark.parametrize("case", BEHIND)
def test_a_weight_behind_other_nodes_is_found_and_gets_a_tensor_of_its_own(case: str) -> None:
    before = model(BEHIND[case], w=WEIGHTS[case], s=np.array(0.5))
    net = Network.from_proto(before)
    (layer,) = net.layers
    assert layer.layout.compressible
    assert_same_outputs(before, net)
    net.set_matrices(layer.name, 2 * layer.matrices)
    doubled = {name: 2 * array for name, array in outputs(before, feeds_for(before)).items()}
    np.testing.assert_allclose(outputs(net.to_proto(), feeds_for(before))["y"], doubled["y"], rtol=1e-5)
    assert [node.op_type for node in net.graph if node.op_type != "MatMul"] == []  # what computed it is gone


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "double"])
def test_weights_keep_their_precision(dtype: str, tmp_path: Path) -> None:
    net = network(f"g ({dtype}[n,4] x) => ({dtype}[n,3] y) <{dtype}[4,3] w> {{ y = MatMul (x, w) }}")
    kind = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "double": np.float64}[dtype]
    assert net.layers[0].matrix.dtype == (np.float64 if dtype == "double" else np.float32)
    net.factor("n0", net.matrices("n0"), np.eye(3)[None])
    again = saved(net, tmp_path)
    assert {onnx.numpy_helper.to_array(t).dtype for t in again.graph.initializer} == {np.dtype(kind)}
    onnx.checker.check_model(again, full_check=True)


IF = """g (bool c, float[n,3] x) => (float[n,2] y) <float[3,2] a> {
    y = If (c) <then_branch = t () => (float[n,2] p) { p = MatMul (x, a) },
                else_branch = e () => (float[n,2] q) <float[3,2] b = {1, 2, 3, 4, 5, 6}> { q = MatMul (x, b) }>
}"""


def test_weights_in_branches_are_layers_and_are_factored_there() -> None:
    before = model(IF)
    net = Network.from_proto(before)
    assert [layer.layout.inputs for layer in net.layers] == [3, 3]
    for layer in net.layers:
        net.factor(layer.name, layer.matrices.astype(np.float64), np.eye(2)[None])
    feeds = feeds_for(before)
    for choice in (True, False):
        fed = feeds | {"c": np.array(choice)}
        np.testing.assert_allclose(outputs(net.to_proto(), fed)["y"], outputs(before, fed)["y"], rtol=1e-5)


def test_a_weight_in_a_subgraph_is_named_by_path_and_node() -> None:
    proto = model(IF)
    for attribute in proto.graph.node[0].attribute:
        attribute.g.node[0].name = "product"
    names = [layer.name for layer in Network.from_proto(proto).layers]
    assert names == ["n0/then_branch/product", "n0/else_branch/product"]


def test_external_data_is_read_where_it_is_and_written_into_the_file(tmp_path: Path) -> None:
    proto = model(MLP)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    (tmp_path / "out").mkdir()
    again = saved(Network.load(tmp_path / "m.onnx"), tmp_path / "out")
    plain = model(MLP)
    assert {t.name: t.raw_data for t in again.graph.initializer} == {
        t.name: t.raw_data for t in plain.graph.initializer
    }
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["saved.onnx"]


@pytest.mark.parametrize("flat", [True, False])
def test_a_sparse_initializer_is_a_weight(flat: bool) -> None:
    proto = model("g (float[n,3] x) => (float[n,2] y) <float[3,2] w> { y = MatMul (x, w) }")
    values = onnx.numpy_helper.from_array(np.array([5, 7], np.float32), "w")
    places = np.array([1, 4]) if flat else np.array([[0, 1], [2, 0]])
    del proto.graph.initializer[:]
    sparse = onnx.helper.make_sparse_tensor(values, onnx.numpy_helper.from_array(places, "w_at"), [3, 2])
    proto.graph.sparse_initializer.append(sparse)
    (layer,) = Network.from_proto(proto).layers
    assert layer.matrix.tolist() == [[0, 5], [0, 0], [7, 0]]
    assert len(proto.graph.sparse_initializer) == 1  # the caller's model is as it was


def test_a_new_weight_takes_no_name_that_is_taken() -> None:
    net = network("g (float[n,4] x) => (float[n,4] w_u) <float[4,4] w> { w_v = MatMul (x, w)  w_u = Relu (w_v) }")
    net.factor("n0", np.ones((1, 4, 2)), np.ones((1, 2, 4)))
    names = [t.name for t in net.to_proto().graph.initializer]
    assert len({*names, "w_u", "w_v", "x"}) == 5
    onnx.checker.check_model(net.to_proto(), full_check=True)


def test_a_model_in_memory_is_checked_as_a_file_is() -> None:
    proto = model(MLP)
    proto.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelError, match=r"model 'mlp': invalid graph: .*'nowhere'"):
        Network.from_proto(proto)


def test_constants_may_share_a_name_as_onnxruntime_takes_them() -> None:
    proto = model("""g (float[n,2] x) => (float[n,2] y) {
        a = Constant <value = float {2.0}> ()  b = Constant <value = float {3.0}> ()  h = Mul (x, a)  y = Add (h, b) }""")
    for node in proto.graph.node[:2]:
        node.name = "anon"
    assert_same_outputs(proto, Network.from_proto(proto))
