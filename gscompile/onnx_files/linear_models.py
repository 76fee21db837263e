"""Linear regression of ai.onnx.ml, written as the Gemm that it is: its matrix is in an attribute."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

DOMAIN = "ai.onnx.ml"
IN_ATTRIBUTES = ("LinearRegressor", "LinearClassifier", "SVMRegressor", "SVMClassifier")  # ops with matrices in them


def write_out_regressors(proto: onnx.ModelProto) -> None:
    """Replace, in place, each LinearRegressor of the main graph by a Gemm of the same numbers.

    Only where the input is known to be a float matrix [n, features] and nothing is done to the result.
    """
    if not any(node.op_type == "LinearRegressor" and node.domain == DOMAIN for node in proto.graph.node):
        return
    matrices = _float_matrices(proto)
    for node in proto.graph.node:
        if node.op_type == "LinearRegressor" and node.domain == DOMAIN and node.input[0] in matrices:
            _write_out(proto.graph, node)


def _float_matrices(proto: onnx.ModelProto) -> set[str]:
    try:
        graph = onnx.shape_inference.infer_shapes(proto).graph
    except Exception:  # inference raises more than its own error
        graph = proto.graph
    infos = [(info.name, info.type.tensor_type) for info in (*graph.input, *graph.value_info)]
    return {name for name, kind in infos if kind.elem_type == onnx.TensorProto.FLOAT and len(kind.shape.dim) == 2}


def _write_out(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    coefficients, targets = np.asarray(said.get("coefficients", ()), np.float32), said.get("targets", 1)
    intercepts = np.asarray(said.get("intercepts", ()), np.float32)
    plain = said.get("post_transform", b"NONE") == b"NONE" and targets >= 1
    if not plain or not coefficients.size or coefficients.size % targets or intercepts.size not in (0, targets):
        return
    names = [f"{node.output[0]}_coefficients"] + ([f"{node.output[0]}_intercepts"] if intercepts.size else [])
    taken = {name for n in graph.node for name in n.output} | {v.name for v in (*graph.input, *graph.initializer)}
    if taken & set(names):
        return
    arrays = (coefficients.reshape(targets, -1), intercepts)
    graph.initializer.extend(numpy_helper.from_array(a, name) for a, name in zip(arrays, names, strict=False))
    gemm = helper.make_node("Gemm", [node.input[0], *names], [node.output[0]], node.name or None, transB=1)
    node.CopyFrom(gemm)
