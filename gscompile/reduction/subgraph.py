"""Parts of a model: some of its nodes, with what they read as inputs and what they make as outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx


@dataclass(frozen=True, eq=False)
class NodeValues:
    """Facts about the values of a graph, by name.

    `types` declares the values that may become graph inputs or outputs. `constants` holds the values that no graph
    input influences; these become initializers where the nodes that compute them are left out.
    """

    types: Mapping[str, onnx.ValueInfoProto]
    constants: Mapping[str, onnx.TensorProto] = field(default_factory=dict)


def read_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names of all values that `node` reads, in its subgraphs from outside them too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            made = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
            made |= {name for inner in graph.node for name in inner.output}
            outer = (name for inner in graph.node for name in read_names(inner))
            yield from (name for name in (*outer, *(info.name for info in graph.output)) if name and name not in made)


def part_of(model: onnx.ModelProto, kept: Sequence[int], values: NodeValues) -> onnx.ModelProto | None:
    """Return the model made of the nodes with the numbers `kept`; None when a value at its border has no known type.

    Values made by nodes that are left out become initializers where they are constant, else graph inputs. Values that
    no kept node reads become outputs, and outputs of `model` stay outputs.
    """
    nodes = [model.graph.node[number] for number in kept]
    made = dict.fromkeys(name for node in nodes for name in node.output if name)
    read = dict.fromkeys(name for node in nodes for name in read_names(node))
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    sparse = [tensor for tensor in model.graph.sparse_initializer if tensor.values.name in read]
    outside = [name for name in read if name not in made and name not in {tensor.values.name for tensor in sparse}]
    tensors = [held.get(name) or values.constants.get(name) for name in outside]
    inputs = [name for name, tensor in zip(outside, tensors, strict=True) if tensor is None]
    ends = {info.name for info in model.graph.output}
    outputs = [name for name in made if name in values.types and (name not in read or name in ends)]
    if not outputs or not all(name in values.types for name in inputs):
        return None
    part = onnx.ModelProto()
    part.CopyFrom(_without_graph(model))
    part.graph.name = model.graph.name or "part"
    part.graph.node.extend(nodes)
    part.graph.input.extend(values.types[name] for name in inputs)
    part.graph.output.extend(values.types[name] for name in outputs)
    part.graph.initializer.extend(tensor for tensor in tensors if tensor is not None)
    part.graph.sparse_initializer.extend(sparse)
    part.graph.value_info.extend(info for info in model.graph.value_info if info.name in made)
    return part


def _without_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the opsets, functions and metadata of `model` alone."""
    empty = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    empty.opset_import.extend(model.opset_import)
    empty.functions.extend(model.functions)
    return empty
