"""What refers by name must name something: a function's attribute that a node takes over, devices it is placed on, and
values within functions, which ONNX's checker passes over. A node must make something, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from itertools import chain

import onnx

from gscompile.onnx_files.roundtrip import graphs_in, graphs_of

_SUBGRAPH_TYPES = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def stray_reference(proto: onnx.ModelProto) -> str | None:
    """What is wrong with the first node that refers to nothing, or to a graph; None where all are right."""
    found = (_fault(node, within) for node, within in nodes_in(proto))
    unmade = (fault for function in proto.functions for fault in _unmade_of(function))
    return next((fault for fault in chain(found, unmade) if fault is not None), None)


def nodes_in(proto: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, bool]]:
    """Every node, and whether it is within a function."""
    for _, graph in graphs_in(proto.graph):
        yield from ((node, False) for node in graph.node)
    for function in proto.functions:
        body = onnx.GraphProto(node=function.node)
        for _, graph in graphs_in(body):
            yield from ((node, True) for node in graph.node)


def called(node: onnx.NodeProto) -> str:
    """What messages call a node: its op, with its name or that of what it makes."""
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


def _fault(node: onnx.NodeProto, within: bool) -> str | None:
    what = called(node)
    if not node.output:
        return f"{what}: it has no outputs"
    if any(not device.configuration_id for device in node.device_configurations):
        return f"{what}: a device configuration without an id"
    if any(not spec.tensor_name for device in node.device_configurations for spec in device.sharding_spec):
        return f"{what}: a device configuration that shards no tensor"
    for attribute in (a for a in node.attribute if a.ref_attr_name):
        if not within:
            wanted = f"{attribute.ref_attr_name!r} of a function that is not there"
            return f"{what}: attribute {attribute.name!r} refers to {wanted}"
        if attribute.type in _SUBGRAPH_TYPES:
            return f"{what}: attribute {attribute.name!r} is a graph by reference"
    return None


def _unmade_of(function: onnx.FunctionProto) -> Iterator[str]:
    what, known = f"function {function.name!r}", {"", *function.input}
    made = known.union(*(node.output for node in function.node))
    yield from (f"{what}: {name!r} is read and not made before" for name in _unmade(function.node, known))
    yield from (f"{what}: its output {name!r} is not made" for name in function.output if name not in made)


def _unmade(nodes: Iterable[onnx.NodeProto], known: Set[str]) -> Iterator[str]:
    """Names that nodes, and graphs within them, read before anything has made them."""
    known = {*known}
    for node in nodes:
        yield from (name for name in node.input if name not in known)
        for attribute in node.attribute:
            for graph in graphs_of(attribute):
                held = (*(v.name for v in graph.input), *(t.name for t in graph.initializer))
                yield from _unmade(graph.node, {*known, *held, *(t.values.name for t in graph.sparse_initializer)})
        known.update(node.output)
