"""Values of a graph that do not depend on its inputs, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from gscompile.onnx_files.op_names import is_standard, kind

# A node computes the same for the same inputs unless it draws random numbers or carries a graph.
_NOT_PURE = {
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
}
_REFERENCE_KNOWS = {"DequantizeLinear": 19}  # the oldest version it has; older ones compute the same
MAX_DERIVED_ELEMENTS = 1 << 26  # elements: a derived constant beyond them is computed by onnxruntime only
MAX_SIZE_ELEMENTS = 64  # elements: what holds the sizes of something is no longer
_FLOAT_DATA_TYPES = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}


def is_float(dtype: ir.DataType | None) -> bool:
    """A floating type wide enough to hold a trained weight."""
    return dtype in _FLOAT_DATA_TYPES


def held_tensor(value: ir.Value) -> ir.TensorProtocol | None:
    """The tensor of an initializer or of a `Constant` node; None for anything computed or fed."""
    if value.is_initializer():
        return value.const_value
    producer = value.producer()
    if producer is None or kind(producer) != "Constant":
        return None
    return next((held for a in producer.attributes.values() if (held := _spelled_out(a)) is not None), None)


_SPELLED = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def _spelled_out(attribute: ir.Attr) -> ir.TensorProtocol | None:
    """The tensor of one attribute of a `Constant`, which may hold plain numbers; None for text and sparse ones."""
    held: Any = attribute.value  # not as_tensor(): its check of the type takes longer than all the rest
    if attribute.name == "value":
        return held  # type: ignore[no-any-return]
    dtype = _SPELLED.get(attribute.name)
    return None if dtype is None else ir.Tensor(np.asarray(held, dtype), name=None)


def nodes_of(graph: ir.Graph) -> Iterator[ir.Node]:
    """Every node of a graph and of the graphs inside it, each before those inside it."""
    for node in graph:
        yield node
        for inner in graphs_in(node):
            yield from nodes_of(inner)


def placed_nodes(graph: ir.Graph, path: str = "") -> Iterator[tuple[str, ir.Node]]:
    """The same, each behind the path of its subgraph: `choice/then_branch/` in a branch of the node `choice`."""
    for node in graph:
        yield path, node
        label = node.name or (node.outputs[0].name if node.outputs else "") or node.op_type
        for where, inner in _placed_graphs(node):
            yield from placed_nodes(inner, f"{path}{label}/{where}/")


def graphs_in(node: ir.Node) -> list[ir.Graph]:
    """The graphs that a node carries: branches, loop bodies."""
    return [graph for _, graph in _placed_graphs(node)] if node.attributes else []


def _placed_graphs(node: ir.Node) -> Iterator[tuple[str, ir.Graph]]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.name, attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from ((f"{attribute.name}.{i}", graph) for i, graph in enumerate(attribute.as_graphs()))


def behind_identity(value: ir.Value) -> ir.Value:
    """The value that `Identity` nodes hand on as `value`: tied weights have one root."""
    producer = value.producer()
    while producer is not None and kind(producer) == "Identity":
        source = producer.inputs[0]
        assert source is not None
        value, producer = source, source.producer()
    return value


def constant_values(graph: ir.Graph) -> frozenset[ir.Value]:
    """Every value, of the graph and of the graphs inside it, that nothing fed, random or nested decides."""
    nodes = list(nodes_of(graph))
    known = {value for g in (graph, *(g for n in nodes for g in graphs_in(n))) for value in g.initializers.values()}
    for node in nodes:
        held = kind(node) == "Constant" and bool(node.outputs) and held_tensor(node.outputs[0]) is not None
        if held or (_pure(node) and any(node.inputs) and all(v is None or v in known for v in node.inputs)):
            known.update(node.outputs)
    return frozenset(known)


def _pure(node: ir.Node) -> bool:
    return node.op_type not in _NOT_PURE and not graphs_in(node) and is_standard(node)


def constant_array(value: ir.Value, opset: int) -> NDArray[np.generic] | None:
    """What a value of `constant_values` holds, computed by ONNX's reference where it is derived; None for another."""
    held = held_tensor(value)
    if held is not None:
        return held.numpy()
    producer = value.producer()
    if producer is None or not _pure(producer) or not any(producer.inputs):
        return None
    try:
        return evaluate(producer, opset)[value.index() or 0]
    except Exception:  # the reference raises anything; what it cannot run is left to onnxruntime
        return None


def expected_size(node: ir.Node, opset: int) -> int:
    """Elements of the largest output of a node whose inputs are constant, as far as its small inputs tell; or 0."""
    feeds = {v.name or "": constant_array(v, opset) for v in node.inputs if v is not None}
    if any(array is None for array in feeds.values()):
        return 0
    try:
        return _expected_size(ir.to_proto(node), feeds, opset)
    except Exception:  # shape inference raises anything: the node is wrong, and onnxruntime will say how
        return 0


def evaluate(node: ir.Node, opset: int) -> list[NDArray[np.generic]]:
    """Outputs of a node all of whose inputs are constant."""
    feeds = {v.name or "": constant_array(v, opset) for v in node.inputs if v is not None}
    if any(array is None for array in feeds.values()):
        raise ValueError(f"{node.op_type} {node.name!r}: an input is not constant")
    if any(
        array is not None and not array.size and max(array.shape, default=0) > MAX_DERIVED_ELEMENTS
        for array in feeds.values()
    ):
        raise ValueError(f"{node.op_type} {node.name!r}: an input holds nothing, in more rows than memory likes")
    proto = ir.to_proto(node)
    for number, name in enumerate(proto.output):
        proto.output[number] = name or f"unused:{number}"
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output]
    since = max(opset, _REFERENCE_KNOWS.get(node.op_type, 0))
    model = _model_of(proto, [onnx.ValueInfoProto(name=name) for name in feeds], outputs, since)
    if _expected_size(proto, feeds, opset) > max(
        MAX_DERIVED_ELEMENTS, 4 * sum(array.size for array in feeds.values() if array is not None)
    ):
        raise ValueError(f"{node.op_type} {node.name!r}: makes more of its inputs than memory likes")
    return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, feeds)]


def _model_of(
    node: onnx.NodeProto, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], opset: int
) -> onnx.ModelProto:
    graph = onnx.helper.make_graph([node], "constant", inputs, outputs)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])


def _expected_size(node: onnx.NodeProto, feeds: dict[str, Any], opset: int) -> int:
    """Elements of the largest output, by shape inference: a small file may ask for a constant of any size."""
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    model = _model_of(node, inputs, [], opset)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(a, name) for name, a in feeds.items() if a.size <= MAX_SIZE_ELEMENTS
    )
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output)
    outputs = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output
    return max((prod(d.dim_value for d in v.type.tensor_type.shape.dim) for v in outputs), default=0)
