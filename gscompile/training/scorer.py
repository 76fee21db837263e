"""Scores of networks on the validation data, against labels or the outputs of the original network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.data.dataset import Batch, Dataset
from gscompile.execute import Executor
from gscompile.graph.network import Network
from gscompile.scoring.metrics import AGREEMENT, MIN_INFORMATIVE, SURE, Metric, informative_samples
from gscompile.training.batches import BatchLoader
from gscompile.training.teacher_outputs import TeacherOutputs

ReferencedBatch = tuple[Batch, dict[str, Tensor]]  # samples, and the reference outputs for them


@dataclass(frozen=True, eq=False)
class Scorer:
    """Score networks on the validation data.

    Args:
        feeder: Loader of batches.
        val: Validation data.
        original: Outputs of the original network for `val`.
        metric: Metric by which all is decided.
        plain_metric: Metric that is reported besides: `metric`, but for what few samples or missing labels change.
        informative_samples: Number of validation samples that tell if classes are right; infinity if that does not
            matter, since a function of the user scores.
    """

    feeder: BatchLoader
    val: Dataset
    original: TeacherOutputs
    metric: Metric
    plain_metric: Metric
    informative_samples: float = math.inf

    def score(self, network: Network) -> float:
        """Return the score of a network, in percent."""
        return self.score_of(self.feeder.executor(network), self.validation_batches())

    def validation_batches(self) -> Iterator[ReferencedBatch]:
        """Yield all validation batches with the outputs of the original network."""
        return ((batch, self.original.of(rows, batch)) for rows, batch in self.feeder.batches(self.val, None))

    @torch.no_grad()
    def score_of(self, executor: Executor, batches: Iterable[ReferencedBatch]) -> float:
        """Return the score of an executor on some batches, in percent."""

        def results() -> Iterator[tuple[dict[str, Any], dict[str, Any], NDArray[Any] | None]]:
            for batch, reference in batches:
                yield as_arrays(executor(self.feeder.feeds(batch))), as_arrays(reference), batch.labels

        return self.metric.score(results())

    def accuracy_of(self, outputs: TeacherOutputs) -> float:
        """Return the score, by the plain metric, of a teacher's outputs for the validation data, in percent."""
        return _score_of_outputs(self.feeder, self.val, outputs, self.plain_metric)

    def count_informative(self) -> Scorer:
        """Return a scorer that knows `informative_samples` and, if they are too few, compares outputs closely."""
        batches = (
            (as_arrays(self.original.of(rows, b)), b.labels, math.inf if self.val.ready_made else len(rows))
            for rows, b in self.feeder.batches(self.val, None)
        )
        count = informative_samples(self.plain_metric, batches)
        metric = self.metric.closely() if count < MIN_INFORMATIVE else self.metric
        return replace(self, metric=metric, informative_samples=count)

    def by_expected_accuracy(self) -> Scorer:
        """Return a scorer of expected accuracy in the place of agreement, if the original's probabilities allow it.

        They do for a single output of classes if the mean probability of the original's class is at least `SURE`. A
        class that the original holds possible then costs less than one that it rules out, and the score varies less
        with the choice of samples.
        """
        metric = self.metric
        if metric.name != AGREEMENT or metric.function or metric.values or len(metric.classes) != 1:
            return self
        expected = metric.expected()
        mean_probability = _score_of_outputs(self.feeder, self.val, self.original, expected)
        return replace(self, metric=expected) if mean_probability >= 100 * SURE else self


def _score_of_outputs(feeder: BatchLoader, val: Dataset, outputs: TeacherOutputs, metric: Metric) -> float:
    """Return the score of outputs that are their own reference, in percent."""
    batches = ((as_arrays(outputs.of(rows, b)), b.labels) for rows, b in feeder.batches(val, None))
    return metric.score((arrays, arrays, labels) for arrays, labels in batches)


def as_arrays(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return outputs by name, tensors as numpy arrays and anything else unchanged."""
    return {name: o.numpy(force=True) if isinstance(o, Tensor) else o for name, o in outputs.items()}
