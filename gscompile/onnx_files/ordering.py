"""Nodes in an order in which they can be computed: ONNX asks for one, onnxruntime takes any, exporters write both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

import onnx

from gscompile.onnx_files.roundtrip import graphs_in, graphs_of


def in_order(proto: onnx.ModelProto) -> bool:
    """Whether there is nothing to sort, or nothing that can be."""
    return all(_order(graph.node) is None for _, graph in graphs_in(proto.graph))


def put_in_order(proto: onnx.ModelProto) -> bool:
    """Sort the nodes of every graph so that values are made before they are read; whether any had to be.

    Nodes keep their order where they can. A graph that goes in a circle stays as it is.
    """
    waiting = [(graph, order) for _, graph in graphs_in(proto.graph) if (order := _order(graph.node)) is not None]
    for graph, order in reversed(waiting):  # what is inside a node is sorted before the node is copied
        nodes = [*graph.node]
        del graph.node[:]
        graph.node.extend(nodes[number] for number in order)
    return bool(waiting)


def _order(nodes: Sequence[onnx.NodeProto]) -> list[int] | None:
    """Numbers of nodes, each after those it reads from, else as they come; None where they are so, or in a circle."""
    maker = {name: number for number, node in enumerate(nodes) for name in node.output if name}
    needs = [{maker[name] for name in _read(node) if name in maker} for node in nodes]
    if all(max(before, default=-1) < number for number, before in enumerate(needs)):
        return None
    readers: list[list[int]] = [[] for _ in nodes]
    for number, before in enumerate(needs):
        for needed in before:
            readers[needed].append(number)
    order = [*_as_they_get_ready([len(before) for before in needs], readers)]
    return order if len(order) == len(nodes) else None


def _as_they_get_ready(missing: list[int], readers: Sequence[Sequence[int]]) -> Iterator[int]:
    """Of the numbers that miss nothing the lowest first; what reads it then misses one less."""
    ready = [number for number, count in enumerate(missing) if not count]
    while ready:
        number = heappop(ready)
        yield number
        for reader in readers[number]:
            missing[reader] -= 1
            if not missing[reader]:
                heappush(ready, reader)


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, by graphs within it too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in graphs_of(attribute):
            yield from _captured(graph)


def _captured(graph: onnx.GraphProto) -> Iterator[str]:
    """Names that a graph reads and does not make itself."""
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    made = made.union(*(node.output for node in graph.node))
    read = (*(name for node in graph.node for name in _read(node)), *(value.name for value in graph.output))
    yield from (name for name in read if name not in made)
