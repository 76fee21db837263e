"""Faults that an original network has itself, which are none of the network that is written for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import numpy_helper

from gscompile.data.dataset import Batch
from gscompile.graph.network import Network
from gscompile.scoring.runner import Runner, max_output_error

OWN_GAPS = 2  # times the original's gap: a compressed network rounds other numbers


def own_gap(original: Network, batches: Sequence[Batch]) -> float:
    """Return how far onnxruntime with and without its optimisations differ on the original, of the output range.

    A quantised network may round a product that lies between two levels either way.
    """
    return max_output_error(Runner(original, optimise=True), Runner(original, optimise=False), batches)


def rounding_gap(path: Path, plain: Runner, batches: Sequence[Batch]) -> float:
    """Return how far the outputs of a quantised model move, of their range, where its quantisers round ties otherwise.

    The constant scales that numbers are quantised by are made larger, then smaller, by a millionth: products between
    two levels go up or down. Zero for a model without such scales.
    """
    gaps = (_gap_of(scaled, plain, batches) for change in (NUDGE, -NUDGE) if (scaled := _scaled(path, 1 + change)))
    return max(gaps, default=0.0)


def _gap_of(proto: onnx.ModelProto, plain: Runner, batches: Sequence[Batch]) -> float:
    return max_output_error(Runner(proto.SerializeToString(), optimise=False), plain, batches)


def _scaled(path: Path, factor: float) -> onnx.ModelProto | None:
    """The model with every constant scale of a quantiser of its main graph times `factor`; None without one."""
    proto = onnx.load(path)
    read = {name for node in proto.graph.node if _QUANTISER.search(node.op_type) for name in node.input}
    scales = [tensor for tensor in proto.graph.initializer if tensor.name in read and tensor.data_type in _FLOAT_TYPES]
    for tensor in scales:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), tensor.name))
    return proto if scales else None


NUDGE = 1e-6  # of a scale: several units in the last place of a float
_QUANTISER = re.compile("^QuantizeLinear$|^QLinear|^QGemm$")
_FLOAT_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def shares_complaints(original: Network, problem: Exception) -> bool:
    """Return whether ONNX's shape inference complains of the original in the words of `problem`, sizes apart."""
    try:
        onnx.checker.check_model(original.to_proto(), full_check=True)
    except onnx.shape_inference.InferenceError as own:
        return _complaints(problem) <= _complaints(own)
    except (onnx.checker.ValidationError, ValueError):  # a protobuf message that is too large
        return False
    return False


def _complaints(problem: Exception) -> set[tuple[str, str]]:
    """The ops that shape inference names, each with what it says of it; numbers, as sizes are, do not count."""
    text = str(problem)
    found = _OP.findall(text) or [("", text)]
    return {(op, re.sub(r"-?\d+", "", said)) for op, said in found}


_OP = re.compile(r"op_type:\s*([^,)]*)[^)]*\)(.*)")
