"""Layers of which some inputs are zero on all samples, so that no sample tells what their weights are for.

Inputs that are chosen count, as by an index, a comparison or a mask: a network that looks a word up is not known by
the words that were drawn. A unit behind a rectifier that no sample wakes does not count, although other inputs may
wake it: of the autoencoder for anomaly detection in machines 185 of 1,672 inputs are zero on all samples, and 122 of
these are not on log spectra of speech. To leave such layers whole would leave 8 of its 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import weight_op
from gscompile.judging.samples import Draw
from gscompile.onnx_files.op_names import kind
from gscompile.scoring.runner import Runner

Magnitudes = NDArray[np.float64]
RECTIFIERS = {"Relu", "Clip", "HardSigmoid", "HardSwish", "Max", "ThresholdedRelu", "Shrink", "QuantizeLinear"}
CHOOSERS = {"OneHot", "Where", "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "TopK", "Trilu"}
CHOOSERS |= {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "NonZero"}
INPUT_AXES = {"Conv": 1, "ConvTranspose": 1, "Gemm": -1, "MatMul": -1, "LSTM": -1, "GRU": -1, "RNN": -1}


def with_unreached_rows(network: Network, layers: Iterable[Layer], draws: Sequence[Draw]) -> Iterator[str]:
    """Yield the names of layers of which an input is zero on all `draws` although its weights are not.

    Layers in branches and loops, and those behind a rectifier alone, are passed over.
    """
    watched = [layer for layer in layers if _is_to_watch(network, layer)] if network.shelf is None else []
    if watched:
        largest = _largest(network, {_place(layer) for layer in watched}, draws)
        yield from (layer.name for layer in watched if _has_unseen(layer, largest[_place(layer)]))


def _place(layer: Layer) -> tuple[str, int]:
    """Return the value that a layer reads, and the axis of its inputs."""
    return layer.uses[0].data.name or "", INPUT_AXES[layer.op]


def _is_to_watch(network: Network, layer: Layer) -> bool:
    """Return whether inputs of a layer may be zero by choice, and lie along a known axis of a value of the graph."""
    if len(layer.uses) != 1 or layer.op not in INPUT_AXES or layer.uses[0].node.graph is not network.graph:
        return False
    node, data = layer.uses[0].node, layer.uses[0].data
    is_plain = layer.uses[0].index == 1 and node.attributes.get_int("transA", 0) == 0
    return is_plain and not is_rectified(data)


def is_rectified(value: ir.Value) -> bool:
    """Return whether a value comes from a rectifier and from nothing that chooses, between it and the layers before."""
    pending, seen, found = [value], {value}, False
    while pending:
        node = pending.pop().producer()
        if node is None or weight_op(node) is not None:
            continue
        if kind(node) in CHOOSERS:
            return False
        found = found or kind(node) in RECTIFIERS
        new = [each for each in node.inputs if each is not None and each not in seen]
        pending.extend(new)
        seen.update(new)
    return found


def _largest(
    network: Network, places: set[tuple[str, int]], draws: Sequence[Draw]
) -> dict[tuple[str, int], Magnitudes]:
    """Return the largest magnitude along an axis of each value, over all draws. [size of that axis]"""
    proto = network.to_proto()
    known = {each.name for each in (*proto.graph.input, *proto.graph.output)}
    names = {name for name, _ in places}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(names - known))
    run = Runner(proto.SerializeToString(), optimise=False)
    found: dict[tuple[str, int], Magnitudes] = {}
    for draw in draws:
        given = {**draw.inputs, **run(draw.inputs)}
        for name, axis in places:
            array = np.moveaxis(np.abs(np.asarray(given[name], np.float64)), axis, -1)
            sizes = array.reshape(-1, array.shape[-1]).max(0, initial=0.0)
            found[name, axis] = np.maximum(found.get((name, axis), 0.0), sizes)
    return found


def _has_unseen(layer: Layer, largest: Magnitudes) -> bool:
    """Return whether rows of the weight that are not zero belong to inputs that are."""
    parts, rows, cols = layer.matrices.shape
    channels = len(largest) // parts
    if not channels or channels * parts != len(largest) or rows % channels:
        return False
    alive = (layer.matrices.reshape(parts, channels, -1, cols) != 0).any((2, 3)).ravel()
    return bool((alive & (largest == 0)).any())
