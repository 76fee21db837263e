"""A network run with another weight in the place of a layer's, many times, by few sessions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha1
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices
from gscompile.scoring.graph_parts import GraphParts
from gscompile.scoring.runner import RunBatch, Runner
from gscompile.scoring.tail_run import Arrays, TailRun

FED = "efd"  # kinds of floating arrays, by numpy's letter, that are fed as they are
FIRST_OVERRIDABLE = 4  # IR version from which an initializer need not be an input
MIN_BETWEEN_CUTS = 8  # layers between two cuts of a graph; the square root of their number, where that is more


class Replaced:
    """Runs of a network whose weights are replaced one at a time.

    Each weight is declared as a graph input with a default, so that one session serves all layers: a session for each
    layer would make the cost of L layers grow with the square of L. A weight that is computed, or that another node
    reads as well, gets an initializer of its own for this. The nodes before a layer compute the same in each run:
    behind a cut only the nodes after it are run, once whole runs took as long as it takes to make a session.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._whole_seconds: dict[int, float] = {}  # of whole runs, by the cut that would have made them shorter
        self._seconds_of_session = 0.0
        self._tail: TailRun | None = None

    @cached_property
    def digest(self) -> bytes:
        """Return a digest of the whole network."""
        return sha1(self._network.to_proto().SerializeToString(deterministic=True)).digest()

    @cached_property
    def whole(self) -> RunBatch:
        """The network as it is."""
        return self._session or Runner(self._network, optimise=False)

    def run(self, layer: Layer, matrices: Matrices) -> RunBatch:
        """Return the network with `matrices` [parts, inputs, outputs] in the place of a layer's weight."""
        return self.run_all([(layer, matrices)])

    def run_all(self, changes: Sequence[tuple[Layer, Matrices]]) -> RunBatch:
        """Return the network with other matrices in the places of the weights of some layers."""
        session, names = self._session, [self._fed.get(layer.name) for layer, _ in changes]
        fed = [name for name in names if name is not None]
        if session is None or len(fed) < len(changes):
            twin = self._network.copy()
            for layer, matrices in changes:
                twin.set_matrices(layer.name, matrices)
            return Runner(twin, optimise=False)
        weights = {name: _fed_array(*change) for name, change in zip(fed, changes, strict=True)}
        start = self._start(fed)
        return lambda inputs: self._outputs(session, start, inputs, weights)

    def _outputs(self, session: Runner, start: int, inputs: Arrays, weights: Arrays) -> dict[str, Any]:
        if start:
            outputs = self._outputs_behind(session, start, inputs, weights)
            if outputs is not None:
                return outputs
        began = time.perf_counter()
        outputs = session({**inputs, **weights})
        self._whole_seconds[start] = self._whole_seconds.get(start, 0.0) + time.perf_counter() - began
        return outputs

    def _outputs_behind(self, session: Runner, start: int, inputs: Arrays, weights: Arrays) -> dict[str, Any] | None:
        """Return the outputs of a run from a cut on; None where it is not worth a session, or cannot be used."""
        if self._tail is None or self._tail.start != start:
            if self._whole_seconds.get(start, 0.0) <= self._seconds_of_session:
                return None
            self._tail = TailRun(self._parts, start, session)  # values are kept of one cut at a time
        return self._tail.run(inputs, weights)

    def _start(self, names: Sequence[str]) -> int:
        """Return the number of the node from which on a network with other weights of these names is run."""
        first = min(self._parts.first_read.get(name, 0) for name in names)
        return max((start for start in self._starts if start <= first), default=0)

    @cached_property
    def _starts(self) -> list[int]:
        """The nodes where the graph is cut."""
        firsts = sorted(self._parts.first_read.get(name, 0) for name in self._fed.values())
        return firsts[:: max(MIN_BETWEEN_CUTS, round(len(firsts) ** 0.5))][1:]

    @cached_property
    def _fed(self) -> Mapping[str, str]:
        """The names of the weights that are fed, by layer; none of a network whose weights are in a file."""
        return {} if self._network.shelf is not None else self._twin[1]

    @cached_property
    def _twin(self) -> tuple[onnx.ModelProto, Mapping[str, str]]:
        """The model in which each weight that is fed has an initializer of its own; and their names, by layer."""
        twin = self._network.copy()
        layers = [layer for layer in twin.layers if layer.layout.compressible and layer.stored_dtype.char in FED]
        names = {layer.name: twin.own_initializer(layer) for layer in layers}
        return twin.to_proto(), names

    @cached_property
    def _model(self) -> onnx.ModelProto:
        """The model whose inputs are those without a default, and the weights that are fed."""
        proto, names = self._twin
        held, fed = {tensor.name: tensor for tensor in proto.graph.initializer}, {*names.values()}
        inputs = [value for value in proto.graph.input if value.name not in held]
        inputs += [onnx.helper.make_tensor_value_info(n, t.data_type, t.dims) for n, t in held.items() if n in fed]
        del proto.graph.input[:]
        proto.graph.input.extend(inputs)
        proto.ir_version = max(proto.ir_version, FIRST_OVERRIDABLE)
        return proto

    @cached_property
    def _parts(self) -> GraphParts:
        return GraphParts(self._model)

    @cached_property
    def _session(self) -> Runner | None:
        """The session with weights as inputs; None where there is nothing to feed, or onnxruntime wants constants."""
        if not self._fed:
            return None
        began = time.perf_counter()
        try:
            return Runner(self._model.SerializeToString(), optimise=False)
        except RuntimeError:
            return None
        finally:
            self._seconds_of_session = time.perf_counter() - began


def _fed_array(layer: Layer, matrices: Matrices) -> NDArray[Any]:
    """Return matrices as the tensor that the nodes of a layer read."""
    return np.ascontiguousarray(layer.layout.tensor(np.asarray(matrices)), layer.stored_dtype)
