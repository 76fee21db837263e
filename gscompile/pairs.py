"""Two layers with nothing between them: factors U and V of one matrix, whether we made them or they came so."""

from __future__ import annotations

import onnx_ir as ir

from gscompile.einsum import follows, parse_product
from gscompile.network import Layer, Network, Use

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
    """Layers V whose inputs are the outputs of a layer U and nothing else: V name -> U name.

    Where several nodes share V, as many share U, each in front of its own.
    """
    plain = [layer for layer in network.layers if _plain(layer)]
    by_output = {use.node.outputs[0]: layer.name for layer in plain for use in layer.uses}
    pairs = {}
    for layer in network.layers:
        (name, *others) = dict.fromkeys(by_output.get(use.data) for use in layer.uses)
        if name is None or others or is_state(layer):
            continue
        source = network.layer(name)
        if len(source.uses) == len(layer.uses) and _fits(source, layer):
            pairs[layer.name] = name
    return pairs


def is_state(layer: Layer) -> bool:
    return layer.op in ("LSTM", "GRU", "RNN") and layer.uses[0].index == 2


def _plain(layer: Layer) -> bool:
    """Every output is the product itself, no bias and no scale, and has one reader."""
    return layer.op in _PLAIN and all(_is_bare(use.node) for use in layer.uses)


def _is_bare(node: ir.Node) -> bool:
    output, scale = node.outputs[0], node.attributes.get_float("alpha", 1.0)
    alone = len(output.uses()) == 1 and not output.is_graph_output()
    return alone and scale == 1 and all(v is None for v in node.inputs[2:])


def _fits(u: Layer, v: Layer) -> bool:
    same_axis = _FAMILY.get(u.op) == _FAMILY.get(v.op) and _joins(u, v)
    pointwise = v.op in _POINTWISE or all(_is_pointwise_conv(use.node, v) for use in v.uses)
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
    return (u.layout.parts == 1 or alike) and {_made_axis(use) for use in u.uses} == {
        _summed_axis(use) for use in v.uses
    }


def _made_axis(use: Use) -> int:
    """The axis of the product that the matrix's outputs are on."""
    return -1 if use.index == 1 else -2


def _summed_axis(use: Use) -> int | None:
    """The axis of its data that a node sums over; None where it moves others as well."""
    if any(use.node.attributes.get_int(name, 0) for name in ("transBatchA", "transBatchB")):
        return None
    turned = use.node.attributes.get_int("transA" if use.index == 1 else "transB", 0)
    return -1 if (use.index == 1) != bool(turned) else -2


def _einsum_joins(u: Layer, v: Layer) -> bool:
    """The labels of both, which for shared weights are everywhere the same."""
    first, second = ({_equation(use) for use in layer.uses} for layer in (u, v))
    if len(first) != 1 or len(second) != 1:
        return False
    before, after = parse_product(*first.pop()), parse_product(*second.pop())
    return before is not None and after is not None and follows(before, after)


def _equation(use: Use) -> tuple[str, int]:
    return use.node.attributes.get_string("equation", ""), use.index


def _is_pointwise_conv(node: ir.Node, layer: Layer) -> bool:
    ones = all(size == 1 for size in layer.layout.shape[2:])
    moves = {*node.attributes.get_ints("strides", [1]), *node.attributes.get_ints("dilations", [1])}
    return ones and moves == {1} and not any(node.attributes.get_ints("pads", [0]))
