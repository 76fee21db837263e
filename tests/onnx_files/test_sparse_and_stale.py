"""A declared shape that is wrong is corrected in a model with sparse tensors too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import gscompile


def test_a_wrong_shape_beside_a_sparse_weight_is_corrected(tmp_path: Path) -> None:
    """x w is [n, 4]; twice side by side it has 8 columns, and 77 are declared."""
    held, places = np.ones(1, np.float32), np.zeros(1, np.int64)
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(held, "w"), numpy_helper.from_array(places, "places"), (4, 4)
    )
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Concat", ["a", "a"], ["b"], axis=1),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", TensorProto.FLOAT, ["n", 4])],
        [info("y", TensorProto.FLOAT, ["n", 8])],
        sparse_initializer=[sparse],
        value_info=[info("b", TensorProto.FLOAT, ["n", 77])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    result = gscompile.compile(proto, "4x4", out=tmp_path / "out", max_output_error=0)
    assert result.report.messages[0] == "declared shapes contradict shape inference and are corrected: 'b'"
