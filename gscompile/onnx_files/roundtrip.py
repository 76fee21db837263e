"""What a file says and onnx-ir does not carry: the order of what it sorts, doubled notes, sparse tensors.

`remember` notes it of a model that was read; `restore` puts it into the model that is written, as far as it still
holds there. Graphs are found again by the outputs of the nodes they are in, which no edit renames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

GraphPath = tuple[str, ...]  # of a graph: first output and attribute of every node around it
Notes = Mapping[str, tuple[onnx.StringStringEntryProto, ...]]

SPARSE = "gscompile:sparse"  # the note on a dense tensor that was sparse in the file: its number


@dataclass(frozen=True)
class GraphFrame:
    """A graph without nodes and weights, the names it declared, its nodes' texts and the notes of its tensors."""

    graph: onnx.GraphProto
    names: frozenset[str]
    nodes: Mapping[str, onnx.NodeProto]
    tensors: Notes


@dataclass(frozen=True)
class NodeFrame:
    """A model without nodes and weights; its graphs by place; tensors that were sparse, by their number."""

    model: onnx.ModelProto
    graphs: Mapping[GraphPath, GraphFrame]
    sparse: tuple[onnx.SparseTensorProto, ...] = ()


def graphs_in(graph: onnx.GraphProto, place: GraphPath = ()) -> Iterator[tuple[GraphPath, onnx.GraphProto]]:
    """A graph and those in its nodes, each with its place."""
    yield place, graph
    for node in graph.node:
        for attribute in node.attribute:
            for number, held in enumerate(graphs_of(attribute)):
                first = next(iter(filter(None, node.output)), "")
                yield from graphs_in(held, (*place, first, f"{attribute.name}:{number}"))


def graphs_of(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    """The graphs that an attribute holds; not those within them."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def remember(proto: onnx.ModelProto) -> NodeFrame:
    """The frame of a model as it was read, its sparse tensors still to be numbered."""
    model = _without(proto, "graph", *(["functions"] if any(map(_reads_files, proto.functions)) else []))
    return NodeFrame(model, {place: _framed(graph) for place, graph in graphs_in(proto.graph)})


def _reads_files(function: onnx.FunctionProto) -> bool:
    """Whether a function's tensors are in files beside the model, which they are not any more once it is written."""
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for _, tensor in _tensors(function))


def _without(message: Any, *names: str) -> Any:
    """A copy of a message but for some of its fields."""
    twin = type(message)()
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.name in names:
            continue
        if hasattr(value, "extend"):
            getattr(twin, field.name).extend(value)
        elif message.HasField(field.name):
            _set(twin, field.name, value)
    return twin


def _set(message: Any, name: str, value: Any) -> None:
    if hasattr(value, "DESCRIPTOR"):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


def _framed(graph: onnx.GraphProto) -> GraphFrame:
    frame = _without(graph, "node", "initializer", "sparse_initializer")
    nodes = {n.output[0]: _without(n, "input", "output", "op_type", "attribute") for n in graph.node if n.output}
    tensors = {name: tuple(tensor.metadata_props) for name, tensor in _tensors(graph) if tensor.metadata_props}
    return GraphFrame(frame, _names(graph), nodes, tensors)


def _tensors(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """The tensors of a graph by name, and those of its nodes by the node's first output and their attribute."""
    if isinstance(graph, onnx.GraphProto):
        yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield f"{node.output[0] if node.output else ''}.{attribute.name}", attribute.t


def _names(graph: onnx.GraphProto) -> frozenset[str]:
    """What a graph declares itself: inputs, tensors and results."""
    held = {value.name for value in (*graph.input, *graph.initializer)}
    held |= {sparse.values.name for sparse in graph.sparse_initializer}
    return frozenset(held.union(*(node.output for node in graph.node)))


# -- back into what is written --------------------------------------------------------------------------------------


def restore(proto: onnx.ModelProto, frame: NodeFrame) -> None:
    """Put back, in place, what the file said of whatever is still there."""
    _restore_blanks(proto, frame.model)
    _in_order(proto.opset_import, frame.model.opset_import, "domain")
    _replace(proto.metadata_props, frame.model.metadata_props)
    _replace(proto.training_info, frame.model.training_info)
    if frame.model.functions:
        _replace(proto.functions, frame.model.functions)
    for place, graph in graphs_in(proto.graph):
        _restore_sparse(graph, frame.sparse)
        if place in frame.graphs:
            _restore_graph(graph, frame.graphs[place])


def _replace(repeated: Any, wanted: Iterable[Any]) -> None:
    kept = [*wanted]
    del repeated[:]
    repeated.extend(kept)


def _in_order(repeated: Any, wanted: Iterable[Any], key: str) -> None:
    """The wanted messages first, then those of another key."""
    first = [*wanted]
    known = {getattr(item, key) for item in first}
    _replace(repeated, [*first, *(item for item in repeated if getattr(item, key) not in known)])


def _restore_sparse(graph: onnx.GraphProto, sparse: tuple[onnx.SparseTensorProto, ...]) -> None:
    """Tensors that still bear the note are as they came: sparse."""
    numbers = [_number(tensor) for tensor in graph.initializer]
    graph.sparse_initializer.extend(sparse[number] for number in numbers if number is not None)
    for place in (i for i in reversed(range(len(numbers))) if numbers[i] is not None):
        del graph.initializer[place]
    for attribute in (a for node in graph.node for a in node.attribute):
        number = _number(attribute.t) if attribute.type == onnx.AttributeProto.TENSOR else None
        if number is not None:
            attribute.CopyFrom(onnx.helper.make_attribute("sparse_value", sparse[number]))


def _number(tensor: onnx.TensorProto) -> int | None:
    return next((int(note.value) for note in tensor.metadata_props if note.key == SPARSE), None)


def _restore_graph(graph: onnx.GraphProto, frame: GraphFrame) -> None:
    gone = frame.names - _names(graph)
    _replace(graph.value_info, _shapes(graph, frame, gone))
    notes = (note for note in frame.graph.quantization_annotation if note.tensor_name not in gone)
    _replace(graph.quantization_annotation, notes)
    _replace(graph.metadata_props, frame.graph.metadata_props)
    _restore_blanks(graph, frame.graph)
    _restore_types(graph, frame.graph)
    for node in graph.node:
        said = frame.nodes.get(node.output[0] if node.output else "", onnx.NodeProto())
        _restore_notes(node, said.metadata_props)
        _restore_blanks(node, said)
    for name, tensor in _tensors(graph):
        _restore_notes(tensor, frame.tensors.get(name, ()))


def _restore_types(graph: onnx.GraphProto, said: onnx.GraphProto) -> None:
    """Of outputs whose types onnx-ir has no words for."""
    types = {value.name: value.type for value in said.output if value.HasField("type")}
    for value in graph.output:
        if value.name in types and not value.HasField("type"):
            value.type.CopyFrom(types[value.name])


def _restore_blanks(message: Any, said: Any) -> None:
    """Fields that were written though they say nothing."""
    for field in said.DESCRIPTOR.fields:
        value = getattr(said, field.name)
        if value in ("", 0) and said.HasField(field.name) and not message.HasField(field.name):
            setattr(message, field.name, value)


def _restore_notes(message: Any, notes: Iterable[onnx.StringStringEntryProto]) -> None:
    """The order and number of notes, where they are the same ones."""
    if {n.key: n.value for n in notes} == {n.key: n.value for n in message.metadata_props}:
        _replace(message.metadata_props, notes)


def _shapes(graph: onnx.GraphProto, frame: GraphFrame, gone: frozenset[str]) -> list[onnx.ValueInfoProto]:
    """What the file said of shapes where it is still so, else as it is now; none of a tensor that had none."""
    now = {info.name: info for info in (*graph.value_info, *graph.input, *graph.output)}
    said = {info.name for info in frame.graph.value_info}
    held = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    kept = [_still(info, now.get(info.name)) for info in frame.graph.value_info if info.name not in gone]
    return [*kept, *(info for info in graph.value_info if info.name not in said | held)]


def _still(said: onnx.ValueInfoProto, now: onnx.ValueInfoProto | None) -> onnx.ValueInfoProto:
    return said if now is None or now.type == said.type else now
