"""The budget on validation data: the accuracy that may be lost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.compression.passes import Context, PassResult
from gscompile.data.dataset import (
    Batch,
    Dataset,
    InputSpec,
    batch_size_for,
    check_labels,
    input_specs,
    labels_fault,
    load_data,
)
from gscompile.errors import DataError, ModelError, UsageError
from gscompile.graph.network import Network
from gscompile.judging.budget import Measured, Search, UnmetBudget, find_other_form
from gscompile.judging.test_set import TEST, TestSet, measured
from gscompile.options import Finetune, Options
from gscompile.progress import Progress
from gscompile.scoring.metrics import ACCURACY, AGREEMENT, EXPECTED, MIN_INFORMATIVE, Metric, standard_error
from gscompile.scoring.runner import Runner, max_output_error, score
from gscompile.training.checkpoint import key_of
from gscompile.training.installed import check_torch
from gscompile.training.other_teacher import load_teacher
from gscompile.training.run_context import RunContext

if TYPE_CHECKING:
    from gscompile.compression.moments import Moments
    from gscompile.training.torch_trainer import TorchTrainer

DRAWS = 8  # of a class for each sample, where few samples are all there is: the curvature of one draw is too rough
ROUNDED = 1e-6  # points by which two scores that count as equal may differ
HELD_OUT, HELD_SAMPLES = 0.1, 200  # of --data, where there is no --val: a tenth, or so many if that is up to half


@dataclass(frozen=True, eq=False)
class AccuracyBudget:
    """Scores on `val` decide; `test` is measured once, on the file."""

    original: Network
    trainer: TorchTrainer
    val: Dataset
    split: str
    test: Dataset | None
    base: float
    max_drop: float
    batch_size: int
    messages: tuple[str, ...]
    progress: Progress
    margin: float = 0.0
    runs: bool = True
    test_metric: Metric | None = None  # where the test data alone has labels
    finetune: Finetune = "full"

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
        spare = f", with {self.margin * self.blur:.2f} to spare" if self.margin * self.blur else ""
        why = f"nothing smaller fits a drop of {self.max_drop:g} points on {self.split}{spare}{closely}"
        return UnmetBudget(why, "raise it, give more data or a larger --effort")

    @property
    def floor(self) -> float:
        """The lowest score within the budget: samples that were not seen may do worse than those that decide."""
        return self.base - self.max_drop + self.margin * self.blur - 1e-9

    @property
    def blur(self) -> float:
        """What chance makes of the score that the budget allows, in points; nothing where outputs are compared closely.

        Near 100 % that is more than it makes of the original's: few errors, and twice as many.
        """
        return 0.0 if self.trainer.metric.looks_closely else standard_error(self.base - self.max_drop, len(self.val))

    def context(self, base: Context) -> Context:
        return replace(
            base,
            trainer=self.trainer,
            floor=self.floor,
            blur=self.blur,
            moments=self._measured if self.finetune == "none" else self._moments,
            refit=self._refit if self.finetune == "none" else None,
            seed=self.trainer.options.seed,
            progress=self.progress,
        )

    def _moments(self, network: Network) -> Mapping[str, Moments]:
        from gscompile.training.kfac_moments import measure_moments

        return measure_moments(self.trainer, network, network.layers)

    @cached_property
    def _measured(self) -> Callable[[Network], Mapping[str, Moments]]:
        """What measures moments from few samples, those of a network of the same weights once."""
        from gscompile.training.kfac_moments import measure_moments, measured_once

        return measured_once(lambda network: measure_moments(self.trainer, network, network.layers, draws=DRAWS))

    @cached_property
    def _refit(self) -> Callable[[Network], Network]:
        from gscompile.training.sequential import output_curvature, refitting

        original = self.trainer.original
        return refitting(self.trainer, output_curvature(original, self._measured(original)))

    def search(self, run: Search, context: Context) -> Sequence[PassResult]:
        return run(context)

    def fits(self, network: Network) -> bool:
        return self.trainer.score(network) >= self.floor

    def fits_written(self, path: Path) -> bool:
        """Whether the scores that onnxruntime gives differ by the budget at most, and outputs have the same form."""
        if self.other_form(path) is not None:
            return False
        after = score(Runner(path), self._original, self.val, self.trainer.metric, self.batch_size)
        return after >= self._written_base - self.max_drop - ROUNDED

    def other_form(self, path: Path) -> str | None:
        return find_other_form(lambda: Runner(path), self._original, self.probes)

    @cached_property
    def _original(self) -> Runner:
        return Runner(self.original)

    @cached_property
    def _written_base(self) -> float:
        """The score that onnxruntime gives the original network, in percent."""
        return score(self._original, self._original, self.val, self.trainer.metric, self.batch_size)

    def measure(self, path: Path) -> Measured:
        original, compiled = self._original, Runner(path)
        rows = tuple(measured(original, compiled, *what, self.batch_size) for what in self._to_measure())
        if self.trainer.metric.name not in (AGREEMENT, EXPECTED):
            return Measured(rows, None)
        return Measured(rows, max_output_error(compiled, original, self.val.batches(self.batch_size)))

    def _to_measure(self) -> Iterator[tuple[Metric, Dataset, str]]:
        """What decided first; then what the labels say, and the test data."""
        plain = self.trainer.plain_metric
        yield self.trainer.metric, self.val, self.split
        if plain.name != self.trainer.metric.name:
            yield plain, self.val, self.split
        if self.test is not None:
            yield self.test_metric or plain, self.test, TEST


@dataclass(frozen=True, eq=False)
class Splits:
    """The data by what it is for: tuning, deciding, and measuring once; `split` says what decides."""

    train: Dataset
    val: Dataset
    test: Dataset | None
    split: str
    messages: tuple[str, ...]

    @property
    def all(self) -> tuple[Dataset, ...]:
        return tuple(data for data in (self.train, self.val, self.test) if data is not None)


def _splits(options: Options, specs: tuple[InputSpec, ...]) -> Splits:
    train = load_data(options.data, specs)
    test = load_data(options.test, specs) if options.test is not None else None
    if options.val is None:
        train, val = train.split(_held_out(train, 0.25 if options.max_drop is None else 0.5), options.seed)
        said = "no --val: a part of --data decides, on which the original network may have been trained"
        return Splits(train, val, test, "a part held out of the data", (said,))
    val = load_data(options.val, specs)
    if train.has_labels != val.has_labels:
        raise DataError("labels: in one of --data and --val but not in the other; give both or neither")
    return Splits(train, val, test, "the eval data", ())


def _held_out(data: Dataset, most: float = 0.5) -> float:
    """The share of the data that decides, `most` of few samples: less where only a size is asked for."""
    shapes = (array.shape for array in data.batch(np.arange(1)).inputs.values())
    each = max((shape[0] for shape in shapes if shape), default=1) if data.ready_made else 1
    return max(HELD_OUT, min(most, HELD_SAMPLES / (max(each, 1) * len(data))))


def budget_by_data(
    original: Network, folded: Network, options: Options, progress: Progress, run_context: RunContext
) -> AccuracyBudget:
    check_torch()
    from gscompile.training.torch_trainer import TorchTrainer, TrainingOptions

    specs = input_specs(original.model)
    splits, batch = _splits(options, specs), batch_size_for(specs, options.batch_size)
    probe = next(splits.val.batches(batch), None)
    said = _try_out(original, probe)
    _check_outputs(said)
    teacher = load_teacher(options.teacher, probe, said) if options.teacher and probe else None
    progress.say(f"{len(splits.train):,} samples to tune on, {len(splits.val):,} to decide on")
    settings = TrainingOptions(**{field.name: getattr(options, field.name) for field in fields(TrainingOptions)})
    trainer = TorchTrainer(folded, splits.train, splits.val, settings, progress, run_context, teacher)
    if options.finetune == "none":
        trainer.expect_accuracy()
    run_context.journal.claim(key_of((original, teacher), options, (splits.train, splits.val)))
    messages = (
        *splits.messages,
        *_check_labels(splits, trainer),
        *_few(splits, trainer),
        *_taught(splits, trainer, options),
    )
    messages = (*messages, *_by_chance(splits, trainer, batch))
    if not math.isfinite(trainer.base):
        raise UsageError(f"metric {trainer.metric.name}: gives no finite number for the original network")
    return AccuracyBudget(
        original,
        trainer,
        splits.val,
        splits.split,
        splits.test,
        trainer.base,
        options.drop,
        batch,
        messages,
        progress,
        options.margin,
        test_metric=_test_metric(splits, trainer, original, batch),
        finetune=options.finetune,
    )


def _test_metric(splits: Splits, trainer: TorchTrainer, original: Network, batch: int) -> Metric | None:
    """Return the metric of the test data's labels, where the data that decides has none."""
    test = splits.test
    if test is None or not test.has_labels or splits.val.has_labels or trainer.plain_metric.function:
        return None
    return TestSet.of(test, Runner(original), original.model, batch).metric


def _check_labels(splits: Splits, trainer: TorchTrainer) -> tuple[str, ...]:
    """Raise DataError for labels that are no classes of the network; say where labels are not used."""
    if trainer.plain_metric.name == ACCURACY or trainer.objective.labelled:
        for data in splits.all:
            check_labels(data, trainer.classes)
        return ()
    if trainer.metric.function or trainer.objective.function:
        return ()  # whose business the labels are
    if splits.val.has_labels and trainer.metric.classes and not splits.val.ready_made:
        wanted = "labels: no output tells their classes; give a whole number for each sample, or no labels"
        raise DataError(labels_fault(splits.val) or wanted)
    return ("the labels are not used: no output tells their classes",) if splits.val.has_labels else ()


def _few(splits: Splits, trainer: TorchTrainer) -> tuple[str, ...]:
    """What is asked beside agreement where the samples are too few, or too much alike, to tell."""
    if not trainer.metric.looks_closely:
        return ()
    told, within = f"{len(splits.val):,} samples decide", f"{trainer.metric.tolerance:g} of what they vary by"
    why = (
        "too few"
        if len(splits.val) < MIN_INFORMATIVE
        else f"{trainer.informative_samples:.0f} of them not of the commonest class, too few"
    )
    return (
        f"{told}, {why} for classes alone: the outputs count as unchanged within {within} (--max-output-error); beyond "
        "that their unexplained variance counts, in points",
    )


def _by_chance(splits: Splits, trainer: TorchTrainer, batch_size: int) -> tuple[str, ...]:
    """Say where the original network is right no more often than one answer for all samples; two standard errors count.

    A budget of points below such a score is met by any network.
    """
    if trainer.metric.name != ACCURACY:
        return ()
    counts = Counter[int]()
    for batch in splits.val.batches(batch_size):
        counts.update(np.asarray(batch.labels).ravel().tolist())
    commonest = 100 * max(counts.values(), default=0) / max(counts.total(), 1)
    if trainer.base > commonest + 2 * standard_error(commonest, max(counts.total(), 1)):
        return ()
    return (
        f"the original network is no better than chance: {trainer.base:.2f} % accuracy on {splits.split}, of which "
        f"{commonest:.2f} % have the commonest label; check inputs and labels, a budget says nothing here",
    )


def _taught(splits: Splits, trainer: TorchTrainer, options: Options) -> tuple[str, ...]:
    """How good the teacher is, where it is not the original."""
    if options.teacher is None:
        return ()
    name, metric = Path(options.teacher).name, trainer.metric.name
    return (f"learned from {name}: {trainer.teacher_score:.2f} % {metric} on {splits.split}",)


def _try_out(original: Network, batch: Batch | None) -> dict[str, Any]:
    """What the network says of a batch. Raises, before hours of work, where onnxruntime does not run it, or not so."""
    try:
        runner = Runner(original)
    except RuntimeError as problem:
        raise ModelError(f"onnxruntime cannot run the network: {problem}") from problem
    try:
        return {} if batch is None else runner(batch.inputs)
    except RuntimeError as problem:
        raise DataError(f"the network does not take the data: {problem}") from problem


def _check_outputs(said: Mapping[str, Any]) -> None:
    """Raise DataError where outputs are known and none is a floating-point tensor, so that nothing can be trained."""
    floats = any(getattr(value, "dtype", np.dtype(object)).kind in "fV" for value in said.values())
    if said and not floats:
        names = ", ".join(repr(name) for name in said)
        raise DataError(
            f"the network does not take training data: no output is a floating-point tensor (found {names}); leave out "
            "--data, or give the network that returns the scores before them"
        )
