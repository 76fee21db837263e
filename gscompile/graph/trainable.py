"""Which constants of a network are trained: the weights of its layers, and the vectors beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.graph.network import Network, replace_held
from gscompile.onnx_files.constants import (
    behind_identity,
    constant_array,
    held_tensor,
    is_float,
    placed_nodes,
)
from gscompile.onnx_files.op_names import kind

# Inputs of an op that hold a trained vector (scale, bias, slope), beside the weights of its layers.
_VECTORS = {
    "Conv": (2,),
    "ConvTranspose": (2,),
    "FusedConv": (2,),
    "Gemm": (2,),
    "LSTM": (3,),
    "GRU": (3,),
    "RNN": (3,),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Add": (0, 1),
}


def expose_weights(network: Network) -> None:
    """A tensor of its own for every weight that is derived (cast, transposed, dequantised) or read elsewhere too."""
    for layer in network.layers:
        if layer.layout.compressible and not network.holds_alone(layer):
            tensor = constant_array(layer.value, network.opset)
            assert tensor is not None
            network.set_tensor(layer, tensor)


def exposed(network: Network) -> Network:
    """The network, or a copy where the weight of a layer is derived or read elsewhere too."""
    if all(network.holds_alone(layer) for layer in network.layers if layer.layout.compressible):
        return network
    network = network.copy()
    expose_weights(network)
    return network


def trainable_values(network: Network) -> dict[str, ir.Value]:
    """What is trained, by key: a layer's weight by the layer's name, any other constant by its path in the file."""
    found = {layer.name: layer.value for layer in network.layers if layer.layout.compressible}
    taken = set(found.values())
    for key, value in _vectors(network):
        if value not in taken:
            taken.add(value)
            found[key] = value
    return found


def set_trained(network: Network, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Replace what is trained, by the keys of `trainable_values`: a layer's weight by an array of its own type."""
    layers = {layer.name: layer for layer in network.layers}
    values = trainable_values(network)
    for key, array in arrays.items():
        if key in layers:
            network.set_tensor(layers[key], array)
        else:
            old = constant_array(values[key], network.opset)
            assert old is not None
            replace_held(values[key], array.astype(old.dtype))
    network.changed()


def _vectors(network: Network) -> Iterator[tuple[str, ir.Value]]:
    for path, node in placed_nodes(network.graph):
        for index in _VECTORS.get(kind(node), ()):
            value = node.inputs[index] if index < len(node.inputs) else None
            root = behind_identity(value) if value is not None else None
            held = held_tensor(root) if root is not None else None
            if root is not None and held is not None and is_float(held.dtype) and held.size > 1:
                yield f"{path}{node.name or node.outputs[0].name}:{index}", root
