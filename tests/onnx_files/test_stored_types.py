"""Weights of every floating type, in every place, are compressed and written back as what they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import gscompile
from tests.small_networks import model

RANK_2 = (np.arange(24)[:, None] % 5 - 2) * np.ones((1, 20)) + np.ones((24, 1)) * (np.arange(20) % 3)
PLACES = {
    "float": "g (float[n,24] x) => (float[n,20] y) <float[24,20] w> { y = MatMul (x, w) }",
    "double": "g (double[n,24] x) => (double[n,20] y) <double[24,20] w> { y = MatMul (x, w) }",
    "half": "g (float16[n,24] x) => (float16[n,20] y) <float16[24,20] w> { y = MatMul (x, w) }",
    "half behind a cast": """g (float[n,24] x) => (float[n,20] y) <float16[24,20] w>
        { v = Cast <to = 1> (w)  y = MatMul (x, v) }""",
    "bfloat16 behind a cast": """g (float[n,24] x) => (float[n,20] y) <bfloat16[24,20] w>
        { v = Cast <to = 1> (w)  y = MatMul (x, v) }""",
    "turned": """g (float[n,20] x) => (float[n,24] y) <float[24,20] w>
        { v = Transpose (w)  y = MatMul (x, v) }""",
    "tied": """g (float[n,24] x) => (float[n,20] y, float[n,20] z) <float[24,20] w>
        { v = Identity (w)  a = Neg (x)  y = MatMul (x, v)  z = MatMul (a, w) }""",
    "dequantised": """g (float[n,24] x) => (float[n,20] y) <int8[24,20] w, float s, int8 o>
        { v = DequantizeLinear (w, s, o)  y = MatMul (x, v) }""",
    "integers by a factor": """g (float[n,24] x) => (float[n,20] y) <int8[24,20] w, float[20] s>
        { c = Cast <to = 1> (w)  v = Mul (c, s)  y = MatMul (x, v) }""",
    "shared": """g (float[n,24] x) => (float[n,20] y, float[n,20] z) <float[24,20] w>
        { a = Neg (x)  y = MatMul (x, w)  z = MatMul (a, w) }""",
    "in both branches": """g (float[n,24] x, bool c) => (float[n,20] y) <float[24,20] w> {
        y = If (c) <then_branch = t () => (float[n,20] a) { a = MatMul (x, w) },
            else_branch = e () => (float[n,20] b) { d = Neg (x)  b = MatMul (d, w) }> }""",
    "in a scan": """g (float[n,3,24] x) => (float[n,3,20] y) <float[24,20] w> {
        y = Scan <num_scan_inputs = 1, body = b (float[3,24] s) => (float[3,20] o) { o = MatMul (s, w) }> (x) }""",
    "in a loop": """g (float[n,24] x, int64 m) => (float[n,20] y) <float[24,20] w> {
        t = Constant <value = bool {1}> ()
        z = MatMul (x, w)
        y = Loop (m, t, z) <body = b (int64 i, bool c, float[n,20] p) => (bool d, float[n,20] q)
            { d = Identity (c)  o = MatMul (x, w)  q = Add (p, o) }> }""",
}


def test_what_onnxruntime_does_not_compute_in_a_type_is_mapped_and_keeps_it(tmp_path: Path) -> None:
    proto = model(PLACES["float"].replace("float", "bfloat16"), w=RANK_2)
    result = gscompile.compile(proto, out=tmp_path / "out")
    assert "an op that onnxruntime does not run" in result.report.messages[0]
    assert result.report.drift is None
    assert result.network.to_proto().graph.initializer == proto.graph.initializer
    assert result.network.layers[0].matrix.tolist() == RANK_2.tolist()  # small whole numbers are exact


@pytest.mark.parametrize("place", PLACES)
def test_a_matrix_of_rank_two_is_found_wherever_it_is(place: str, tmp_path: Path) -> None:
    turned = RANK_2.T.reshape(24, 20) if place == "turned" else RANK_2
    proto = model(PLACES[place], w=turned if place != "turned" else RANK_2, s=np.array(0.5), o=np.array(0))
    result = gscompile.compile(proto, "8x8", out=tmp_path / "out")
    if place != "integers by a factor":  # its columns have factors of their own
        assert result.report.after.cells == 2 * (24 + 20)
    assert result.report.drift is not None
    assert result.report.drift <= 0.01
    kinds = {t.data_type for t in result.network.to_proto().graph.initializer if len(t.dims) == 2}
    wanted = {"double": onnx.TensorProto.DOUBLE, "half": onnx.TensorProto.FLOAT16}.get(place, onnx.TensorProto.FLOAT)
    assert wanted in kinds


def in_a_constant_node(proto: onnx.ModelProto, folder: Path) -> None:  # noqa: ARG001
    (tensor,) = proto.graph.initializer
    proto.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], "made", value=tensor))
    proto.graph.ClearField("initializer")


def sparse(proto: onnx.ModelProto, folder: Path) -> None:  # noqa: ARG001
    (tensor,) = proto.graph.initializer
    array = onnx.numpy_helper.to_array(tensor)
    values = onnx.numpy_helper.from_array(array[array != 0], "w")
    places = onnx.numpy_helper.from_array(np.flatnonzero(array), "places")
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, array.shape))
    proto.graph.ClearField("initializer")


def in_a_branch_of_its_own(proto: onnx.ModelProto, folder: Path) -> None:  # noqa: ARG001
    (tensor,), (node,) = proto.graph.initializer, proto.graph.node
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 20])
    branch = onnx.helper.make_graph([node], "branch", [], [output], [tensor])
    proto.graph.input.append(onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []))
    choice = onnx.helper.make_node("If", ["c"], ["y"], "choice", then_branch=branch, else_branch=branch)
    proto.graph.ClearField("initializer")
    proto.graph.ClearField("node")
    proto.graph.node.append(choice)


def in_another_file(proto: onnx.ModelProto, folder: Path) -> None:
    onnx.save(proto, folder / "m.onnx", save_as_external_data=True, location="w.data", size_threshold=0)


@pytest.mark.parametrize("home", [in_a_constant_node, sparse, in_a_branch_of_its_own, in_another_file])
def test_a_matrix_of_rank_two_is_found_in_whatever_holds_it(
    home: Callable[[onnx.ModelProto, Path], None], tmp_path: Path
) -> None:
    proto = model(PLACES["float"], w=RANK_2)
    home(proto, tmp_path)
    path = tmp_path / "m.onnx"
    result = gscompile.compile(path if path.exists() else proto, "8x8", out=tmp_path / "out")
    copies = 2 if home is in_a_branch_of_its_own else 1
    assert result.report.before.cells == np.count_nonzero(RANK_2.any(0)) * np.count_nonzero(RANK_2.any(1)) * copies
    assert result.report.after.cells == 2 * (24 + 20) * copies
    assert result.report.drift is not None
    assert result.report.drift <= 1e-5


def test_a_classifier_in_half_precision_is_trained_on_eight_batches(tmp_path: Path) -> None:
    """Its smallest probabilities are zero in that type, of which no logarithm may be taken."""
    rng = np.random.default_rng(0)
    low = rng.standard_normal((24, 3)) @ rng.standard_normal((3, 20)) * 3
    proto = model(
        """g (float16[n,24] x) => (float16[n,20] y) <float16[24,20] w> { h = MatMul (x, w)  y = Softmax (h) }""", w=low
    )
    data = {"x": rng.standard_normal((256, 24)).astype(np.float16)}
    result = gscompile.compile(
        proto, out=tmp_path / "out", data=data, effort="quick", epochs_per_round=0.1, threads=1, seed=0
    )
    assert result.report.after.cells <= 3 * (24 + 20)
    assert all(np.isfinite(layer.matrix).all() for layer in result.network.layers)
    assert result.report.accuracy[0].after == 100
