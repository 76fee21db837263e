"""A network run with another weight in the place of a layer's, many times, by one session."""

from __future__ import annotations

from functools import cached_property
from hashlib import sha1
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices
from gscompile.scoring.runner import RunBatch, Runner

FED = "fd"  # kinds of floating arrays, by numpy's letter, that are fed as they are
FIRST_OVERRIDABLE = 4  # IR version from which an initializer need not be an input


class Replaced:
    """Runs of a network whose weights are replaced one at a time.

    Weights that are initializers of their own are declared as graph inputs with a default, so one session serves all of
    them: the cost of L runs grows with L sessions of L layers otherwise. Other weights get a session for each run.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    @cached_property
    def whole(self) -> RunBatch:
        """The network as it is."""
        return self._session or Runner(self._network, optimise=False)

    def run(self, layer: Layer, matrices: Matrices) -> RunBatch:
        """Return the network with `matrices` [parts, inputs, outputs] in the place of a layer's weight."""
        session = self._session if layer.value.name in self._fed else None
        if session is None:
            twin = self._network.copy()
            twin.set_matrices(layer.name, matrices)
            return Runner(twin, optimise=False)
        name, dtype = layer.value.name or "", layer.value.const_value.dtype.numpy()  # type: ignore[union-attr]
        tensor = np.ascontiguousarray(layer.layout.tensor(np.asarray(matrices)), dtype)

        def with_weight(inputs: dict[str, NDArray[Any]]) -> dict[str, Any]:
            return session({**inputs, name: tensor})

        return with_weight

    @cached_property
    def _fed(self) -> frozenset[str]:
        network = self._network
        if network.shelf is not None or network.model.ir_version < FIRST_OVERRIDABLE:
            return frozenset()
        dense = {tensor.name for tensor in self._proto.graph.initializer}  # a sparse tensor is no input
        plain = {layer.value.name or "" for layer in network.layers if _is_plain(network, layer)}
        return frozenset(plain & dense)

    @cached_property
    def digest(self) -> bytes:
        """Return a digest of the whole network."""
        return sha1(self._proto.SerializeToString(deterministic=True)).digest()

    @cached_property
    def _proto(self) -> onnx.ModelProto:
        return self._network.to_proto()

    @cached_property
    def _session(self) -> Runner | None:
        """The session with weights as inputs; None where there is nothing to feed, or onnxruntime wants constants."""
        if not self._fed:
            return None
        proto = self._proto
        declared = {value.name for value in proto.graph.input}
        for tensor in proto.graph.initializer:
            if tensor.name in self._fed and tensor.name not in declared:
                info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                proto.graph.input.append(info)
        try:
            return Runner(proto.SerializeToString(), optimise=False)
        except RuntimeError:
            return None


def _is_plain(network: Network, layer: Layer) -> bool:
    """Return True if a weight is an initializer of the main graph that the layer alone reads, of a type to be fed."""
    value = layer.value
    if not value.is_initializer() or value.graph is not network.graph or value.const_value is None:
        return False
    return value.const_value.dtype.numpy().char in FED and network.holds_alone(layer)
