"""Batch normalization put back after convolutions for as long as they train, and taken in again.

Networks come with it folded into their weights, or are folded here. Deep ones learn better with it than without
(Ioffe and Szegedy 2015): what a channel gives keeps its mean and deviation, whatever becomes of the weights before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.graph.fold import fold_batch_norms
from gscompile.graph.network import Layer, Network, replace_held
from gscompile.onnx_files.constants import constant_array

EPSILON = 1e-5
Vector = NDArray[np.float64]
ChannelMoments = tuple[Vector, Vector]  # mean and variance of each channel of what a convolution gives


def normalizable(network: Network) -> tuple[Layer, ...]:
    """Convolutions of the main graph with a weight of their own, and a constant bias of a number a channel."""
    return tuple(layer for layer in network.layers if layer.op == "Conv" and _is_normalizable(network, layer))


def _is_normalizable(network: Network, layer: Layer) -> bool:
    node, bias = layer.uses[0].node, _bias(network, layer)
    return (
        len(layer.uses) == 1
        and node.graph is network.graph
        and not node.outputs[0].is_graph_output()
        and layer.layout.compressible
        and network.holds_alone(layer)
        and bias is not None
        and bias.dtype == np.float32
        and bias.shape == (layer.layout.shape[0],)
    )


def _bias(network: Network, layer: Layer) -> NDArray[np.generic] | None:
    """Where it is the layer's own."""
    inputs = layer.uses[0].node.inputs
    value = inputs[2] if len(inputs) > 2 else None
    own = value is not None and value.is_initializer() and len(value.uses()) == 1
    return constant_array(value, network.opset) if value is not None and own else None


def normalize(network: Network, spreads: Mapping[str, ChannelMoments]) -> dict[str, ir.Node]:
    """After each of these layers, by name, a normalization over a batch, which takes the place of its bias.

    What it gives stays as it is where a batch is spread as given. Returns the nodes by the name of the layer.
    """
    layers = [layer for layer in normalizable(network) if layer.name in spreads]
    nodes = {layer.name: _normalized(network, layer, *spreads[layer.name]) for layer in layers}
    network.changed()
    return nodes


def _normalized(network: Network, layer: Layer, mean: Vector, variance: Vector) -> ir.Node:
    conv = layer.uses[0].node
    given, bias, held = conv.outputs[0], conv.inputs[2], _bias(network, layer)
    assert bias is not None
    assert held is not None
    without = mean - held.astype(np.float64)
    vectors = {"scale": np.sqrt(variance + EPSILON), "shift": mean, "mean": without, "variance": variance}
    weights = [network.new_weight(f"{layer.name}_{n}", each.astype(np.float32)) for n, each in vectors.items()]
    node = ir.node("BatchNormalization", [None, *weights], {"epsilon": EPSILON, "training_mode": 1})
    node.name, name = network.unique_name(f"{layer.name}_normalized"), given.name
    conv.replace_input_with(2, None)
    network.discard(bias)
    given.replace_all_uses_with(node.outputs[0])
    node.replace_input_with(0, given)
    network.graph.insert_after(conv, node)
    given.name, node.outputs[0].name = f"{node.name}_from", name
    node.outputs[0].type, node.outputs[0].shape = given.type, given.shape
    return node


def settle(network: Network, nodes: Mapping[str, ir.Node], spreads: Mapping[str, ChannelMoments]) -> None:
    """Let them go by what the layers are spread as, whatever the batch, and take them into the layers' weights."""
    for name, node in nodes.items():
        for value, vector in zip(node.inputs[3:], spreads[name], strict=True):
            assert value is not None
            replace_held(value, vector.astype(np.float32))
        node.attributes.pop("training_mode")
    network.changed()
    list(fold_batch_norms(network, nodes.values()))
