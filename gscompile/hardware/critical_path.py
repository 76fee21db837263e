"""Latency of a network whose layers start as soon as their inputs are there: the length of its longest path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from gscompile.graph.network import Network
from gscompile.onnx_files.constants import graphs_in, nodes_of


def critical_path_ns(network: Network, layer_ns: Mapping[str, float]) -> float:
    """Return the length in ns of the longest path through the graph; `layer_ns` is the time of each layer by name.

    Layers in sequence add up, the factors of a pair too. Parallel branches, the branches of an If and the weights of
    one node (the input and the state matrix of an LSTM) work at the same time. A weight that several nodes share is one
    set of arrays: each node takes an equal part of its time, and all of them together no less than all of it.
    """
    node_ns: dict[ir.Node, float] = {}
    for layer in network.layers:
        for use in layer.uses:
            part = layer_ns.get(layer.name, 0.0) / len(layer.uses)
            node_ns[use.node] = max(node_ns.get(use.node, 0.0), part)
    longest = _finished(network.graph, 0.0, node_ns, {})
    return max([longest, *layer_ns.values()])


def _finished(graph: ir.Graph, start: float, node_ns: Mapping[ir.Node, float], ready: dict[ir.Value, float]) -> float:
    """Return the time at which the last node of a graph started at `start` ends; `ready` are the times of values."""
    last = start
    for node in graph:
        begin = max((ready.get(value, start) for value in _reads(node)), default=start)
        inner = [_finished(inside, begin, node_ns, ready) for inside in graphs_in(node)]
        end = max([begin + node_ns.get(node, 0.0), *inner])
        ready.update((value, end) for value in node.outputs)
        last = max(last, end)
    return last


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    """Yield the inputs of a node and of the nodes inside it."""
    yield from (value for value in node.inputs if value is not None)
    for graph in graphs_in(node):
        for inner in nodes_of(graph):
            yield from (value for value in inner.inputs if value is not None)
