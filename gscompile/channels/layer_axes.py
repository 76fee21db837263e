"""Tell which axes of a weight, of a layer's input and of its output hold units."""

from __future__ import annotations

from gscompile.graph.network import Layer, Use
from gscompile.onnx_files.einsum import EinsumProduct, parse_product

CONVS = {"Conv", "FusedConv"}
_MATRIX_OPS = {"Gemm", "FusedGemm", "MatMul", "FusedMatMul"}


def weight_axis(layer: Layer, side: str) -> int | None:
    """Return the axis of the weight that holds its input units (`inputs`) or output units; None where none does."""
    place = 0 if side == "inputs" else 1
    shape, turned = layer.layout.shape, layer.layout.transposed
    if layer.op in CONVS and layer.layout.parts == 1:
        return (1, 0)[place]
    if layer.op == "ConvTranspose" and layer.layout.parts == 1:
        return (0, 1)[place]
    if layer.op in _MATRIX_OPS and len(shape) == 1:
        return 0 if side == "inputs" else None
    if layer.op in _MATRIX_OPS:
        return len(shape) - 2 + (place != turned)
    if layer.op == "Einsum":
        return _einsum_axis(layer, side)
    if layer.op == "Attention" and side == "inputs":
        return 0
    is_input = layer.op in ("LSTM", "GRU", "RNN") and layer.uses[0].index == 1 and side == "inputs"
    return 2 if is_input else None


def _product(use: Use) -> EinsumProduct | None:
    return parse_product(use.node.attributes.get_string("equation", ""), use.index)


def _einsum_axis(layer: Layer, side: str) -> int | None:
    product = _product(layer.uses[0])
    labels = "" if product is None else product.contracted if side == "inputs" else product.free
    return product.weight.index(labels) if product is not None and len(labels) == 1 else None


def axis_out(use: Use, layer: Layer) -> int | None:
    """Return the axis of a node's output that holds its units, counted from the end."""
    if layer.op == "Einsum":
        product = _product(use)
        return None if product is None else _place(product.output, product.free)
    if layer.op in _MATRIX_OPS:
        return -2 if use.index == 0 else -1
    return 1 - len(layer.layout.shape)


def axis_in(use: Use, layer: Layer) -> int | None:
    """Return the axis of a node's input that the layer sums over, counted from the end."""
    if layer.op == "Einsum":
        product = _product(use)
        return None if product is None else _place(product.data, product.contracted)
    if "Conv" in layer.op:
        return 1 - len(layer.layout.shape)
    if any(use.node.attributes.get_int(name, 0) for name in ("transBatchA", "transBatchB")):
        return None
    turned = use.node.attributes.get_int("transA" if use.index == 1 else "transB", 0)
    return -1 if (use.index == 1) != bool(turned) else -2


def _place(term: str, label: str) -> int | None:
    """Return the position of an einsum label among the axes, from the end; None where an ellipsis hides it."""
    return term.index(label) - len(term) if len(label) == 1 and "..." not in term.partition(label)[2] else None
