"""A network to learn from that is not the original: larger or better trained, with the same inputs and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gscompile.data import Batch
from gscompile.errors import UsageError
from gscompile.evaluate import Runner
from gscompile.fold import fold
from gscompile.network import Network


def load_teacher(path: str, original: Network, batch: Batch) -> Network:
    """The network of an ONNX file, folded. Raises UsageError where it does not answer a batch as the original would.

    What it says is another matter; the names, types and shapes of what it says are not.
    """
    teacher = Network.load(Path(path)).in_memory()
    wanted, given = _shapes(original, batch), _answers(path, teacher, batch)
    if given != wanted:
        raise UsageError(f"teacher {path}: gives {_said(given)}; a network that gives {_said(wanted)} would do")
    fold(teacher)
    return teacher


def _answers(path: str, teacher: Network, batch: Batch) -> dict[str, str]:
    try:
        return _shapes(teacher, batch)
    except RuntimeError as problem:
        raise UsageError(f"teacher {path}: does not take the data of the network: {problem}") from problem


def _shapes(network: Network, batch: Batch) -> dict[str, str]:
    """Type and shape of each output, by name."""
    return {name: _described(output) for name, output in Runner(network)(batch.inputs).items()}


def _described(output: Any) -> str:
    return f"{output.dtype} {[*output.shape]}" if isinstance(output, np.ndarray) else type(output).__name__


def _said(shapes: dict[str, str]) -> str:
    return ", ".join(f"'{name}' as {shape}" for name, shape in shapes.items())
