"""A linear regression is a matrix like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import gscompile
from gscompile.data.dataset import Batch
from gscompile.graph.network import Network
from gscompile.judging.verify import verify_again
from gscompile.scoring.runner import Runner, max_output_error


def test_a_linear_regression_is_a_gemm_of_its_coefficients() -> None:
    node = helper.make_node(
        "LinearRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        coefficients=[1.0, 2, 3, 4],
        intercepts=[5.0, 6],
        targets=2,
    )
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    proto = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=imports, ir_version=8)
    network, fed = Network.from_proto(proto), {"x": np.array([[1, 10]], np.float32)}
    (layer,) = network.layers
    assert layer.matrix.tolist() == [[1, 3], [2, 4]]
    assert Runner(proto.SerializeToString())(fed)["y"].tolist() == Runner(network)(fed)["y"].tolist() == [[26, 49]]
    assert proto.graph.node[0].op_type == "LinearRegressor"
    onnx.checker.check_model(network.to_proto(), full_check=True)


FEATURES, CLASSES = 5, 3
RNG = np.random.default_rng(0)
MATRIX = RNG.standard_normal((CLASSES, FEATURES)).astype(np.float32).ravel().tolist()
VECTORS = RNG.standard_normal((4, FEATURES)).astype(np.float32).ravel().tolist()
INTS = {"classlabels_ints": [7, 8, 9]}
PAIRS = {"coefficients": [1.0, -1, 2, 0.5, 0.25, -2, 1, 1], "rho": [0.1, 0.2, 0.3], "vectors_per_class": [2, 1, 1]}
MODELS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    f"LinearClassifier {post}": (
        "LinearClassifier",
        {**INTS, "coefficients": MATRIX, "intercepts": [0.1, 0.2, -0.3], "post_transform": post},
        (FEATURES, CLASSES),
    )
    for post in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
} | {
    "two classes, one row": (
        "LinearClassifier",
        {"classlabels_strings": ["no", "yes"], "coefficients": MATRIX[:FEATURES], "intercepts": [0.1], "post_transform": "LOGISTIC"},
        (FEATURES, 1),
    ),
    "regression, softmax": (
        "LinearRegressor",
        {"targets": 3, "coefficients": MATRIX, "intercepts": [0.1, 0.2, -0.3], "post_transform": "SOFTMAX"},
        (FEATURES, CLASSES),
    ),
    "regression, no intercepts": ("LinearRegressor", {"targets": 3, "coefficients": MATRIX}, (FEATURES, CLASSES)),
    "support vector regression, linear": (
        "SVMRegressor",
        {"kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 3.0], "coefficients": MATRIX[:FEATURES], "rho": [0.5]},
        (FEATURES, 1),
    ),
    "support vectors, polynomial": (
        "SVMRegressor",
        {
            "kernel_type": "POLY", "kernel_params": [0.5, 1.0, 2.0], "coefficients": [1.0, -1, 2, 0.5], "rho": [0.5],
            "n_supports": 4, "support_vectors": VECTORS,
        },
        (FEATURES, 4),
    ),
    "support vector classification": (
        "SVMClassifier",
        {**INTS, **PAIRS, "kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 3.0], "support_vectors": VECTORS},
        (FEATURES, 4),
    ),
}  # fmt: skip


def linear_model(case: str, kind: int = TensorProto.FLOAT, sizes: tuple[int | str, ...] = ("n", FEATURES)) -> Any:
    op, attributes, _ = MODELS[case]
    labels = TensorProto.STRING if "classlabels_strings" in attributes else TensorProto.INT64
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if "Classifier" in op:
        outputs.insert(0, helper.make_tensor_value_info("label", labels, None))
    node = helper.make_node(op, ["x"], [value.name for value in outputs], domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, sizes)], outputs)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def same_answers(proto: onnx.ModelProto, network: Network, x: Any) -> None:
    wanted, got = (Runner(model)({"x": x}) for model in (proto.SerializeToString(), network))
    for name, values in wanted.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(got[name], values, rtol=1e-5, atol=1e-6)
        else:
            assert got[name].tolist() == values.tolist()


@pytest.mark.parametrize("case", MODELS)
def test_the_matrix_of_a_linear_model_is_a_layer(case: str) -> None:
    proto = linear_model(case)
    network = Network.from_proto(proto)
    assert [(layer.layout.inputs, layer.layout.outputs) for layer in network.layers] == [MODELS[case][2]]
    same_answers(proto, network, np.random.default_rng(1).standard_normal((6, FEATURES)).astype(np.float32))
    again = network.to_proto()
    assert Network.from_proto(again).to_proto() == again


def test_a_linear_model_of_doubles_reads_them_as_floats() -> None:
    proto = linear_model("LinearClassifier SOFTMAX", TensorProto.DOUBLE)
    same_answers(proto, Network.from_proto(proto), np.random.default_rng(1).standard_normal((6, FEATURES)))


def test_a_classifier_is_compiled_and_verified(tmp_path: Path) -> None:
    proto = linear_model("LinearClassifier SOFTMAX")
    result = gscompile.compile(proto, crossbar="64x64", out=tmp_path / "o")
    assert result.report.before.cells == FEATURES * CLASSES
    assert not result.report.untouched
    verify_again(tmp_path / "o")
    fed = [Batch({"x": RNG.standard_normal((4, FEATURES)).astype(np.float32)}, None)]
    assert max_output_error(Runner(tmp_path / "o" / "model.onnx"), Runner(proto.SerializeToString()), fed) < 0.01


def test_what_is_not_mapped_is_named_beside_other_matrices(tmp_path: Path) -> None:
    proto = linear_model("support vectors, polynomial")
    kernel = next(a for a in proto.graph.node[0].attribute if a.name == "kernel_type")
    kernel.s = b"RBF"
    weight = onnx.numpy_helper.from_array(np.eye(FEATURES, dtype=np.float32), "w")
    proto.graph.initializer.append(weight)
    proto.graph.node.insert(0, helper.make_node("MatMul", ["x", "w"], ["h"]))
    proto.graph.node[1].input[0] = "h"
    result = gscompile.compile(proto, crossbar="64x64", out=tmp_path / "o")
    assert "weights in attributes of SVMRegressor are not mapped" in result.report.messages
