"""Build a trainer: run the original network, and choose metric, objective, precision and teacher by its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gscompile.data.dataset import Batch, Dataset, batch_size_for, input_specs
from gscompile.errors import DataError
from gscompile.execute import Executor
from gscompile.graph.network import Network
from gscompile.progress import Progress
from gscompile.scoring.metrics import Metric, choose_metric
from gscompile.training.accelerator import device_named
from gscompile.training.augment import augmentation
from gscompile.training.batch_norm_reinsertion import MIN_BATCH_SAMPLES, is_deep
from gscompile.training.batches import BatchLoader
from gscompile.training.checkpoint import Checkpoints
from gscompile.training.memory import keep_memory
from gscompile.training.objective import OTHER_TEMPERATURE, Objective
from gscompile.training.precision import choose_bfloat16
from gscompile.training.run_context import RunContext
from gscompile.training.scorer import Scorer, as_arrays
from gscompile.training.teacher import Teacher, teacher_of_augmented
from gscompile.training.teacher_cache import AugmentedTeacherCache
from gscompile.training.teacher_outputs import SelectOutputs, TeacherOutputs
from gscompile.training.torch_trainer import TorchTrainer
from gscompile.training.training_data import TrainingData
from gscompile.training.training_options import TrainingOptions
from gscompile.training.training_run import TrainingSetup
from gscompile.training.training_step import TrainingStep


def make_trainer(
    original: Network,
    train: Dataset,
    val: Dataset,
    options: TrainingOptions,
    progress: Progress | None = None,
    run_context: RunContext | None = None,
    teacher: Network | None = None,
) -> TorchTrainer:
    """Return a trainer for networks that have the inputs and outputs of `original`.

    Raises DataError if the network cannot run on the data, UsageError for a function, device or precision that does not
    work.

    Args:
        train: Data to train on.
        val: Data that all decisions look at.
        run_context: Other processes, checkpoints and deadline; none if not given.
        teacher: Network whose outputs are learned in the place of the original's.
    """
    run_context = run_context or RunContext()
    feeder = _prepare_torch(original, options, run_context)
    executor = feeder.executor(original)
    probe = _probe(feeder, executor, val)
    metric, objective = _metric_and_objective(probe, options, is_original=teacher is None)
    select = partial(_selected, objective=objective, metric=metric)
    scorer = _scorer(feeder, val, TeacherOutputs(feeder, val, executor, select), metric, options)
    data = TrainingData(train, feeder, options.seed, is_small=scorer.metric.looks_closely)
    taught_by = executor if teacher is None else feeder.executor(teacher)
    plain = Teacher(TeacherOutputs(feeder, train, taught_by, select), is_original=teacher is None)
    bfloat16 = choose_bfloat16(
        options.precision, original, train, feeder, plain, objective, scorer.metric, options.seed
    )
    augmented = plain
    if options.augment and objective.labelled and not objective.function:
        augmented = _teacher_of_augmented(plain, scorer, data, select, bfloat16, run_context.checkpoints)
    if options.finetune != "full":
        scorer = scorer.by_expected_accuracy()
    step = TrainingStep(feeder, objective, augmented, bfloat16)
    return TorchTrainer(
        original=original,
        options=options,
        data=data,
        scorer=scorer,
        setup=TrainingSetup(
            train=train, feeder=feeder, step=step, run_context=run_context, progress=progress or Progress()
        ),
        can_reinsert_batch_norm=_can_reinsert_batch_norm(original, data, objective, scorer.metric),
        classes=int(probe.outputs[metric.classes[0]].shape[-1]) if metric.classes else 0,
    )


def _prepare_torch(original: Network, options: TrainingOptions, run_context: RunContext) -> BatchLoader:
    """Set up memory, threads and device; return the loader of batches."""
    keep_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    world = run_context.world
    size, device = batch_size_for(input_specs(original.model), options.batch_size), world.device(options.device)
    return BatchLoader(size, device_named(device), world, augmentation(options.augment))


@dataclass(frozen=True, eq=False)
class ProbedBatch:
    """The first validation batch, its labels on the device, and the outputs of the original network for it."""

    batch: Batch
    labels: Tensor | None
    outputs: Mapping[str, Any]


def _probe(feeder: BatchLoader, executor: Executor, val: Dataset) -> ProbedBatch:
    """Run the original network, and the augmentation, on the first validation batch."""
    first = next(iter(feeder.batches(val, None)), None)
    if first is None:
        raise DataError(f"{len(val)} samples: the network takes {feeder.size} at a time; give more data")
    batch = first[1]
    outputs = executor(feeder.feeds(batch))
    feeder.augment(feeder.feeds(batch), torch.Generator())  # raises if a function of the user does not work
    return ProbedBatch(batch, feeder.labels(batch), outputs)


def _metric_and_objective(probe: ProbedBatch, options: TrainingOptions, is_original: bool) -> tuple[Metric, Objective]:
    """Return the metric and the objective that suit the outputs, or those of the user."""
    arrays = as_arrays(probe.outputs)
    metric = choose_metric(arrays, probe.batch.labels, options.max_error)
    objective = Objective.of(arrays, metric)
    if not is_original:
        objective = replace(objective, temperature=OTHER_TEMPERATURE)
    if options.metric is not None:
        metric = metric.by(options.metric)
    if options.loss is not None:
        objective = objective.by(options.loss, probe.outputs, probe.labels)
    return metric, objective


def _selected(outputs: Mapping[str, Any], objective: Objective, metric: Metric) -> dict[str, Tensor]:
    """Return the outputs, by name, that the objective or the metric reads; a function of the user may read all."""
    names = {*objective.logits, *objective.values, *metric.classes, *metric.values}
    reads_all = objective.function is not None or metric.function is not None
    return {n: o for n, o in outputs.items() if n in names or (reads_all and isinstance(o, Tensor))}


def _scorer(
    feeder: BatchLoader, val: Dataset, outputs: TeacherOutputs, metric: Metric, options: TrainingOptions
) -> Scorer:
    """Return the scorer on the validation data; it compares outputs closely if few samples tell classes apart."""
    scorer = Scorer(feeder=feeder, val=val, original=outputs, metric=metric, plain_metric=metric)
    return scorer if options.metric is not None else scorer.count_informative()


def _teacher_of_augmented(
    plain: Teacher,
    scorer: Scorer,
    data: TrainingData,
    select: SelectOutputs,
    bfloat16: bool,
    checkpoints: Checkpoints,
) -> Teacher:
    """Return the teacher, run on augmented samples if that makes it right more often."""
    executor = plain.outputs.executor
    validation = scorer.original if plain.is_original else TeacherOutputs(data.feeder, scorer.val, executor, select)

    def make_cache(outputs: TeacherOutputs) -> AugmentedTeacherCache:
        return AugmentedTeacherCache(
            outputs, bfloat16=bfloat16, seed=data.seed, batches=data.steps_per_epoch, checkpoints=checkpoints
        )

    return teacher_of_augmented(plain, validation, scorer.accuracy_of, data.seed, bfloat16, make_cache)


def _can_reinsert_batch_norm(original: Network, data: TrainingData, objective: Objective, metric: Metric) -> bool:
    """Return True for deep networks with large enough batches, unless the original's outputs must be met closely."""
    size = 1 if data.train.ready_made else min(data.feeder.size, len(data.train))
    is_coarse = bool(objective.labelled) and not metric.looks_closely
    return is_coarse and size >= MIN_BATCH_SAMPLES * data.feeder.world.size and is_deep(original)
