"""Linear models and support vector machines of ai.onnx.ml: their matrix, in an attribute, as a product before them.

| op | matrix [inputs, outputs] | what stays in the op |
|---|---|---|
| LinearRegressor, LinearClassifier | coefficients [features, targets], intercepts | labels, post_transform |
| SVMRegressor, SVMClassifier | coefficients [features, classes] | labels, rho, post_transform |
| the same with support vectors | support vectors [features, vectors] | coefficients, kernel, labels, post_transform |

The op then reads the product, and the identity takes the place of the matrix in its attribute. A kernel that is no
function of the product (RBF) leaves the op as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from gscompile.onnx_files.constants import nodes_of
from gscompile.onnx_files.op_names import STANDARD_DOMAINS
from gscompile.onnx_files.roundtrip import graphs_in

DOMAIN = "ai.onnx.ml"
IN_ATTRIBUTES = ("LinearRegressor", "LinearClassifier", "SVMRegressor", "SVMClassifier")  # ops with matrices in them
LARGEST_IDENTITY = 1 << 20  # elements that may take the place of a matrix
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LinearModel:
    """A matrix [outputs, inputs], a bias or none, and the attribute that the matrix was in."""

    attribute: str
    matrix: Floats
    bias: Floats | None = None


def write_out_linear_models(proto: onnx.ModelProto) -> None:
    """Put, in place, a product before each linear model of the main graph; a plain regression becomes the product."""
    found = [node for node in proto.graph.node if node.domain == DOMAIN and node.op_type in IN_ATTRIBUTES]
    products = [(node, product) for node in found if (product := _product(node)) is not None]
    if not products or not any(entry.domain in STANDARD_DOMAINS for entry in proto.opset_import):
        return
    inferred, names = _Inferred(proto), _FreshNames(proto)
    for node, product in products:
        if inferred.rank(node.input[0]) in (None, 1, 2):
            _write_out(proto, node, product, inferred, names)


def unmapped_models(graph: ir.Graph) -> list[str]:
    """Return the ops, by name, whose matrices are still in their attributes."""
    nodes = [node for node in nodes_of(graph) if node.domain == DOMAIN and node.op_type in IN_ATTRIBUTES]
    return sorted({node.op_type for node in nodes if not holds_identity(node)})


def holds_identity(node: ir.Node) -> bool:
    """Return whether a linear model multiplies by the identity only."""
    name = "support_vectors" if node.attributes.get("support_vectors") else "coefficients"
    return is_identity(np.asarray(node.attributes[name].as_floats() if name in node.attributes else ()))


def is_identity(held: NDArray[Any]) -> bool:
    """Return whether numbers are those of an identity matrix, row by row."""
    side = round(held.size**0.5)
    return side * side == held.size > 0 and np.array_equal(held.reshape(side, side), np.eye(side))


def _product(node: onnx.NodeProto) -> LinearModel | None:
    """The product that a node computes first, or None."""
    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    coefficients, vectors, bias = (
        np.asarray(said.get(name, ()), np.float32) for name in ("coefficients", "support_vectors", "intercepts")
    )
    if said.get("kernel_type", b"LINEAR") == b"RBF":
        return None
    if node.op_type == "LinearRegressor":
        return _of_rows("coefficients", coefficients, said.get("targets", 1), bias)
    if node.op_type == "LinearClassifier":
        return _of_rows("coefficients", coefficients, bias.size, bias)
    if vectors.size:
        per_class = said.get("vectors_per_class", ())
        return _of_rows("support_vectors", vectors, sum(per_class) if per_class else said.get("n_supports", 0))
    labels = [*said.get("classlabels_ints", ()), *said.get("classlabels_strings", ())]
    return _of_rows("coefficients", coefficients, len(labels) if node.op_type == "SVMClassifier" else 1)


def _of_rows(attribute: str, held: Floats, rows: int, bias: Floats | None = None) -> LinearModel | None:
    fits = rows >= 1 and held.size and held.size % rows == 0 and rows * rows <= LARGEST_IDENTITY
    if not fits or (bias is not None and bias.size not in (0, rows)):
        return None
    if is_identity(held) and (bias is None or not bias.any()):  # it was written out before
        return None
    return LinearModel(attribute, held.reshape(rows, -1), bias if bias is not None and bias.size else None)


class _Inferred:
    """What ONNX's shape inference knows of the values of the main graph."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        try:
            graph = onnx.shape_inference.infer_shapes(proto).graph
        except Exception:  # inference raises more than its own error
            graph = proto.graph
        infos = (*graph.input, *graph.value_info, *graph.output)
        self._types = {info.name: info.type.tensor_type for info in infos if info.type.HasField("tensor_type")}

    def rank(self, name: str) -> int | None:
        kind = self._types.get(name)
        return len(kind.shape.dim) if kind is not None and kind.HasField("shape") else None

    def is_float(self, name: str) -> bool:
        return name in self._types and self._types[name].elem_type == onnx.TensorProto.FLOAT


class _FreshNames:
    """Names that are free in every graph of a model."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._taken = {name for _, graph in graphs_in(proto.graph) for name in _names(graph)}

    def free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in (*graph.input, *graph.initializer))
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        yield from (node.name, *node.output)


def _write_out(
    proto: onnx.ModelProto, node: onnx.NodeProto, product: LinearModel, inferred: _Inferred, names: _FreshNames
) -> None:
    at, before = [*proto.graph.node].index(node), []
    label, data = node.name or next(filter(None, node.output), "") or node.op_type, node.input[0]
    if not inferred.is_float(data):
        before.append(helper.make_node("Cast", [data], [names.free(f"{label}_float")], to=onnx.TensorProto.FLOAT))
    if inferred.rank(data) != 2:
        sizes = _hold(proto, names.free(f"{label}_sizes"), np.array([-1, product.matrix.shape[1]], np.int64))
        source = before[-1].output[0] if before else data
        before.append(helper.make_node("Reshape", [source, sizes], [names.free(f"{label}_rows")]))
    source = before[-1].output[0] if before else data
    weight = names.free(f"{label}_{product.attribute}")
    if product.bias is None:
        inputs, op = [source, _hold(proto, weight, product.matrix.T)], "MatMul"
    else:
        bias = _hold(proto, names.free(f"{label}_intercepts"), product.bias)
        inputs, op = [source, _hold(proto, weight, product.matrix), bias], "Gemm"
    turned: dict[str, Any] = {"transB": 1} if op == "Gemm" else {}
    if _is_plain(node):
        made = helper.make_node(op, inputs, [node.output[0]], node.name or None, **turned)
        node.CopyFrom(made)
    else:
        made = helper.make_node(op, inputs, [names.free(f"{label}_product")], names.free(f"{label}_product"), **turned)
        before.append(made)
        _multiply_by_identity(node, product)
        node.input[0] = made.output[0]
    for number, each in enumerate(before):
        proto.graph.node.insert(at + number, each)


def _is_plain(node: onnx.NodeProto) -> bool:
    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return node.op_type == "LinearRegressor" and said.get("post_transform", b"NONE") == b"NONE"


def _hold(proto: onnx.ModelProto, name: str, array: NDArray[Any]) -> str:
    proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    if proto.ir_version < 4:  # before, an initializer is an input as well
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        proto.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    return name


def _multiply_by_identity(node: onnx.NodeProto, product: LinearModel) -> None:
    size = len(product.matrix)
    for attribute in node.attribute:
        if attribute.name == product.attribute:
            del attribute.floats[:]
            attribute.floats.extend(np.eye(size, dtype=np.float32).ravel().tolist())
        elif attribute.name == "intercepts":
            del attribute.floats[:]
            attribute.floats.extend([0.0] * size)
