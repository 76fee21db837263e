"""Layer 2: an op that ONNX defines as a function of other ops is run as that function.

Source: the schemas of the installed `onnx`. Some bodies depend on the types of the inputs, so a body is made when the
first inputs of a kind arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import onnx_ir as ir

from gscompile.execute.block import Env
from gscompile.execute.node import NodeInfo
from gscompile.execute.plan import Plan
from gscompile.execute.proto import node_proto, type_proto

PlanFunction = Callable[[ir.Function, Mapping[str, ir.Attr]], Plan]


class FunctionBody:
    """One node run as the function body of its op, expanded for the types at hand."""

    def __init__(self, node: NodeInfo, schema: onnx.defs.OpSchema, plan: PlanFunction) -> None:
        self.node = node
        self.schema = schema
        self.plan = plan
        self.plans: dict[bytes, Plan] = {}

    def __call__(self, env: Env, arguments: Sequence[Any]) -> tuple[Any, ...]:
        types = [type_proto(argument).SerializeToString() for argument in arguments]
        key = b"|".join(types)
        if key not in self.plans:
            self.plans[key] = self.plan(*self._body(arguments, types))
        plan = self.plans[key]
        missing = [None] * (len(plan.inputs) - len(arguments))
        return tuple(plan.run(env, [*arguments, *missing]))

    def _body(self, arguments: Sequence[Any], types: list[bytes]) -> tuple[ir.Function, Mapping[str, ir.Attr]]:
        function = onnx.FunctionProto()
        function.ParseFromString(self._serialized(arguments, types))
        defaults = {
            name: ir.serde.deserialize_attribute(attribute.default_value)
            for name, attribute in self.schema.attributes.items()
            if attribute.default_value.name
        }
        return ir.serde.deserialize_function(function), {**defaults, **self.node.raw}

    def _serialized(self, arguments: Sequence[Any], types: list[bytes]) -> bytes:
        schema, version = self.schema, self.node.version
        if schema.has_function:
            return schema.get_function_with_opset_version(_closest(schema.function_opset_versions, version))
        version = _closest(schema.context_dependent_function_opset_versions, version)
        proto = node_proto(self.node, [argument is not None for argument in arguments])
        return schema.get_context_dependent_function_with_opset_version(version, proto.SerializeToString(), types)


def schema_with_body(node: NodeInfo) -> onnx.defs.OpSchema | None:
    """The schema of the node's op, where ONNX defines the op as a function."""
    if not onnx.defs.has(node.op_type, node.domain):
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, node.version, node.domain)
    except onnx.defs.SchemaError:  # the op is younger than the model's opset
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def _closest(versions: Sequence[int], version: int) -> int:
    """A body says which opsets its own nodes have, so one that is newer than the model still runs."""
    return max((known for known in versions if known <= version), default=min(versions))
