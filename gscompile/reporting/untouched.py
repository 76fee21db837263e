"""The fate of every large constant: compressed, or not and the reason. No constant is left out of the report."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from gscompile.graph.network import Layer, Network
from gscompile.onnx_files.constants import behind_identity, held_tensor, nodes_of, placed_nodes
from gscompile.onnx_files.linear_models import DOMAIN, IN_ATTRIBUTES, holds_identity
from gscompile.onnx_files.op_names import MICROSOFT, STANDARD_DOMAINS
from gscompile.reporting.grouped import Untouched

_LISTS = {ir.AttributeType.FLOATS, ir.AttributeType.INTS, ir.AttributeType.STRINGS}
MIN_REPORTED_ELEMENTS = 256  # elements of the smallest constant in the report


def untouched(original: Network, written: Network) -> Iterator[Untouched]:
    """Yield every node of the original with a constant of 256 elements or more that is in no layer of the result."""
    record = _Uncompressed(original, written)
    for path, node in placed_nodes(original.graph):
        yield from _of_attributes(path, node)
        for index, value in enumerate(node.inputs):
            held = held_tensor(behind_identity(value)) if value is not None else None
            if held is not None and held.size >= MIN_REPORTED_ELEMENTS and (why := record.why(node, index)):
                yield _row(path + _label(node), node, held, why)
    yield from _in_functions(original)


def _of_attributes(path: str, node: ir.Node) -> Iterator[Untouched]:
    """Yield the tables inside nodes, such as those of trees and labels; matrices that are mapped are left out."""
    for name, size in _tables(node):
        if size >= MIN_REPORTED_ELEMENTS and node.op_type != "Constant" and not _is_mapped(node):
            why = f"an attribute of {node.op_type}: it stays digital"
            yield Untouched(path + _label(node), node.op_type, name, size, why)


def _is_mapped(node: ir.Node) -> bool:
    """Return whether the matrix in the attributes of the node is replaced by a product before the node."""
    return node.domain == DOMAIN and node.op_type in IN_ATTRIBUTES and holds_identity(node)


def _tables(node: ir.Node) -> Iterator[tuple[str, int]]:
    """Yield names and sizes of the attributes that are lists or tensors."""
    for name, attribute in node.attributes.items():
        if isinstance(attribute, ir.Attr) and not attribute.is_ref():
            if attribute.type is ir.AttributeType.TENSOR:
                yield name, int(attribute.as_tensor().size)
            elif attribute.type in _LISTS:
                yield name, len(attribute.value)


def _row(name: str, node: ir.Node, held: ir.TensorProtocol, why: str) -> Untouched:
    return Untouched(name, node.op_type, str(held.name or node.outputs[0].name), int(held.size), why)


def _label(node: ir.Node) -> str:
    return node.name or str(node.outputs[0].name)


def _in_functions(network: Network) -> Iterator[Untouched]:
    for function in network.model.functions.values():
        for node in function.all_nodes():
            for value in node.inputs:
                held = held_tensor(behind_identity(value)) if value is not None else None
                if held is not None and held.size >= MIN_REPORTED_ELEMENTS:
                    where = f"{function.domain}:{function.name}"
                    yield _row(_label(node), node, held, f"inside the function {where}: functions are not compressed")


class _Uncompressed:
    """The layers of the network before and after compression."""

    def __init__(self, original: Network, written: Network) -> None:
        self.original = original
        self.changed = {layer.origin for layer in written.layers} - _unchanged(original, written)
        self.kept = {layer.origin for layer in written.layers}
        self.layers = {(use.node, use.index): layer for layer in original.layers for use in layer.uses}
        self.outputs = {value.name for node in nodes_of(written.graph) for value in node.outputs}
        self.read = {value.name for node in nodes_of(written.graph) for value in node.inputs if value is not None}

    def why(self, node: ir.Node, index: int) -> str | None:
        """Return the reason why a constant was not compressed; None if it was."""
        layer = self.layers.get((node, index))
        if layer is not None:
            return self._of_layer(layer)
        if node.outputs and all(self.original.is_constant(value) for value in node.outputs):
            return self._of_derived(node)
        if self._is_folded(node, index):
            return f"folded into the layer before {_label(node)}"
        return _reason(node, index, (node.domain, node.op_type, node.overload) in self.original.model.functions)

    def _of_layer(self, layer: Layer) -> str | None:
        if layer.origin in self.changed:
            return None
        if not layer.layout.compressible:
            return "mapped as it is: a quantised weight is not compressed"
        if layer.origin not in self.kept:
            return "gone: what it computed was constant, or was not read"
        return "mapped as it is: nothing smaller fitted the budget"

    def _of_derived(self, node: ir.Node) -> str | None:
        """Return the reason for a constant that is cast, transposed or dequantized first: that of its readers."""
        found = [layer for layer in self._fed_by(node) if layer is not None]
        if not found:
            return "computed with before anything is fed: it stays digital"
        said = [self._of_layer(layer) for layer in found]
        return None if None in said else f"{said[0]} (behind {node.op_type})"

    def _fed_by(self, node: ir.Node) -> Iterator[Layer | None]:
        for value in node.outputs:
            for use in value.uses():
                if (use.node, use.idx) in self.layers:
                    yield self.layers[use.node, use.idx]
                elif all(self.original.is_constant(v) for v in use.node.outputs):
                    yield from self._fed_by(use.node)

    def _is_folded(self, node: ir.Node, index: int) -> bool:
        """Return whether a batch norm or a sum is missing from the result while its output is still there."""
        value = node.inputs[index]
        gone = value is not None and value.name not in self.read
        return gone and node.op_type in ("BatchNormalization", "Add") and node.outputs[0].name in self.outputs


def _unchanged(original: Network, written: Network) -> set[str]:
    """Return the origins of layers with an unchanged weight."""
    old = {layer.name: layer for layer in original.layers}
    return {
        layer.origin
        for layer in written.layers
        if layer.name in old
        and layer.matrices.shape == old[layer.name].matrices.shape
        and bool((layer.matrices == old[layer.name].matrices).all())
    }


# -- reasons ----------------------------------------------------------------------------------------------------

_LOOKUPS = {"Gather", "GatherND", "GatherElements", "EmbedLayerNormalization", "GatherBlockQuantized"}
_ELEMENTWISE_WITH_CONSTANT = {"Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min", "Where", "BiasGelu", "FastGelu"}
_DATA = {"Concat", "Slice", "Expand", "Tile", "ScatterND", "ScatterElements", "Loop", "Scan", "If"}
_BIAS_INPUT = {"Conv": 2, "ConvTranspose": 2, "FusedConv": 2, "Gemm": 2, "FusedGemm": 2, "DeformConv": 4}
_BIAS_INPUT |= {"LSTM": 3, "GRU": 3, "RNN": 3, "Attention": 2, "QLinearConv": 8, "QAttention": 2}
_PACKED = {"MatMulNBits", "MatMulBnb4", "QMoE"}
_WEIGHTED = {"MatMul", "Gemm", "Einsum", "FusedMatMul"}


def _reason(node: ir.Node, index: int, is_function: bool) -> str:
    op = node.op_type
    if is_function:
        return f"an input of the function {node.domain}:{op}: functions are not compressed"
    if op in _PACKED:
        return "stays digital: weights of a few bits are packed in blocks; as a MatMul of floats they would be mapped"
    if op in _LOOKUPS:
        return "an embedding lookup stays digital"
    if _BIAS_INPUT.get(op) == index:
        return "a bias is added digitally"
    if "Normalization" in op:
        return "scale and shift of a normalisation stay digital"
    if op in _ELEMENTWISE_WITH_CONSTANT:
        return "an element-wise constant stays digital"
    if op in _WEIGHTED:
        return f"not one matrix: this use of input {index} of {op} stays digital"
    if op in _DATA:
        return f"data that {op} moves stays digital"
    if node.domain not in (*STANDARD_DOMAINS, MICROSOFT):
        return f"the operator {node.domain}:{op} is unknown"
    return f"input {index} of {op} is not a matrix that multiplies"
