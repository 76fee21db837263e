"""What was not compressed is written as it was read: every field, in its order, and every tensor as it was spelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import gscompile
from gscompile.graph.network import Network
from gscompile.judging.verify import verify_again
from gscompile.onnx_files import loading
from tests.small_networks import feeds_for, model, outputs

MLP = """mlp (float[n,6] x) => (float[n,3] y) <float[6,5] a, float[5] b, float[5,3] c>
    { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"""
NODE_TESTS_FROM = 7  # the oldest opset that is compiled


def again(proto: onnx.ModelProto) -> onnx.ModelProto:
    """What is written of a network that was copied and not changed."""
    return Network.from_proto(proto).copy().to_proto()


def notes(message: object, *keys: str) -> None:
    for key in keys:
        message.metadata_props.add(key=key, value=f"{key}!")  # type: ignore[attr-defined]


def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def annotated() -> onnx.ModelProto:
    """A network that says what can be said, nothing of it in alphabetical order."""
    proto = model(MLP, ir_version=11, opset=21, imports=', "zoo" : 1, "ai.onnx.ml" : 3')
    notes(proto, "z", "a", "m")
    notes(proto.graph, "q", "b")
    notes(proto.graph.node[0], "y", "c")
    notes(proto.graph.initializer[0], "w", "d")
    proto.graph.value_info.extend([value("r", "n", 5), value("a", 6, 5), value("y", "n", 3), value("h", "n", 5)])
    for name in ("y", "a", "h", "x"):
        note = proto.graph.quantization_annotation.add(tensor_name=name)
        note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="b")
    body = [helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array(1, np.float32), "held"))]
    body += [helper.make_node("Add", ["t", "one"], ["s"], "sum")]
    imports = [helper.make_opsetid("zoo", 1), helper.make_opsetid("", 21)]
    function = helper.make_function("zoo", "Plus", ["t"], ["s"], body, imports)
    notes(function, "v", "e")
    proto.functions.append(function)
    return proto


def test_every_field_stays_in_its_place() -> None:
    proto = annotated()
    assert again(proto) == proto


def test_what_changed_is_said_anew_and_the_rest_stays() -> None:
    proto = annotated()
    net = Network.from_proto(proto)
    net.factor("n0", np.ones((1, 6, 2)), np.ones((1, 2, 5)))
    written = net.to_proto()
    onnx.checker.check_model(written, full_check=True)
    assert [info.name for info in written.graph.value_info] == ["r", "y", "h", "n0_u_output"]  # a is gone
    assert [note.tensor_name for note in written.graph.quantization_annotation] == ["y", "h", "x"]
    assert written.opset_import == proto.opset_import
    assert written.functions == proto.functions


def test_numbers_that_were_spelled_out_stay_so() -> None:
    proto = model(MLP)
    for tensor in proto.graph.initializer:
        numbers = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        tensor.float_data.extend(numbers.reshape(-1))
    assert again(proto) == proto


def node_tests() -> Iterator[onnx.ModelProto]:
    from onnx.backend.test.loader import load_node_model_tests

    for case in load_node_model_tests()[::8]:
        proto = case.model if case.model is not None else onnx.load(Path(str(case.model_dir), "model.onnx"))
        if all(o.version >= NODE_TESTS_FROM for o in proto.opset_import if not o.domain):
            yield proto


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # as ONNX computes the values of its cases
def test_models_of_onnx_s_own_node_tests_are_written_as_they_were_read() -> None:
    different = [proto.graph.name for proto in node_tests() if again(proto) != proto]
    assert different == []


@pytest.mark.parametrize("name", ["basic_pitch_nmp", "mtcnn_onet", "nudenet_yolov8n_320", "silero_vad_16k_sequence"])
def test_a_real_network_is_written_byte_by_byte_as_it_was_read(name: str, shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    Network.load(path).copy().save(tmp_path / "again.onnx")
    assert onnx.load(tmp_path / "again.onnx") == onnx.load(path)


def test_what_is_too_large_for_a_file_says_as_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "ONE_FILE", 64 << 20)  # nothing fits
    proto = model(MLP.replace("6", "60"))
    notes(proto, "z", "a")
    net = Network.from_proto(proto)
    net.save(tmp_path / "m.onnx")
    written = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    assert [len(tensor.external_data) > 0 for tensor in written.graph.initializer] == [True, False, False]
    written = onnx.load(tmp_path / "m.onnx")
    written.graph.initializer[0].ClearField("data_location")
    assert written == proto
    assert net.to_proto() == proto  # which stays as it is


# -- sparse tensors -------------------------------------------------------------------------------------------------

PRODUCT = "g (float[n,12] x) => (float[n,10] y) <float[12,10] w> { y = MatMul (x, w) }"
SOME = np.where(np.arange(120).reshape(12, 10) % 7 == 3, 1.5, 0.0).astype(np.float32)


def sparse(array: np.ndarray, flat: bool = True) -> onnx.SparseTensorProto:
    places = np.flatnonzero(array) if flat else np.argwhere(array)
    values = numpy_helper.from_array(array[array != 0], "w")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places, "places"), array.shape)


def with_sparse(array: np.ndarray, where: str) -> onnx.ModelProto:
    """x times a sparse tensor, which is an initializer or the value of a node."""
    proto = model(PRODUCT)
    del proto.graph.initializer[:]
    if where == "node":
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], "held", sparse_value=sparse(array)))
    else:
        proto.graph.sparse_initializer.append(sparse(array, flat=where == "flat"))
    return proto


@pytest.mark.parametrize("where", ["flat", "by axis", "node"])
def test_a_sparse_tensor_that_was_not_compressed_is_sparse_again(where: str, tmp_path: Path) -> None:
    proto = with_sparse(SOME, where)
    result = gscompile.compile(proto, "16x16", out=tmp_path / "out", max_output_error=0)
    assert onnx.load(tmp_path / "out" / "model.onnx") == proto
    assert [layer.matrix.tolist() for layer in result.network.layers] == [SOME.tolist()]
    assert len(verify_again(tmp_path / "out")) == 5


@pytest.mark.parametrize("where", ["flat", "node"])
def test_large_models_are_written_as_faithfully(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAPPED", 1)
    monkeypatch.setattr(loading, "MIN_STREAMED_BYTES", 16)
    proto = with_sparse(SOME, where)
    proto.graph.initializer.append(numpy_helper.from_array(np.arange(10.0, dtype=np.float32), "bias"))
    notes(proto.graph.initializer[0], "z", "a")
    proto.graph.node[-1].output[0] = "h"
    proto.graph.node.append(helper.make_node("Add", ["h", "bias"], ["y"], "sum"))
    Network.from_proto(proto).save(tmp_path / "m.onnx")
    assert onnx.load(tmp_path / "m.onnx") == proto


@pytest.mark.parametrize("where", ["flat", "node"])
def test_a_sparse_tensor_that_was_compressed_is_two_dense_ones(where: str, tmp_path: Path) -> None:
    one = np.outer(np.arange(12) % 3 == 1, np.arange(10) % 2).astype(np.float32)  # of rank one
    before = with_sparse(one, where)
    after = gscompile.compile(before, "4x4", out=tmp_path / "out").network.to_proto()
    assert not after.graph.sparse_initializer
    assert {tuple(tensor.dims) for tensor in after.graph.initializer} == {(12, 1), (1, 10)}
    feeds = feeds_for(before)
    np.testing.assert_allclose(outputs(after, feeds)["y"], outputs(before, feeds)["y"], atol=1e-5)
