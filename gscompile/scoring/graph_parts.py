"""The nodes of a graph before and after a cut, as models of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gscompile.onnx_files.roundtrip import graphs_of

_SHARED_FIELDS = ("ir_version", "opset_import", "functions")  # fields of a model that its parts share


class GraphParts:
    """Splits the graph of a model at any node: what crosses the cut are outputs before it and inputs behind it.

    Constants and initializers cross no cut, since each part holds those that it reads.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._nodes: Sequence[onnx.NodeProto] = [node for node in model.graph.node if node.op_type != "Constant"]
        self._reads = [frozenset(names_read([node])) for node in self._nodes]
        self._constants = {node.output[0]: node for node in model.graph.node if node.op_type == "Constant"}

    @property
    def outputs(self) -> Sequence[str]:
        """The names of the graph's outputs."""
        return [value.name for value in self._model.graph.output]

    @cached_property
    def first_read(self) -> Mapping[str, int]:
        """The number of the first node that reads each value, not counting constants."""
        found: dict[str, int] = {}
        for number, names in enumerate(self._reads):
            for name in names:
                found.setdefault(name, number)
        return found

    @cached_property
    def _last_read(self) -> Mapping[str, int]:
        found = {name: number for number, names in enumerate(self._reads) for name in names}
        return found | {value.name: len(self._nodes) for value in self._model.graph.output}

    def crossing(self, start: int) -> list[str]:
        """Return the values of nodes before number `start` that later nodes read, or that the graph gives."""
        before = (name for node in self._nodes[:start] for name in node.output if name)
        return [name for name in before if self._last_read.get(name, -1) >= start]

    def before(self, start: int) -> onnx.ModelProto:
        """Return the model of the nodes before number `start`, whose outputs are the crossing values."""
        outputs = [onnx.ValueInfoProto(name=name) for name in self.crossing(start)]
        return self._part(range(start), self._model.graph.input, outputs)

    def behind(self, start: int, crossing: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
        """Return the model of the other nodes; its inputs are the graph's and the crossing values, typed as these.

        Its outputs are those of the graph that do not cross.
        """
        inputs = [*self._model.graph.input, *(_input(name, array) for name, array in crossing.items())]
        outputs = [value for value in self._model.graph.output if value.name not in crossing]
        return self._part(range(start, len(self._nodes)), inputs, outputs)

    def _part(
        self, numbers: range, inputs: Iterable[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph, nodes = self._model.graph, self._nodes[numbers.start : numbers.stop]
        read = frozenset().union(*self._reads[numbers.start : numbers.stop], (value.name for value in outputs))
        part = onnx.ModelProto(graph=onnx.GraphProto(name=graph.name))
        for name in _SHARED_FIELDS:
            value = getattr(self._model, name)
            getattr(part, name).extend(value) if hasattr(value, "extend") else setattr(part, name, value)
        held = {tensor.name for tensor in graph.initializer}
        part.graph.node.extend(node for name, node in self._constants.items() if name in read)
        part.graph.node.extend(nodes)
        part.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name in read)
        part.graph.sparse_initializer.extend(t for t in graph.sparse_initializer if t.values.name in read)
        part.graph.input.extend(value for value in inputs if value.name in read or value.name not in held)
        part.graph.output.extend(outputs)
        return part


def names_read(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Yield the values that nodes read, those of a surrounding graph that their subgraphs read included."""
    for node in nodes:
        yield from filter(None, node.input)
        for graph in (graph for attribute in node.attribute for graph in graphs_of(attribute)):
            own = _given_within(graph)
            yield from (name for name in names_read(graph.node) if name not in own)
            yield from (value.name for value in graph.output if value.name not in own)


def _given_within(graph: onnx.GraphProto) -> Collection[str]:
    """Return the names that a graph gives itself."""
    held = {value.name for value in (*graph.input, *graph.initializer)}
    held |= {tensor.values.name for tensor in graph.sparse_initializer}
    return held.union(*(node.output for node in graph.node))


def _input(name: str, array: NDArray[Any]) -> onnx.ValueInfoProto:
    """Return the declaration of an input of an array's type and rank, of any size."""
    return onnx.helper.make_tensor_value_info(
        name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), [None] * np.ndim(array)
    )
