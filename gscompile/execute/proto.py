"""A node as ONNX's own tools want it: a `NodeProto` with made-up edge names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir

from gscompile.execute.node import NodeInfo
from gscompile.execute.values import onnx_type


def node_proto(node: NodeInfo, present: Sequence[bool]) -> onnx.NodeProto:
    """Return the node with inputs i0, i1, ... ("" where absent) and outputs o0, o1, ... ("" where not wanted)."""
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, name=node.name)
    proto.input.extend(f"i{n}" if there else "" for n, there in enumerate(present))
    proto.output.extend(f"o{n}" if wanted else "" for n, wanted in enumerate(node.wanted))
    proto.attribute.extend(ir.serde.serialize_attribute(attribute) for attribute in node.raw.values())
    return proto


def type_proto(value: Any, with_shape: bool) -> onnx.TypeProto:
    """Return the type of a value: element type and rank or shape of a tensor; of a sequence, its first item's."""
    if value is None:
        return onnx.TypeProto()
    if isinstance(value, list):
        item = (
            type_proto(value[0], False) if value else onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
        )
        return onnx.helper.make_sequence_type_proto(item)
    shape = list(value.shape) if with_shape else [None] * value.ndim
    return onnx.helper.make_tensor_type_proto(onnx_type(value), shape)
