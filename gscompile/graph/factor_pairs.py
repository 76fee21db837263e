"""Two layers with nothing between them: factors U and V of one matrix, whether we made them or they came so.

V is mostly pointwise: it takes each of U's outputs as it comes. Two convolutions are factors as well where U moves
along the first axes and V along the others; V then sees several `taps` of U's outputs at a time.
"""

from __future__ import annotations

from math import prod

import onnx_ir as ir

from gscompile.graph.network import Layer, Network, Use
from gscompile.onnx_files.einsum import follows, parse_product

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
    """Layers V whose inputs are the outputs of a layer U, one by one and nothing else: V name -> U name.

    Where several nodes share V, as many share U, each in front of its own.
    """
    return {v: u for v, (u, taps) in separable_pairs(network).items() if taps == 1}


def separable_pairs(network: Network) -> dict[str, tuple[str, int]]:
    """The same, and convolutions along different axes: V name -> U name, and how many taps V's kernel has."""
    plain = [layer for layer in network.layers if _plain(layer)]
    by_output = {use.node.outputs[0]: layer.name for layer in plain for use in layer.uses}
    pairs = {}
    for layer in network.layers:
        (name, *others) = dict.fromkeys(by_output.get(use.data) for use in layer.uses)
        if name is None or others or is_state(layer):
            continue
        source = network.layer(name)
        taps = _taps(source, layer)
        if taps and len(source.uses) == len(layer.uses) and _fits(source, layer, taps):
            pairs[layer.name] = name, taps
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


def _fits(u: Layer, v: Layer, taps: int) -> bool:
    same_axis = _FAMILY.get(u.op) == _FAMILY.get(v.op) and _joins(u, v)
    return same_axis and u.layout.parts == v.layout.parts and u.layout.outputs * taps == v.layout.inputs


def _taps(u: Layer, v: Layer) -> int:
    """How many taps V's kernel has; 0 where the two are no product."""
    if v.op in _POINTWISE:
        return 1
    kernel = v.layout.shape[2:]
    still = all(_is_still(use.node, v, axis) for use in v.uses for axis in range(len(kernel)))
    return prod(kernel) if still or _part_ways(u, v) else 0


def _part_ways(u: Layer, v: Layer) -> bool:
    """Whether two convolutions move along different axes, U along the first and V along the others, both of them."""
    if u.op != "Conv" or len(u.layout.shape) != len(v.layout.shape):
        return False
    axes = range(len(v.layout.shape) - 2)
    by_u, by_v = ([any(not _is_still(use.node, x, axis) for use in x.uses) for axis in axes] for x in (u, v))
    near = by_v.index(True)
    return any(by_u[:near]) and not any(by_u[near:])


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


def _is_still(node: ir.Node, layer: Layer, axis: int) -> bool:
    """Whether a convolution takes every position along an axis by itself."""
    axes = len(layer.layout.shape) - 2
    moves = [node.attributes.get_ints(name, [1] * axes)[axis] for name in ("strides", "dilations")]
    pads = node.attributes.get_ints("pads", [0] * (2 * axes))
    return layer.layout.shape[2 + axis] == 1 and moves == [1, 1] and not any(pads[axis::axes])
