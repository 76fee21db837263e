"""Two layers with nothing between them: factors U and V of one matrix, whether we made them or they came so."""

from __future__ import annotations

import onnx_ir as ir

from gscompile.network import Layer, Network

_POINTWISE = {"MatMul", "Gemm", "LSTM", "GRU", "RNN", "ConvTranspose"}
_FAMILY = {"Conv": "Conv", "FusedConv": "Conv", "ConvTranspose": "Conv"}


def factor_pairs(network: Network) -> dict[str, str]:
    """Layers V whose inputs are the outputs of a layer U and nothing else: V name -> U name."""
    by_output = {layer.uses[0].node.outputs[0]: layer for layer in network.layers if _plain(layer)}
    pairs = {}
    for layer in network.layers:
        source = by_output.get(layer.uses[0].data) if len(layer.uses) == 1 and not is_state(layer) else None
        if source is not None and _fits(source, layer):
            pairs[layer.name] = source.name
    return pairs


def is_state(layer: Layer) -> bool:
    return layer.op in ("LSTM", "GRU", "RNN") and layer.uses[0].index == 2


def _plain(layer: Layer) -> bool:
    """One use, one reader, and an output that is the product itself: no bias, no scale."""
    (use, *more) = layer.uses
    output = use.node.outputs[0]
    bare = layer.op in ("Conv", "MatMul") and all(v is None for v in use.node.inputs[2:])
    return bare and not more and len(output.uses()) == 1 and not output.is_graph_output()


def _fits(u: Layer, v: Layer) -> bool:
    same_axis = _FAMILY.get(u.op) == _FAMILY.get(v.op)
    pointwise = v.op in _POINTWISE or _is_pointwise_conv(v.uses[0].node, v)
    return same_axis and pointwise and u.layout.parts == v.layout.parts and u.layout.outputs == v.layout.inputs


def _is_pointwise_conv(node: ir.Node, layer: Layer) -> bool:
    ones = all(size == 1 for size in layer.layout.shape[2:])
    moves = {*node.attributes.get_ints("strides", [1]), *node.attributes.get_ints("dilations", [1])}
    return ones and moves == {1} and not any(node.attributes.get_ints("pads", [0]))
