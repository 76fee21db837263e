"""A network to learn from that is not the original: larger or better trained, with the same inputs and outputs."""

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
    """The network of an ONNX file, folded. Raises UsageError where it answers a batch other than as `wanted`.

    What it says is another matter; the names, types and shapes of what it says are not.
    """
    teacher = Network.load(Path(path)).in_memory()
    try:
        given = Runner(teacher)(batch.inputs)
    except RuntimeError as problem:
        raise UsageError(f"teacher {path}: does not take the data of the network: {problem}") from problem
    gives, expected = _said(given), _said(wanted)
    if gives != expected:
        raise UsageError(f"teacher {path}: gives {gives}; expected {expected}")
    fold(teacher)
    return teacher


def _said(outputs: Mapping[str, Any]) -> str:
    """Type and shape of each output, by name."""
    return ", ".join(f"'{name}' as {_described(output)}" for name, output in sorted(outputs.items()))


def _described(output: Any) -> str:
    return f"{output.dtype} {[*output.shape]}" if isinstance(output, np.ndarray) else type(output).__name__
