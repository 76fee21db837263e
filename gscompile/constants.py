"""Values of a graph that do not depend on its inputs, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

# A node computes the same for the same inputs unless it draws random numbers or carries a graph.
_NOT_PURE = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
_FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}


def is_float(dtype: ir.DataType | None) -> bool:
    """A floating type wide enough to hold a trained weight."""
    return dtype in _FLOATS


def held_tensor(value: ir.Value) -> ir.TensorProtocol | None:
    """The tensor of an initializer or of a `Constant` node; None for anything computed or fed."""
    if value.is_initializer():
        return value.const_value
    producer = value.producer()
    if producer is not None and producer.op_type == "Constant" and "value" in producer.attributes:
        return producer.attributes["value"].as_tensor()
    return None


def behind_identity(value: ir.Value) -> ir.Value:
    """The value that `Identity` nodes hand on as `value`: tied weights have one root."""
    producer = value.producer()
    while producer is not None and producer.op_type == "Identity" and producer.domain in ("", "ai.onnx"):
        source = producer.inputs[0]
        assert source is not None
        value, producer = source, source.producer()
    return value


def is_constant(value: ir.Value | None) -> bool:
    """Whether nothing that is fed, random or nested decides `value`. An absent input counts as constant."""
    pending, seen = [value], set[ir.Value]()
    while pending:
        current = pending.pop()
        if current is None or current in seen or held_tensor(current) is not None:
            continue
        seen.add(current)
        producer = current.producer()
        if producer is None or not _pure(producer):
            return False
        pending.extend(producer.inputs)
    return True


def _pure(node: ir.Node) -> bool:
    nested = any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())
    return node.op_type not in _NOT_PURE and not nested and node.domain in ("", "ai.onnx")


def constant_array(value: ir.Value, opset: int) -> NDArray[np.generic] | None:
    """What a constant value holds, computed by ONNX's reference where it is derived; None if it is not constant."""
    held = held_tensor(value)
    if held is not None:
        return held.numpy()
    producer = value.producer()
    if producer is None or not is_constant(value):
        return None
    return evaluate(producer, opset)[value.index() or 0]


def evaluate(node: ir.Node, opset: int) -> list[NDArray[np.generic]]:
    """Outputs of a node all of whose inputs are constant."""
    feeds = {v.name or "": constant_array(v, opset) for v in node.inputs if v is not None}
    proto = ir.to_proto(node)
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output if name]
    inputs = [onnx.ValueInfoProto(name=name) for name in feeds]
    graph = onnx.helper.make_graph([proto], "constant", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, feeds)]


def constant_nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """Nodes that compute from constants alone, in graph order; `Constant` nodes themselves are left out."""
    known = set[ir.Value]()
    for node in graph:
        if node.op_type == "Constant" or not _pure(node):
            continue
        if all(v is None or v in known or held_tensor(v) is not None for v in node.inputs) and any(node.inputs):
            known.update(node.outputs)
            yield node
