"""Run an op that ONNX defines as a function of other ops as that function (layer 2).

Source: the schemas of the installed `onnx`. Some bodies depend on the types of the inputs, so a body is made
when the first inputs of a kind arrive.
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

Schema = Any  # onnx.defs.OpSchema, whose type stub leaves out the functions
PlanFunction = Callable[[ir.Function, Mapping[str, ir.Attr]], Plan]


class FunctionBody:
    """One node run as the function body of its op, expanded for the types at hand."""

    def __init__(self, node: NodeInfo, schema: Schema, plan: PlanFunction) -> None:
        self.node = node
        self.schema = schema
        self.plan = plan
        self.plans: dict[tuple[bytes, ...], tuple[Plan, list[int]]] = {}
        self.needs_shapes = False

    def __call__(self, env: Env, arguments: Sequence[Any]) -> tuple[Any, ...]:
        types = tuple(type_proto(argument, self.needs_shapes).SerializeToString() for argument in arguments)
        if types not in self.plans:
            function = self._function(types)
            if not function.node and not self.needs_shapes:
                self.needs_shapes = True  # most bodies are content with ranks, and then serve all shapes
                return self(env, arguments)
            self.plans[types] = self._planned(function)
        plan, places = self.plans[types]
        missing = [None] * (len(plan.inputs) - len(arguments))
        outputs: list[Any] = [None] * len(self.node.wanted)
        for place, value in zip(places, plan.run(env, [*arguments, *missing]), strict=True):
            outputs[place] = value
        return tuple(outputs)

    def _planned(self, function: onnx.FunctionProto) -> tuple[Plan, list[int]]:
        """Return the plan of a body, and which outputs of the node it computes (it may leave out optional ones)."""
        if not function.node:
            raise NotImplementedError
        made = {name for node in function.node for name in node.output}.union(function.input)
        places = [n for n, wanted in enumerate(self.node.wanted) if wanted and function.output[n] in made]
        outputs = [function.output[n] for n in places]
        del function.output[:]
        function.output.extend(outputs)
        return self.plan(ir.serde.deserialize_function(function), {**self._defaults(), **self.node.raw}), places

    def _defaults(self) -> dict[str, ir.Attr]:
        return {
            name: ir.serde.deserialize_attribute(attribute.default_value)
            for name, attribute in self.schema.attributes.items()
            if attribute.default_value.name
        }

    def _function(self, types: Sequence[bytes]) -> onnx.FunctionProto:
        """Return the body for inputs of these types (serialized); without nodes where ONNX has none for them."""
        schema, version = self.schema, self.node.version
        if schema.has_function:
            data = schema.get_function_with_opset_version(_closest(schema.function_opset_versions, version))
        else:
            version = _closest(schema.context_dependent_function_opset_versions, version)
            node = node_proto(self.node, [bool(kind) for kind in types]).SerializeToString()
            data = schema.get_context_dependent_function_with_opset_version(version, node, list(types))
        function = onnx.FunctionProto()
        function.ParseFromString(data)
        return function


def schema_with_body(node: NodeInfo) -> Schema | None:
    """Return the schema of the node's op, where ONNX defines the op as a function."""
    if not onnx.defs.has(node.op_type, node.domain):
        return None
    try:
        schema: Schema = onnx.defs.get_schema(node.op_type, node.version, node.domain)
    except onnx.defs.SchemaError:  # the op is younger than the model's opset
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def _closest(versions: Sequence[int], version: int) -> int:
    """Return the newest body up to `version`, else the oldest: a body names its own opsets, so it still runs."""
    return max((known for known in versions if known <= version), default=min(versions))
