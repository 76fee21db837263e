"""Networks run by onnxruntime: outputs, score and drift of a model, on the bytes that are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gscompile.closeness import differences
from gscompile.data import Batch, Dataset
from gscompile.errors import one_line
from gscompile.score import Metric, is_floating

Model = Path | bytes


class Runner:
    """An onnxruntime session of a file or of serialised bytes. Raises RuntimeError in onnxruntime's words."""

    def __init__(self, model: Model, optimise: bool = True, threads: int = 0) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
        source = str(model) if isinstance(model, Path) else model
        try:
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime raises a class per error code
            raise RuntimeError(one_line(problem)) from problem
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Outputs by name."""
        try:
            return dict(zip(self._names, self._session.run(None, inputs), strict=True))
        except Exception as problem:
            raise RuntimeError(one_line(problem)) from problem


def score(runner: Runner, original: Runner, data: Dataset, metric: Metric, batch_size: int) -> float:
    """Percent by the metric, over all of `data`."""

    def results() -> Iterator[tuple[dict[str, Any], dict[str, Any], NDArray[Any] | None]]:
        for batch in data.batches(batch_size):
            yield runner(batch.inputs), original(batch.inputs), batch.labels

    return metric.score(results())


def drift(runner: Runner, original: Runner, batches: Iterable[Batch]) -> float:
    """The largest output difference relative to the output's range over the batches; the worst output counts."""
    worst: dict[str, float] = {}
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for batch in batches:
        ours, theirs = runner(batch.inputs), original(batch.inputs)
        for name, array in theirs.items():
            if is_floating(array) and array.size:
                finite = array[np.isfinite(array)]
                worst[name] = max(worst.get(name, 0.0), float(differences(ours[name], array).max(initial=0.0)))
                low[name] = min(low.get(name, np.inf), float(finite.min(initial=np.inf)))
                high[name] = max(high.get(name, -np.inf), float(finite.max(initial=-np.inf)))
    return max(
        (worst[name] / _range(low[name], high[name]) if worst[name] else 0.0 for name in worst), default=0.0
    )


def _range(low: float, high: float) -> float:
    """high - low, or the magnitude where an output is constant; next to nothing where no value is finite."""
    return (high - low or max(abs(high), 1e-30)) if low <= high else 1e-30
