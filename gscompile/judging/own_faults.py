"""Faults that an original network has itself, which are none of the network that is written for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx

from gscompile.data.dataset import Batch
from gscompile.graph.network import Network
from gscompile.scoring.evaluate import Runner, drift

OWN_GAPS = 2  # times the original's gap: a compressed network rounds other numbers


def own_gap(original: Network, batches: Sequence[Batch]) -> float:
    """Return how far onnxruntime with and without its optimisations differ on the original, of the output range.

    A quantised network may round a product that lies between two levels either way.
    """
    return drift(Runner(original, optimise=True), Runner(original, optimise=False), batches)


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
