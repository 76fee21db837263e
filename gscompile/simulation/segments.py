"""An ONNX graph run in pieces: weighted nodes by functions of gscompile, the nodes between them by onnxruntime.

Nodes between two weighted nodes, in graph order, are one piece: a small ONNX model. A piece is made when its inputs are
seen for the first time and their types are known.

Nodes between two weighted nodes, in graph order, are one piece: a small ONNX model of its own, made when its
inputs are seen for the first time and their types are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from gscompile.errors import ModelError

NamedValues = dict[str, Any]  # arrays by name, lists of arrays for sequences
NodeFunction = Callable[[list[Any]], tuple[NDArray[Any], ...]]  # inputs -> outputs, in the node's order


@dataclass(frozen=True, eq=False)
class OwnNode:
    """A node that `function` runs; the inputs at the indexes `held` are weights that the function holds."""

    function: NodeFunction
    held: frozenset[int] = frozenset()


@dataclass
class Piece:
    """Consecutive digital nodes; `reads` and `gives` name the values that go from and to the rest of the graph."""

    nodes: list[onnx.NodeProto]
    reads: list[str] = field(default_factory=list)
    gives: list[str] = field(default_factory=list)
    session: ort.InferenceSession | None = None


class Pieces:
    """A model cut at the nodes in `own`, keyed by first named output, each of which its function runs."""

    def __init__(self, model: onnx.ModelProto, own: Mapping[str, OwnNode]) -> None:
        self._model, self._own = model, own
        self._constants = {t.name: t for t in model.graph.initializer}
        outputs = {o.name for o in model.graph.output}
        self._steps = list(_steps(_read_nodes(model.graph.node, outputs, own), own))
        _connect(self._steps, outputs, self._constants, own)
        self._last = _last_uses(self._steps, own)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        """Return the outputs of the graph, in its order. Raises ModelError if a piece cannot be run."""
        values: NamedValues = dict(inputs)
        outputs = [o.name for o in self._model.graph.output]
        for number, step in enumerate(self._steps):
            self._run_node(step, values) if isinstance(step, onnx.NodeProto) else self._run_piece(step, values)
            for name in self._last.get(number, ()):
                if name not in outputs:
                    values.pop(name, None)
        return [values[name] if name in values else self._constant(name) for name in outputs]

    def _run_node(self, node: onnx.NodeProto, values: NamedValues) -> None:
        own = self._own[_key(node)]
        arguments = [
            self._value(name, values) if name and index not in own.held else None
            for index, name in enumerate(node.input)
        ]
        results = own.function(arguments)
        values.update((name, result) for name, result in zip(node.output, results, strict=False) if name)

    def _value(self, name: str, values: NamedValues) -> Any:
        return values[name] if name in values else self._constant(name)

    def _constant(self, name: str) -> NDArray[Any]:
        return onnx.numpy_helper.to_array(self._constants[name])

    def _run_piece(self, piece: Piece, values: NamedValues) -> None:
        if piece.session is None:
            piece.session = self._session(piece, values)
        feeds = {name: values[name] for name in piece.reads}
        values.update(zip(piece.gives, piece.session.run(piece.gives, feeds), strict=True))

    def _session(self, piece: Piece, values: NamedValues) -> ort.InferenceSession:
        inputs = [_value_info(name, values[name]) for name in piece.reads]
        outputs = [onnx.ValueInfoProto(name=name) for name in piece.gives]
        used = {name for node in piece.nodes for name in _reads(node)}
        constants = [t for name, t in self._constants.items() if name in used]
        graph = onnx.helper.make_graph(piece.nodes, "piece", inputs, outputs, constants)
        model = onnx.helper.make_model(graph, opset_imports=self._model.opset_import)
        model.ir_version = max(self._model.ir_version, 4)
        model.functions.extend(self._model.functions)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Without optimisation: onnxruntime fails on a model whose nodes it folds completely.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        except Exception as error:
            line = str(error).strip().splitlines()[0]
            raise ModelError(f"nodes from {piece.nodes[0].name!r}: onnxruntime cannot run them ({line})") from error


def _read_nodes(nodes: Sequence[onnx.NodeProto], outputs: set[str], own: Mapping[str, OwnNode]) -> list[onnx.NodeProto]:
    """Return the nodes that an output or one of the own nodes depends on, in graph order."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if _key(node) in own or not needed.isdisjoint(node.output):
            needed.update(_node_reads(node, own))
            kept.append(node)
    return kept[::-1]


def _steps(nodes: Iterable[onnx.NodeProto], own: Mapping[str, OwnNode]) -> Iterator[onnx.NodeProto | Piece]:
    gathered: list[onnx.NodeProto] = []
    for node in nodes:
        if _key(node) not in own:
            gathered.append(node)
            continue
        if gathered:
            yield Piece(gathered)
        gathered = []
        yield node
    if gathered:
        yield Piece(gathered)


def _key(node: onnx.NodeProto) -> str:
    """Return the first output that has a name."""
    return next((name for name in node.output if name), "")


def _connect(steps: list[Any], outputs: set[str], constants: Mapping[str, Any], own: Mapping[str, OwnNode]) -> None:
    """Set the values that each piece takes from and gives to the rest of the graph."""
    for piece in (step for step in steps if isinstance(step, Piece)):
        made = {name for node in piece.nodes for name in node.output}
        elsewhere = {name for step in steps if step is not piece for name in _step_reads(step, own)}
        reads = dict.fromkeys(name for node in piece.nodes for name in _reads(node))
        piece.reads = [name for name in reads if name and name not in made and name not in constants]
        inner = {n for node in piece.nodes for g in _subgraphs(node) for n in _made_inside(g)}
        piece.reads = [name for name in piece.reads if name not in inner]
        piece.gives = [n for node in piece.nodes for n in node.output if n and (n in elsewhere or n in outputs)]


def _step_reads(step: onnx.NodeProto | Piece, own: Mapping[str, OwnNode]) -> Iterator[str]:
    for node in step.nodes if isinstance(step, Piece) else (step,):
        yield from _node_reads(node, own)


def _node_reads(node: onnx.NodeProto, own: Mapping[str, OwnNode]) -> Iterator[str]:
    """Yield every name that a node reads, without the weights of an own node."""
    if _key(node) in own:
        held = own[_key(node)].held
        yield from (name for index, name in enumerate(node.input) if index not in held)
    else:
        yield from _reads(node)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield every name that a node reads, including those that its subgraphs take from outside."""
    yield from node.input
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield from _reads(inner)
        yield from (output.name for output in graph.output)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _made_inside(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (i.name for i in graph.input)
    yield from (t.name for t in graph.initializer)
    for node in graph.node:
        yield from node.output
        for inner in _subgraphs(node):
            yield from _made_inside(inner)


def _last_uses(steps: list[Any], own: Mapping[str, OwnNode]) -> dict[int, list[str]]:
    """Return the values that no later step reads, by the number of the step after which they are freed."""
    last = {name: number for number, step in enumerate(steps) for name in _step_reads(step, own)}
    by_step: dict[int, list[str]] = {}
    for name, number in last.items():
        by_step.setdefault(number, []).append(name)
    return by_step


def _value_info(name: str, value: Any) -> onnx.ValueInfoProto:
    if isinstance(value, list):
        kind = _element_type(value[0]) if value else onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_sequence_value_info(name, kind, None)
    return onnx.helper.make_tensor_value_info(name, _element_type(value), [None] * np.ndim(value))


def _element_type(array: Any) -> int:
    dtype = np.asarray(array).dtype
    return onnx.TensorProto.STRING if dtype.kind in "OUS" else onnx.helper.np_dtype_to_tensor_dtype(dtype)
