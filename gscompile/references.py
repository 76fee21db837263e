"""An attribute of a node may be said by the name of a function's attribute: only in functions, and no graph is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from gscompile.faithful import graphs_in

_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def stray_reference(proto: onnx.ModelProto) -> str | None:
    """What is wrong with the first attribute that refers to nothing, or to a graph; None where all are right."""
    for _, graph in graphs_in(proto.graph):
        for node, attribute in _references(graph.node):
            what, wanted = f"{node.op_type} {_name(node)!r}", attribute.ref_attr_name
            return (
                f"{what}: attribute {attribute.name!r} refers to {wanted!r} of a function that is not there"
            )
    for function in proto.functions:
        for node, attribute in _references(function.node):
            if attribute.type in _GRAPHS:
                return f"{node.op_type} {_name(node)!r}: attribute {attribute.name!r} is a graph by reference"
    return None


def _references(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[onnx.NodeProto, onnx.AttributeProto]]:
    yield from (
        (node, attribute) for node in nodes for attribute in node.attribute if attribute.ref_attr_name
    )


def _name(node: onnx.NodeProto) -> str:
    return node.name or next(iter(node.output), "")
