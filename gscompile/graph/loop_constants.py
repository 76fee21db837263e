"""Weights that a Loop or a Scan carries unchanged from turn to turn, read as the constants that they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir

from gscompile.graph.weight_ops import weight_op
from gscompile.onnx_files.constants import graphs_in, nodes_of
from gscompile.onnx_files.op_names import kind


class EditableGraph(Protocol):
    """The part of `gscompile.graph.network.Network` that this module uses; the network itself imports the module."""

    @property
    def graph(self) -> ir.Graph: ...

    @property
    def opset(self) -> int: ...

    def is_constant(self, value: ir.Value) -> bool: ...

    def unique_name(self, stem: str) -> str: ...

    def changed(self) -> None: ...


_BATCHED_SCAN = 8  # the opset whose Scan takes lengths first, and carries a state for each sample


@dataclass(frozen=True, eq=False)
class State:
    """A value that a Loop or a Scan carries: the index of its first value among the node's inputs, and so on."""

    node: ir.Node
    body: ir.Graph
    given: int  # among the node's inputs
    read: int  # among the body's inputs
    result: int  # among the body's outputs
    final: int  # among the node's outputs

    @property
    def key(self) -> tuple[ir.Node, int]:
        return self.node, self.final

    @property
    def start(self) -> ir.Value | None:
        return self.node.inputs[self.given]

    @property
    def inside(self) -> ir.Value:
        return self.body.inputs[self.read]


def read_loop_constants(network: EditableGraph) -> list[str]:
    """Let weighted nodes in a body read the constant itself, in place, and drop the states that nothing reads then.

    A state is constant if the body hands it on unchanged, through Identity or an inner loop, and it starts as a
    constant. It stays where its final value is a result of a graph. Returns one line for each loop.
    """
    states = [state for node in nodes_of(network.graph) for state in _states(node, network.opset)]
    roots = _Roots(states)
    found = [(state, roots.of(state.inside)) for state in states if roots.is_unchanged(state)]
    read = {root for state, root in found if _is_multiplied(state.inside) and network.is_constant(root)}
    hoisted = [(state, root) for state, root in found if root in read]
    for state, root in hoisted:
        _make_visible(network, state, root)
        for value in (state.inside, state.node.outputs[state.final]):
            _read_instead(value, root)
    nodes = dict.fromkeys(state.node for state, _ in hoisted)
    said = [_line(node, [root for state, root in hoisted if state.node is node]) for node in nodes]
    for node in nodes:  # each before those in its body
        _without_unread(node, [state for state, _ in hoisted if state.node is node])
    if hoisted:
        network.changed()
    return said


def _states(node: ir.Node, opset: int) -> Iterator[State]:
    op, bodies = kind(node), graphs_in(node)
    if op == "Loop" and bodies:
        count, before, results = len(node.inputs) - 2, 2, 1
    elif op == "Scan" and bodies and opset > _BATCHED_SCAN:
        count, before, results = len(node.inputs) - node.attributes.get_int("num_scan_inputs", 0), 0, 0
    else:
        return
    for number in range(min(count, len(node.outputs))):
        if number + before < len(bodies[0].inputs) and number + results < len(bodies[0].outputs):
            yield State(
                node=node,
                body=bodies[0],
                given=number + before,
                read=number + before,
                result=number + results,
                final=number,
            )


class _Roots:
    """Where a value comes from that nothing changes on the way."""

    def __init__(self, states: list[State]) -> None:
        self._inside = {state.inside: state for state in states}
        self._final = {state.node.outputs[state.final]: state for state in states}
        self._asked: set[tuple[ir.Node, int]] = set()
        self._unchanged: dict[tuple[ir.Node, int], bool] = {}

    def of(self, value: ir.Value) -> ir.Value:
        """The first value of the chain of Identity nodes and unchanged states that ends in `value`."""
        while True:
            state, producer = self._inside.get(value) or self._final.get(value), value.producer()
            before = None
            if state is not None and state.start is not None and self.is_unchanged(state):
                before = state.start
            elif producer is not None and kind(producer) == "Identity":
                before = producer.inputs[0]
            if before is None:
                return value
            value = before

    def is_unchanged(self, state: State) -> bool:
        """Whether the body of a loop hands a state on as it is."""
        if state.key in self._asked or state.start is None:
            return False
        self._asked.add(state.key)
        handed_on = self.of(state.body.outputs[state.result])
        unchanged = handed_on is state.inside or handed_on is self.of(state.start)
        self._asked.discard(state.key)
        return unchanged


def _is_multiplied(value: ir.Value) -> bool:
    """Whether a weighted node reads a value, Identity nodes looked through."""
    readers = [use.node for use in value.uses()]
    return any(
        _is_multiplied(node.outputs[0]) if kind(node) == "Identity" else weight_op(node) is not None for node in readers
    )


def _make_visible(network: EditableGraph, state: State, root: ir.Value) -> None:
    """Rename what hides the constant's name inside the body."""
    graphs = [state.body, *(graph for node in nodes_of(state.body) for graph in graphs_in(node))]
    for graph in graphs:
        for value in (*graph.inputs, *(value for node in graph for value in node.outputs)):
            if value.name == root.name:
                value.name = network.unique_name(f"{value.name}_inside")


def _read_instead(value: ir.Value, root: ir.Value) -> None:
    for use in tuple(value.uses()):
        use.node.replace_input_with(use.idx, root)


def _without_unread(node: ir.Node, states: list[State]) -> None:
    """Replace a loop by one without the states whose final value nothing reads; one with no other result stays."""
    finals = [(state, node.outputs[state.final]) for state in states]
    gone = [state for state, final in finals if not final.is_graph_output() and not final.uses()]
    if not gone or len(gone) == len(node.outputs):
        return
    given, finished = {state.given for state in gone}, {state.final for state in gone}
    kept = [value for number, value in enumerate(node.outputs) if number not in finished]
    inputs = [value for number, value in enumerate(node.inputs) if number not in given]
    for state in sorted(gone, key=lambda each: each.read, reverse=True):
        body, result = state.body, state.body.outputs[state.result]
        body.outputs.pop(state.result)
        body.inputs.pop(state.read)
        _remove_unread(result)
    _rebuild(node, inputs, kept)


def _remove_unread(value: ir.Value) -> None:
    """Remove Identity nodes that nothing reads any more, back from `value`."""
    producer = value.producer()
    if producer is None or kind(producer) != "Identity" or value.uses() or value.is_graph_output():
        return
    before, graph = producer.inputs[0], producer.graph
    assert graph is not None
    graph.remove(producer, safe=True)
    if before is not None:
        _remove_unread(before)


def _rebuild(node: ir.Node, inputs: list[ir.Value | None], outputs: list[ir.Value]) -> None:
    """Put a node of the same op and attributes, with fewer inputs and outputs, in the place of `node`."""
    attributes = [*node.attributes.values()]
    node.attributes.clear()
    fresh = ir.Node(
        node.domain,
        node.op_type,
        inputs,
        attributes,
        overload=node.overload,
        num_outputs=len(outputs),
        name=node.name,
        doc_string=node.doc_string,
        metadata_props=dict(node.metadata_props),
    )
    assert node.graph is not None
    node.graph.insert_before(node, fresh)
    for old, new in zip(outputs, fresh.outputs, strict=True):
        name, form, shape = old.name, old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name = None
        new.name, new.type, new.shape = name, form, shape
    node.graph.remove(node, safe=True)


def _line(node: ir.Node, roots: list[ir.Value]) -> str:
    names = ", ".join(dict.fromkeys(repr(root.name) for root in roots))
    return f"{node.op_type} {node.name or node.outputs[0].name}: carries {names} unchanged, read as a constant"
