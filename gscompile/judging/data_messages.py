"""What the report says about the data: labels that are not used, too few samples, an original no better than chance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gscompile.data.dataset import check_labels, labels_fault
from gscompile.errors import DataError
from gscompile.judging.splits import Splits
from gscompile.options import Options
from gscompile.scoring.metrics import ACCURACY, MIN_INFORMATIVE, standard_error

if TYPE_CHECKING:
    from gscompile.training.torch_trainer import TorchTrainer


def data_messages(splits: Splits, trainer: TorchTrainer, options: Options, batch_size: int) -> tuple[str, ...]:
    """Return what the report says about the data. Raises DataError for labels that do not fit the network."""
    return (
        *_check_labels(splits, trainer),
        *_few(splits, trainer),
        *_taught(splits, trainer, options),
        *_by_chance(splits, trainer, batch_size),
    )


def _check_labels(splits: Splits, trainer: TorchTrainer) -> tuple[str, ...]:
    """Raise DataError for labels that are no classes of the network; return a message if labels are not used."""
    if trainer.plain_metric.name == ACCURACY or trainer.objective.labelled:
        for data in splits.all:
            check_labels(data, trainer.classes)
        return ()
    if trainer.metric.function or trainer.objective.function:
        return ()  # a function of the user reads the labels
    if splits.val.has_labels and trainer.metric.classes and not splits.val.ready_made:
        wanted = "labels: no output tells their classes; give a whole number for each sample, or no labels"
        raise DataError(labels_fault(splits.val) or wanted)
    return ("the labels are not used: no output tells their classes",) if splits.val.has_labels else ()


def _few(splits: Splits, trainer: TorchTrainer) -> tuple[str, ...]:
    """Return a message if the samples are too few, or too much alike, to measure accuracy."""
    if not trainer.metric.looks_closely:
        return ()
    decide, within = f"{len(splits.val):,} samples decide", f"{trainer.metric.tolerance:g} of what they vary by"
    why = (
        "too few"
        if len(splits.val) < MIN_INFORMATIVE
        else f"{trainer.scorer.informative_samples:.0f} of them not of the commonest class, too few"
    )
    return (
        f"{decide}, {why} for classes alone: the outputs count as unchanged within {within} (--max-error); beyond "
        "that their unexplained variance counts, in points",
    )


def _by_chance(splits: Splits, trainer: TorchTrainer, batch_size: int) -> tuple[str, ...]:
    """Return a message if the original scores no better than one answer for all samples, within two standard errors.

    Any network meets a budget of points below such a score.
    """
    if trainer.metric.name != ACCURACY:
        return ()
    counts = Counter[int]()
    for batch in splits.val.batches(batch_size):
        counts.update(np.asarray(batch.labels).ravel().tolist())
    commonest = 100 * max(counts.values(), default=0) / max(counts.total(), 1)
    base = trainer.score_original()
    if base > commonest + 2 * standard_error(commonest, max(counts.total(), 1)):
        return ()
    return (
        f"the original network is no better than chance: {base:.2f} % accuracy on {splits.split}, of which "
        f"{commonest:.2f} % have the commonest label; check inputs and labels, a budget says nothing here",
    )


def _taught(splits: Splits, trainer: TorchTrainer, options: Options) -> tuple[str, ...]:
    """Return a message with the score of the teacher, if it is not the original."""
    if options.teacher is None:
        return ()
    name, metric = Path(options.teacher).name, trainer.metric.name
    return (f"learned from {name}: {trainer.score_teacher():.2f} % {metric} on {splits.split}",)
