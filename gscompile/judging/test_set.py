"""Data that decides nothing without training: a network measured on it once, as it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from gscompile.data.dataset import Dataset, batch_size_for, check_labels, input_specs, labels_fault, load_data
from gscompile.errors import DataError
from gscompile.reporting.report import Accuracy
from gscompile.scoring.metrics import ACCURACY, Metric, choose_metric
from gscompile.scoring.runner import RunBatch, Runner, score

TEST = "the test data"


def measured(
    original: RunBatch, compiled: RunBatch, metric: Metric, data: Dataset, split: str, batch_size: int
) -> Accuracy:
    """Percent before and after."""
    before = score(original, original, data, metric, batch_size)
    return Accuracy(
        metric=metric.name,
        before=before,
        after=score(compiled, original, data, metric, batch_size),
        split=split,
        samples=len(data),
    )


@dataclass(frozen=True, eq=False)
class TestSet:
    """Test data, and what is measured on it."""

    data: Dataset
    metric: Metric
    batch_size: int

    @classmethod
    def of(cls, source: Any, original: Runner, model: ir.Model, batch_size: int) -> TestSet:
        """Accuracy where there are labels, else agreement. Raises DataError for what does not fit the network."""
        specs = input_specs(model)
        data, size = load_data(source, specs), batch_size_for(specs, batch_size)
        batch = next(data.batches(size), None)
        if batch is None:
            raise DataError(f"{len(data)} test samples: the network takes {size} at a time; give more")
        try:
            outputs = original(batch.inputs)
        except RuntimeError as problem:
            raise DataError(f"the network does not take the test data: {problem}") from problem
        metric = choose_metric(outputs, batch.labels)
        fault = labels_fault(data) if metric.classes else None
        if fault:
            raise DataError(fault)
        if metric.name == ACCURACY:
            check_labels(data, int(np.asarray(outputs[metric.classes[0]]).shape[-1]))
        return cls(data, metric, size)

    def accuracy(self, original: RunBatch, compiled: RunBatch) -> Accuracy:
        """The figures of a compiled network beside those of the original."""
        return measured(original, compiled, self.metric, self.data, TEST, self.batch_size)
