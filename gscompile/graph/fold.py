"""Rewrites that keep every output: batch norm into the convolution before it, products and sums made alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.graph.network import Layer, Network
from gscompile.onnx_files.constants import behind_identity, constant_array, evaluate, held_tensor
from gscompile.onnx_files.op_names import kind
from gscompile.onnx_files.shapes import OpenShape, inferred_shapes

MAX_FOLDED_ELEMENTS = 256  # elements: larger constants may be weights, which stay where they are


def fold(network: Network) -> list[str]:
    """Fold in place until nothing changes; says what was done, one line each."""
    said = list(_constants(network))
    rules: tuple[Callable[[Network], Iterator[str]], ...] = (fold_batch_norms, _sum_into_gemm)
    while lines := [line for rule in rules for line in rule(network)]:
        said += lines
    return said


def _constants(network: Network) -> Iterator[str]:
    """Replace nodes that compute a small constant by that constant, front to back."""
    weights = {layer.value for layer in network.layers}
    constant = network.constants
    for node in [n for n in network.graph if n.op_type not in ("Constant", "Identity") and set(n.outputs) <= constant]:
        small = all(v is None or 0 < _size(v) <= MAX_FOLDED_ELEMENTS for v in node.inputs)
        arrays = (
            _evaluated(network, node)
            if small and not weights & set(node.outputs) and not _is_seen(network, node)
            else []
        )
        if arrays and all(array.size <= MAX_FOLDED_ELEMENTS for array in arrays):
            _replace_by(network, node, arrays)
            yield f"{node.op_type} {node.name or node.outputs[0].name}: constant"
    network.changed()


def _evaluated(network: Network, node: ir.Node) -> list[NDArray[np.generic]]:
    """What a node computes; nothing where the reference cannot run it (onnxruntime will), or where that holds a NaN.

    A NaN among the constants of a file is a fault of the file; computed when the network runs, it is the network's own.
    """
    try:
        with np.errstate(all="ignore"):
            arrays = evaluate(node, network.opset)
    except Exception:  # the reference raises anything
        return []
    return [] if any((array != array).any() for array in map(np.asarray, arrays)) else arrays


def _replace_by(network: Network, node: ir.Node, arrays: list[NDArray[np.generic]]) -> None:
    """Initializers under the names that the node's outputs had."""
    old = list(zip(node.outputs, [v.name for v in node.outputs], arrays, strict=True))
    for value, name, array in old:
        value.name = None
        value.replace_all_uses_with(network.new_weight(str(name), array, named=True))
    _drop(network, node)


def _size(value: ir.Value) -> int:
    held = held_tensor(value)
    return 0 if held is None else int(held.size)


def _is_seen(network: Network, node: ir.Node) -> bool:
    return any(v.is_graph_output() or v.name is None for v in node.outputs) or node.graph is not network.graph


def fold_batch_norms(network: Network, nodes: Iterable[ir.Node] | None = None) -> Iterator[str]:
    """Those of the nodes, or of all, that can be folded are, as whoever iterates comes to them; says which.

    y = s (W x + b - mean) / sqrt(var + eps) + t: s / sqrt(var + eps) goes into W, the rest into the bias.
    """
    layers = {layer.uses[0].node: layer for layer in network.layers if layer.op == "Conv"}
    for node in [n for n in (network.graph if nodes is None else nodes) if kind(n) == "BatchNormalization"]:
        before, label = node.inputs[0].producer() if node.inputs[0] else None, _label(node)
        if before in layers and _only_reader(before.outputs[0], node) and _folds(network, layers[before], node):
            values = _with_batch_norm(network, layers[before], node)
            if all(np.isfinite(array).all() for array in values):
                layer = layers.pop(before)  # as it was found: a second one after the same Conv waits for the next round
                _fold_batch_norm(network, layer, node, *values)
                yield f"BatchNormalization {label}: into {layer.name}"


def _label(node: ir.Node) -> str:
    return node.name or node.outputs[0].name or node.op_type


def _only_reader(value: ir.Value, node: ir.Node) -> bool:
    return not value.is_graph_output() and [use.node for use in value.uses()] == [node]


def _folds(network: Network, layer: Layer, node: ir.Node) -> bool:
    """Inference mode, constant vectors of a number a channel, and a weight and bias of the convolution's own."""
    bias = layer.uses[0].node.inputs[2] if len(layer.uses[0].node.inputs) > 2 else None
    own_bias = bias is None or (held_tensor(behind_identity(bias)) is not None and len(bias.uses()) == 1)
    plain = all(v is None or v is node.outputs[0] or not v.uses() for v in node.outputs)
    trained = node.attributes.get_int("training_mode", 0) == 0 and len([v for v in node.outputs if v.uses()]) <= 1
    return (
        len(node.inputs) == 5
        and own_bias
        and _a_number_a_channel(network, layer, [*node.inputs[1:], *([bias] if bias is not None else [])])
        and plain
        and trained
        and len(layer.uses) == 1
        and layer.layout.compressible
        and network.holds_alone(layer)
    )


def _a_number_a_channel(network: Network, layer: Layer, vectors: Sequence[ir.Value | None]) -> bool:
    arrays = [constant_array(v, network.opset) if v is not None else None for v in vectors]
    channels = layer.layout.shape[0]
    return all(array is not None and array.shape == (channels,) for array in arrays)


def _with_batch_norm(network: Network, layer: Layer, node: ir.Node) -> tuple[NDArray[Any], NDArray[Any]]:
    """The weight and the bias that do both; not finite where a variance is negative or a type too narrow."""
    conv = layer.uses[0].node
    vectors = [np.asarray(constant_array(v, network.opset), np.float64) for v in node.inputs[1:] if v is not None]
    scale, shift, mean, variance = vectors
    weight = np.asarray(constant_array(layer.value, network.opset))
    old = conv.inputs[2] if len(conv.inputs) > 2 else None
    bias = 0.0 if old is None else np.asarray(constant_array(old, network.opset), np.float64)
    with np.errstate(all="ignore"):
        scale = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
        along = scale.reshape(-1, *[1] * (weight.ndim - 1))
        both = (weight.astype(np.float64) * along).astype(weight.dtype)
        return both, (shift + (bias - mean) * scale).astype(weight.dtype)


def _fold_batch_norm(network: Network, layer: Layer, node: ir.Node, weight: NDArray[Any], bias: NDArray[Any]) -> None:
    conv = layer.uses[0].node
    old = conv.inputs[2] if len(conv.inputs) > 2 else None
    network.set_tensor(layer, weight)
    fresh = network.new_weight(f"{conv.name or layer.name}_bias", bias)
    conv.resize_inputs(3)
    conv.replace_input_with(2, fresh)
    if old is not None:
        network.discard(old)
    _take_over(node.outputs[0], conv.outputs[0])
    _drop(network, node)


def _sum_into_gemm(network: Network) -> Iterator[str]:
    """MatMul of a matrix [n, k] and the Add of a vector after it are one Gemm."""
    layers = {layer.uses[0].node: layer for layer in network.layers if layer.op == "MatMul" and len(layer.uses) == 1}
    layers = {node: layer for node, layer in layers.items() if layer.value.dtype in _GEMM_TYPES}
    shapes = inferred_shapes(network.model) if layers else {}
    for node in [n for n in network.graph if kind(n) == "Add"]:
        label = _label(node)
        for value, bias in (node.inputs, reversed(node.inputs)):
            before = value.producer() if value is not None else None
            if before in layers and bias is not None and _adds_vector(layers[before], node, bias, shapes):
                _fold_sum(network, before, node, bias)
                yield f"Add {label}: into {layers[before].name}, now Gemm"
                break


# The types for which onnxruntime's CPU provider has a Gemm; ONNX defines it for four integer types as well.
_GEMM_TYPES = {ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16}


def _adds_vector(layer: Layer, node: ir.Node, bias: ir.Value, shapes: Mapping[str, OpenShape]) -> bool:
    product, data = layer.uses[0].node, layer.uses[0].data
    held = held_tensor(behind_identity(bias))
    two_axes = _has_two_axes(data, shapes) and len(layer.layout.shape) == 2
    return (
        two_axes
        and layer.uses[0].index == 1
        and held is not None
        and tuple(held.shape) == (layer.layout.outputs,)
        and product.graph is node.graph
        and _only_reader(product.outputs[0], node)
    )


_KEEPS_AXES = {
    "Relu",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Tanh",
    "Sigmoid",
    "Gelu",
    "Clip",
    "Dropout",
    "Identity",
    "Softmax",
    "Cast",
}


def _has_two_axes(value: ir.Value, shapes: Mapping[str, OpenShape]) -> bool:
    """Whether a value is known to be a matrix [n, k]: by its inferred shape, or by what it comes from.

    The shape that a file declares for an intermediate value is not believed; onnxruntime runs wrong ones.
    """
    producer = value.producer()
    if value.name is not None and value.name in shapes:
        return len(shapes[value.name]) == 2
    if producer is None and value.shape is not None:  # onnxruntime refuses an input of another rank
        return len(value.shape) == 2
    if producer is None or kind(producer) in ("Gemm", "Flatten"):
        return producer is not None
    source = producer.inputs[0] if kind(producer) in _KEEPS_AXES else None
    return source is not None and _has_two_axes(source, shapes)


def _fold_sum(network: Network, product: ir.Node, node: ir.Node, bias: ir.Value) -> None:
    gemm = ir.Node("", "Gemm", [*product.inputs, bias], name=product.name)
    assert product.graph is not None
    product.graph.insert_before(node, gemm)
    gemm.outputs[0].name = f"{product.outputs[0].name}"
    _take_over(node.outputs[0], gemm.outputs[0])
    _drop(network, node)
    _drop(network, product)


def _take_over(old: ir.Value, new: ir.Value) -> None:
    """`new` takes the place, the name and the type of `old`, graph outputs included."""
    name, kind, shape = old.name, old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    old.name = None
    new.name, new.type, new.shape = name, kind, shape


def _drop(network: Network, node: ir.Node) -> None:
    inputs = [v for v in node.inputs if v is not None]
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    for value in inputs:
        if held_tensor(value) is not None:
            network.discard(value)
    network.changed()
