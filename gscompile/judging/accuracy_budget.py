"""The accuracy budget: the points of the validation score that may be lost, measured on a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.compression.passes import Context, PassResult
from gscompile.data.dataset import (
    Batch,
    Dataset,
    batch_size_for,
    input_specs,
)
from gscompile.errors import DataError, ModelError, UsageError
from gscompile.graph.network import Network
from gscompile.judging.budget import Measured, Search, UnmetBudget, find_other_form
from gscompile.judging.data_messages import data_messages
from gscompile.judging.splits import Splits, load_splits
from gscompile.judging.test_set import TEST, TestSet, measured
from gscompile.options import EFFORTS, Options
from gscompile.progress import Progress
from gscompile.scoring.metrics import AGREEMENT, EXPECTED, Metric
from gscompile.scoring.runner import Runner, max_output_error, score
from gscompile.scoring.score_budget import ScoreBudget
from gscompile.training.checkpoint import key_of
from gscompile.training.installed import check_torch
from gscompile.training.other_teacher import load_teacher
from gscompile.training.run_context import RunContext

if TYPE_CHECKING:
    from gscompile.compression.moments import Moments
    from gscompile.training.torch_trainer import TorchTrainer

ANNEALED_EPOCHS = 3.0  # of fine-tuning what was solved for, times --epochs and the effort
CURVATURE_DRAWS = 4  # random projections per sample without fine-tuning, where few samples are used: one is too rough

MeasureMoments = Callable[[Network], Mapping[str, "Moments"]]
Refit = Callable[[Network], Network]


@dataclass(frozen=True)
class Solvers:
    """Functions of a network by which weights are solved for.

    Args:
        moments: Returns the second moments of each layer.
        refit: Solves for the weights without gradients; None if all is left to fine-tuning.
        loss: Returns the distance of the outputs from the original's on held-out samples; with `refit`.
        retrain: Trains what was solved for; None without fine-tuning.
    """

    moments: MeasureMoments
    refit: Refit | None = None
    loss: Callable[[Network], float] | None = None
    retrain: Refit | None = None


@dataclass(frozen=True, eq=False)
class AccuracyBudget:
    """The budget of scores on validation data. The test data is measured once, on the written file.

    Args:
        original: Network as it came, which is the reference of scores on files.
        trainer: Scores and fine-tunes networks.
        score_budget: Scores that are allowed.
        val: Validation data, by which all is decided.
        split: Name of the validation data in messages.
        test: Test data, if given.
        test_metric: Metric of the test data, if it alone has labels.
        batch_size: Samples in a batch of onnxruntime.
        messages: Sentences for the report.
        progress: Display of the progress.
        original_runner: The original network in onnxruntime.
        written_base: Function that returns its score on `val`, in percent, computed at the first call.
        solvers: Functions that solve for weights.
        runs: True, since onnxruntime runs the original.
    """

    original: Network
    trainer: TorchTrainer
    score_budget: ScoreBudget
    val: Dataset
    split: str
    test: Dataset | None
    test_metric: Metric | None
    batch_size: int
    messages: tuple[str, ...]
    progress: Progress
    original_runner: Runner
    written_base: Callable[[], float]
    solvers: Solvers
    runs: bool = True

    @property
    def probes(self) -> tuple[Batch, ...]:
        return (next(self.val.batches(self.batch_size)),)

    @property
    def sample(self) -> Mapping[str, NDArray[Any]]:
        return next(self.val.batches(self.val.fixed_batch or 1)).inputs

    @property
    def refusal(self) -> UnmetBudget:
        metric = self.trainer.metric
        closely = f" or an output error of {metric.tolerance:g}" if metric.looks_closely else ""
        budget = self.score_budget
        spare = f", with {budget.margin_points:.2f} to spare" if budget.margin_points else ""
        why = f"nothing smaller fits a drop of {budget.max_drop:g} points on {self.split}{spare}{closely}"
        return UnmetBudget(why, "raise it, give more data or a larger --effort")

    def context(self, base: Context) -> Context:
        return replace(
            base,
            trainer=self.trainer,
            budget=self.score_budget,
            moments=self.solvers.moments,
            refit=self.solvers.refit,
            loss=self.solvers.loss,
            retrain=self.solvers.retrain,
            seed=self.trainer.options.seed,
            progress=self.progress,
        )

    def search(self, run: Search, context: Context) -> Sequence[PassResult]:
        return run(context)

    def fits(self, network: Network) -> bool:
        return self.score_budget.met(self.trainer.score(network))

    def fits_written(self, path: Path) -> bool:
        """Return True if a written file loses at most `max_drop` in onnxruntime, and its outputs keep their form."""
        if self.other_form(path) is not None:
            return False
        after = score(Runner(path), self.original_runner, self.val, self.trainer.metric, self.batch_size)
        return self.score_budget.met_by_written(after, base=self.written_base())

    def other_form(self, path: Path) -> str | None:
        return find_other_form(lambda: Runner(path), self.original_runner, self.probes)

    def measure(self, path: Path) -> Measured:
        original, compiled = self.original_runner, Runner(path)
        rows = tuple(measured(original, compiled, *what, self.batch_size) for what in self._to_measure())
        if self.trainer.metric.name not in (AGREEMENT, EXPECTED):
            return Measured(rows, None)
        return Measured(rows, max_output_error(compiled, original, self.val.batches(self.batch_size)))

    def _to_measure(self) -> Iterator[tuple[Metric, Dataset, str]]:
        """Yield metric, data and its name: first those by which all was decided, then the labels and the test data."""
        plain = self.trainer.plain_metric
        yield self.trainer.metric, self.val, self.split
        if plain.name != self.trainer.metric.name:
            yield plain, self.val, self.split
        if self.test is not None:
            yield self.test_metric or plain, self.test, TEST


def budget_by_data(
    original: Network, folded: Network, options: Options, progress: Progress, run_context: RunContext
) -> AccuracyBudget:
    """Load the data, build the trainer and score the original network; return the accuracy budget.

    Raises DataError, ModelError or UsageError, before hours of work, if data, network and options do not fit together.
    """
    check_torch()
    from gscompile.training.make_trainer import make_trainer
    from gscompile.training.training_options import TrainingOptions

    specs = input_specs(original.model)
    splits, batch_size = load_splits(options, specs), batch_size_for(specs, options.batch_size)
    runner, probe = _runner(original), next(splits.val.batches(batch_size), None)
    outputs = _outputs(runner, probe)
    _check_outputs(outputs)
    teacher = load_teacher(options.teacher, probe, outputs) if options.teacher and probe else None
    progress.say(f"{len(splits.train):,} samples to tune on, {len(splits.val):,} to decide on")
    settings = TrainingOptions(**{field.name: getattr(options, field.name) for field in fields(TrainingOptions)})
    trainer = make_trainer(
        folded, splits.train, splits.val, settings, progress=progress, run_context=run_context, teacher=teacher
    )
    run_context.checkpoints.claim(key_of((original, teacher), options, (splits.train, splits.val)))
    messages = (*splits.messages, *data_messages(splits, trainer, options, batch_size))
    base = trainer.score_original()
    if not math.isfinite(base):
        raise UsageError(f"metric {trainer.metric.name}: gives no finite number for the original network")
    return AccuracyBudget(
        original=original,
        trainer=trainer,
        score_budget=ScoreBudget.of(
            base, options.drop, options.margin, samples=len(splits.val), is_exact=trainer.metric.looks_closely
        ),
        val=splits.val,
        split=splits.split,
        test=splits.test,
        test_metric=_test_metric(splits, trainer, runner, original, batch_size),
        batch_size=batch_size,
        messages=messages,
        progress=progress,
        original_runner=runner,
        written_base=cache(lambda: score(runner, runner, splits.val, trainer.metric, batch_size)),
        solvers=_solvers(trainer, options),
    )


def _solvers(trainer: TorchTrainer, options: Options) -> Solvers:
    """Return the functions that `--finetune` asks for. A size is reached by closed form, and then fine-tuned."""
    from gscompile.training.kfac_moments import measure_moments, measured_once

    if options.finetune == "full" and not options.sizes:
        return Solvers(lambda network: measure_moments(trainer, network, network.layers))
    from gscompile.training.blocks import retrained
    from gscompile.training.sequential import held_out_loss, output_curvature, refitting

    def measured(network: Network) -> Mapping[str, Moments]:
        objective = trainer.objective.of_logits
        return measure_moments(trainer, network, network.layers, draws=CURVATURE_DRAWS, objective=objective)

    measure = measured_once(measured)
    retrain: Mapping[str, Refit | None] = {
        "none": None,
        "blocks": lambda network: retrained(trainer, network),
        "full": lambda network: trainer.anneal(network, ANNEALED_EPOCHS * EFFORTS[options.effort]),
    }
    refit = refitting(trainer, output_curvature(trainer.original, measure(trainer.original)))
    return Solvers(measure, refit, held_out_loss(trainer), retrain[options.finetune])


def _test_metric(
    splits: Splits, trainer: TorchTrainer, runner: Runner, original: Network, batch_size: int
) -> Metric | None:
    """Return the metric of the test data's labels, if the validation data has none."""
    test = splits.test
    if test is None or not test.has_labels or splits.val.has_labels or trainer.plain_metric.function:
        return None
    return TestSet.of(test, runner, original.model, batch_size).metric


def _runner(original: Network) -> Runner:
    """Return the network in onnxruntime. Raises ModelError if onnxruntime does not run it."""
    try:
        return Runner(original)
    except RuntimeError as problem:
        raise ModelError(f"onnxruntime cannot run the network: {problem}") from problem


def _outputs(runner: Runner, batch: Batch | None) -> dict[str, Any]:
    """Return the outputs for a batch, if there is one. Raises DataError if the network does not take it."""
    try:
        return {} if batch is None else runner(batch.inputs)
    except RuntimeError as problem:
        raise DataError(f"the network does not take the data: {problem}") from problem


def _check_outputs(outputs: Mapping[str, Any]) -> None:
    """Raise DataError if outputs are known and none is a floating-point tensor, so that nothing can be trained."""
    floats = any(getattr(value, "dtype", np.dtype(object)).kind in "fV" for value in outputs.values())
    if outputs and not floats:
        names = ", ".join(repr(name) for name in outputs)
        raise DataError(
            f"the network does not take training data: no output is a floating-point tensor (found {names}); leave out "
            "--data, or give the network that returns the scores before them"
        )
