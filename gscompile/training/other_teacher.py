"""Another teacher than the original network: larger or better trained, with the same inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gscompile.data.dataset import Batch
from gscompile.errors import UsageError
from gscompile.graph.fold import fold
from gscompile.graph.network import Network
from gscompile.scoring.runner import Runner


def load_teacher(path: str, batch: Batch, wanted: Mapping[str, Any]) -> Network:
    """Load a teacher from an ONNX file and fold it.

    Raises UsageError if its outputs for a batch differ from `wanted` in name, type or shape. Values may differ.
    """
    teacher = Network.load(Path(path)).in_memory()
    try:
        outputs = Runner(teacher)(batch.inputs)
    except RuntimeError as problem:
        raise UsageError(f"teacher {path}: does not take the data of the network: {problem}") from problem
    found, expected = _description(outputs), _description(wanted)
    if found != expected:
        raise UsageError(f"teacher {path}: outputs {found}; expected {expected}")
    fold(teacher)
    return teacher


def _description(outputs: Mapping[str, Any]) -> str:
    """Return the type and shape of each output, by name, as text."""
    return ", ".join(f"'{name}' as {_described(output)}" for name, output in sorted(outputs.items()))


def _described(output: Any) -> str:
    return f"{output.dtype} {[*output.shape]}" if isinstance(output, np.ndarray) else type(output).__name__
