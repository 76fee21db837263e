"""Two layers with nothing between them: factors U and V of one matrix, whether we made them or they came so."""

from __future__ import annotations

import onnx_ir as ir

from gscompile.einsum import follows, parse_product
from gscompile.network import Layer, Network

_POINTWISE = {
    "MatMul",
    "FusedMatMul",
    "Gemm",
    "FusedGemm",
    "Attention",
    "LSTM",
    "GRU",
    "RNN",
    "ConvTranspose",
    "Einsum",
}
_FAMILY = {"Conv": "Conv", "FusedConv": "Conv", "ConvTranspose": "Conv", "Einsum": "Einsum"}
_PLAIN = {"Conv", "MatMul", "Einsum", "FusedMatMul", "Gemm"}


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
    scale = use.node.attributes.get_float("alpha", 1.0)
    bare = layer.op in _PLAIN and all(v is None for v in use.node.inputs[2:]) and scale == 1
    return bare and not more and len(output.uses()) == 1 and not output.is_graph_output()


def _fits(u: Layer, v: Layer) -> bool:
    same_axis = _FAMILY.get(u.op) == _FAMILY.get(v.op) and _joins(u, v)
    pointwise = v.op in _POINTWISE or _is_pointwise_conv(v.uses[0].node, v)
    return (
        same_axis and pointwise and u.layout.parts == v.layout.parts and u.layout.outputs == v.layout.inputs
    )


def _joins(u: Layer, v: Layer) -> bool:
    """Whether v contracts the axis that u makes, part by part."""
    if u.op == "Einsum":
        return _einsum_joins(u, v)
    if u.op == "Conv":
        return True
    alike = v.op in ("MatMul", "FusedMatMul") and v.layout.shape[:-2] == u.layout.shape[:-2]
    return (u.layout.parts == 1 or alike) and _made_axis(u) == _summed_axis(v)


def _made_axis(layer: Layer) -> int:
    """The axis of the product that the matrix's outputs are on."""
    return -1 if layer.uses[0].index == 1 else -2


def _summed_axis(layer: Layer) -> int | None:
    """The axis of its data that a node sums over; None where it moves others as well."""
    (use,) = layer.uses
    if any(use.node.attributes.get_int(name, 0) for name in ("transBatchA", "transBatchB")):
        return None
    turned = use.node.attributes.get_int("transA" if use.index == 1 else "transB", 0)
    return -1 if (use.index == 1) != bool(turned) else -2


def _einsum_joins(u: Layer, v: Layer) -> bool:
    first, second = (
        parse_product(use.node.attributes.get_string("equation", ""), use.index)
        for use in (u.uses[0], v.uses[0])
    )
    return first is not None and second is not None and follows(first, second)


def _is_pointwise_conv(node: ir.Node, layer: Layer) -> bool:
    ones = all(size == 1 for size in layer.layout.shape[2:])
    moves = {*node.attributes.get_ints("strides", [1]), *node.attributes.get_ints("dilations", [1])}
    return ones and moves == {1} and not any(node.attributes.get_ints("pads", [0]))
