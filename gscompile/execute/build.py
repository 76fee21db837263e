"""Build a block from an ONNX graph: parse attributes, collect constants and choose layers, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from gscompile.errors import ExecutionError
from gscompile.execute.block import Call, Env, TorchLayer, TrainableBlock
from gscompile.execute.families import find, find_control
from gscompile.execute.functions import FunctionBody, schema_with_body
from gscompile.execute.node import NodeInfo
from gscompile.execute.plan import Plan, make_plan
from gscompile.execute.reference import ReferenceOp
from gscompile.execute.table import OpFunction
from gscompile.execute.values import from_ir
from gscompile.onnx_files.op_names import is_standard

RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


@dataclass
class Store:
    """Everything that outlives a run: constants and weights by value, and the plans made so far."""

    trainable: Mapping[ir.Value, nn.Parameter] = field(default_factory=dict)
    constants: dict[ir.Value, Any] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    plans: list[Plan] = field(default_factory=list)

    def add(self, value: ir.Value, make: Callable[[], Any]) -> None:
        """Enter a constant; a weight that trains is entered as its parameter."""
        if value not in self.constants:
            self.constants[value] = self.trainable[value] if value in self.trainable else make()

    def plan(self, block: TrainableBlock, extra: Sequence[ir.Value] = ()) -> Plan:
        """Return a plan of the block, remembered so that its folded values can be dropped."""
        self.plans.append(make_plan(block, extra))
        return self.plans[-1]

    def move(self, fn: Callable[[torch.Tensor], torch.Tensor], parameters: Sequence[nn.Parameter]) -> None:
        """Follow a `Module.to`: `fn` is applied to the constants, and folded values are computed anew."""
        self.trainable = dict(zip(self.trainable, parameters, strict=True))
        moved = {value: fn(t) if isinstance(t, torch.Tensor) else t for value, t in self.constants.items()}
        self.constants.update(moved)
        self.constants.update(self.trainable)
        self.device = fn(torch.empty(0, device=self.device)).device
        for plan in self.plans:
            plan.forget()


@dataclass
class Builder:
    """Builds blocks for one scope of opsets and attribute values (a function body has its own)."""

    store: Store
    functions: Mapping[ir.OperatorIdentifier, ir.Function]
    opsets: Mapping[str, int]
    attributes: Mapping[str, ir.Attr] = field(default_factory=dict)

    def block(self, graph: ir.Graph | ir.Function) -> TrainableBlock:
        """Return the block of a graph, a subgraph or a function body."""
        for value in getattr(graph, "initializers", {}).values():
            self._add_initializer(value)
        calls = [call for node in graph if (call := self._call(node)) is not None]
        inputs = [value for value in graph.inputs if value not in self.store.constants]
        return TrainableBlock(inputs, graph.outputs, calls, self.store.constants)

    def function(self, function: ir.Function, attributes: Mapping[str, ir.Attr]) -> TrainableBlock:
        """Return the block of a function called with `attributes`."""
        defaults = {name: attribute for name, attribute in function.attributes.items() if attribute.value is not None}
        return Builder(self.store, self.functions, function.opset_imports, {**defaults, **attributes}).block(function)

    def _plan_of(self, function: ir.Function, attributes: Mapping[str, ir.Attr]) -> Plan:
        return self.store.plan(self.function(function, attributes))

    def _add_initializer(self, value: ir.Value) -> None:
        tensor = value.const_value
        if tensor is None:
            raise ExecutionError(f"initializer '{value.name}' has no data")
        self.store.add(value, lambda: from_ir(tensor, self.store.device))

    def _call(self, node: ir.Node) -> Call | None:
        """Return the call of a node; a `Constant` is entered among the constants instead."""
        domain = "" if is_standard(node) else node.domain
        raw = self._resolved(node)
        if (domain, node.op_type) == ("", "Constant") and not _has_references(node):
            self.store.add(node.outputs[0], lambda: constant(raw, self.store.device))
            return None
        attributes = {name: self._parsed(attribute) for name, attribute in raw.items()}
        wanted = tuple(_is_read(value) for value in node.outputs)
        version = self.opsets.get(node.domain, self.opsets.get(domain, 1))
        last = any(value.is_graph_output() for value in node.outputs)
        info = NodeInfo(
            op_type=node.op_type,
            domain=domain,
            version=version,
            name=node.name or "",
            attributes=attributes,
            wanted=wanted,
            raw=raw,
            last=last,
        )
        return self._with_layers(info, node)

    def _with_layers(self, info: NodeInfo, node: ir.Node) -> Call:
        if info.op_type == "Constant" and not info.domain:  # each call of a function has its own value for it
            return Call(info, node, [lambda _env, _arguments: constant(info.raw, self.store.device)])
        local = self.functions.get(node.op_identifier())
        if local is not None:
            body = self.function(local, info.raw)
            return Call(info, node, [_call_block(self.store.plan(body))], [body])
        layers: list[TorchLayer] = []
        blocks = [block for value in info.attributes.values() for block in _blocks(value)]
        if (control := find_control(info.domain, info.op_type, info.version)) is not None:
            layers.append(_run_control(control, info, {block: self.store.plan(block) for block in blocks}))
        if (function := find(info.domain, info.op_type, info.version)) is not None:
            layers.append(_run_function(function, info))
        if (schema := schema_with_body(info)) is not None:
            layers.append(FunctionBody(info, schema, self._plan_of))
        reference = ReferenceOp(info)
        if not layers and not reference.known(len(node.inputs)):
            raise ExecutionError(f"{info} (domain '{info.domain}', opset {info.version}): nobody here knows this op")
        return Call(info, node, [*layers, reference], blocks, pure=info.op_type not in RANDOM)

    def _resolved(self, node: ir.Node) -> dict[str, ir.Attr]:
        """Return the node's attributes, references to attributes of the function replaced by what they refer to."""
        resolved = {}
        for name, attribute in node.attributes.items():
            if not attribute.is_ref():
                resolved[name] = attribute
            elif (actual := self.attributes.get(attribute.ref_attr_name or "")) is not None:
                resolved[name] = ir.Attr(name, actual.type, actual.value)
        return resolved

    def _parsed(self, attribute: ir.Attr) -> Any:
        """Return the Python value of an attribute."""
        if attribute.type == ir.AttributeType.TENSOR:
            return from_ir(attribute.as_tensor(), self.store.device)
        if attribute.type == ir.AttributeType.GRAPH:
            return self.block(attribute.as_graph())
        if attribute.type == ir.AttributeType.GRAPHS:
            return [self.block(graph) for graph in attribute.as_graphs()]
        return attribute.value


def _has_references(node: ir.Node) -> bool:
    return any(attribute.is_ref() for attribute in node.attributes.values())


def _is_read(value: ir.Value) -> bool:
    """Return the first output always (it may be captured); others cost time, so only where someone reads them."""
    return bool(value.name) and (value.index() == 0 or bool(value.uses()) or value.is_graph_output())


def _blocks(value: Any) -> list[TrainableBlock]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, TrainableBlock)]
    return [value] if isinstance(value, TrainableBlock) else []


def constant(attributes: Mapping[str, ir.Attr], device: torch.device) -> Any:
    """Return the value of a `Constant` node, in any of its spellings."""
    ((name, attribute),) = attributes.items()
    if name == "value":
        return from_ir(attribute.as_tensor(), device)
    if name in ("value_string", "value_strings"):
        return np.array(attribute.value, dtype=object)
    types = {
        "value_int": torch.int64,
        "value_ints": torch.int64,
        "value_float": torch.float32,
        "value_floats": torch.float32,
    }
    if name not in types:
        raise ExecutionError(f"Constant with '{name}': write it as a dense 'value'")
    return torch.tensor(attribute.value, dtype=types[name], device=device)


def _run_function(function: OpFunction, info: NodeInfo) -> TorchLayer:
    def layer(_env: Env, arguments: Sequence[Any]) -> Any:
        # Handle element types that torch lacks and numpy may have.
        if any(hasattr(argument, "__array_interface__") for argument in arguments):
            raise NotImplementedError
        return function(info, *arguments)

    return layer


def _run_control(function: OpFunction, info: NodeInfo, plans: Mapping[TrainableBlock, Plan]) -> TorchLayer:
    def layer(env: Env, arguments: Sequence[Any]) -> Any:
        def run(block: TrainableBlock, *inputs: Any) -> list[Any]:
            return plans[block].run(env, inputs)

        return function(info, run, *arguments)

    return layer


def _call_block(plan: Plan) -> TorchLayer:
    def layer(env: Env, arguments: Sequence[Any]) -> tuple[Any, ...]:
        missing = [None] * (len(plan.inputs) - len(arguments))
        return tuple(plan.run(env, [*arguments, *missing]))

    return layer
