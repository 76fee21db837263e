"""Fine-tuning: an ONNX network trained by torch towards labels and teacher, and scored.

Passes are handed a `TorchTrainer` and need not know torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.compression.recovery import SLOWER
from gscompile.compression.throughput import Throughput
from gscompile.crossbars.groups import Family
from gscompile.data.dataset import Batch, Dataset, batch_size_for, input_specs
from gscompile.errors import DataError, ExecutionError, UsageError
from gscompile.execute import Executor
from gscompile.graph.network import Network
from gscompile.graph.trainable import expose_weights, exposed, trainable_values
from gscompile.options import Options, Precision
from gscompile.progress import Progress
from gscompile.scoring.metrics import (
    AGREEMENT,
    MIN_INFORMATIVE,
    SURE,
    Metric,
    choose_metric,
    informative_samples,
    standard_error,
)
from gscompile.training.accelerator import device_named
from gscompile.training.augment import augmentation
from gscompile.training.batch_norm_reinsertion import MIN_BATCH_SAMPLES, SEEN, is_deep, normalized
from gscompile.training.batches import BatchLoader, Shard
from gscompile.training.channels_last import has_groups, has_images
from gscompile.training.checkpoint import NamedArrays
from gscompile.training.fisher_saliency import BATCHES, saliency
from gscompile.training.learning_rate import RATES, WILD, largest_harmless
from gscompile.training.memory import keep_memory
from gscompile.training.objective import OF_ANOTHER, Objective
from gscompile.training.precision import multiplies_bfloat16
from gscompile.training.run_context import RunContext
from gscompile.training.teacher import Answers
from gscompile.training.teacher_cache import EPOCHS, AugmentedTeacherCache
from gscompile.training.training_run import Masks, RunSpec, Shrink, TrainingRun

MIN_RUN_STEPS = 150  # steps of a training run of one epoch: small data is gone through several times
MOST_PASSES = 32  # over data so small that it would be learned by heart
Answered = tuple[Batch, dict[str, Tensor]]  # samples, and what somebody says of them
BY_HEART = 0.6  # of the errors on new samples: a network that makes fewer on those it is trained on goes by heart


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. `epochs` is the length of what a pass asks for as 1.0; `max_error` is what values may be off by.

    Without `lr` one is found.
    """

    lr: float | None = Options.lr
    batch_size: int = Options.batch_size
    epochs: float = Options.epochs
    seed: int = Options.seed
    threads: int | None = Options.threads
    device: str = Options.device
    precision: Precision = Options.precision
    augment: tuple[Any, ...] = Options.augment
    loss: Any = Options.loss
    metric: Any = Options.metric
    max_error: float = 0.0


@dataclass(frozen=True)
class SharedRun:
    """A training run that several processes train together: the network as ONNX, and where to go on from."""

    model: bytes
    run_spec: RunSpec
    state: NamedArrays | None


class TorchTrainer:
    """Trains networks that have the original's inputs and outputs, towards a teacher: the original, or another.

    Decisions look at `val` only. Raises DataError where the data cannot drive the network.
    """

    def __init__(
        self,
        original: Network,
        train: Dataset,
        val: Dataset,
        options: TrainingOptions,
        progress: Progress | None = None,
        run_context: RunContext | None = None,
        teacher: Network | None = None,
    ) -> None:
        self.options, self.train, self.val = options, train, val
        self.progress, self.run_context = progress or Progress(), run_context or RunContext()
        world = self.run_context.world
        keep_memory()
        if options.threads:
            torch.set_num_threads(options.threads)
        size, device = batch_size_for(input_specs(original.model), options.batch_size), world.device(options.device)
        self.feeder = BatchLoader(size, device_named(device), world, augmentation(options.augment))
        self.original, runs = original, self.feeder.executor(original)
        probe = next(iter(self.feeder.batches(val, None)), None)
        if probe is None:
            raise DataError(f"{len(val)} samples: the network takes {size} at a time; give more data")
        said, labels = self._run(runs, probe[1]), probe[1].labels
        outputs = _arrays(said)
        self.feeder.augment(self.feeder.feeds(probe[1]), torch.Generator())  # a function that does not work fails here
        self.metric: Metric = choose_metric(outputs, labels, options.max_error)
        self.objective = Objective.of(outputs, self.metric)
        self._another = teacher is not None  # teaches, not the original
        if self._another:
            self.objective = replace(self.objective, temperature=OF_ANOTHER)
        if options.metric is not None:
            self.metric = self.metric.by(options.metric)
        if options.loss is not None:
            self.objective = self.objective.by(options.loss, said, self.feeder.labels(probe[1]))
        teaches = runs if teacher is None else self.feeder.executor(teacher)
        self._taught, self._judged = self._answers(train, teaches), self._answers(val, runs)
        self._lessons: AugmentedTeacherCache | None = None  # of another teacher that knows varied samples
        self.plain_metric = self.metric
        if self.metric.function is None and self.informative_samples < MIN_INFORMATIVE:
            self.metric = self.metric.closely()
        if options.augment and self.objective.labelled and not self.objective.function:
            self._teach_views()  # without labels the teacher is to be matched as it is
        self.classes = int(outputs[self.metric.classes[0]].shape[-1]) if self.metric.classes else 0
        self._runs, self._epochs = 0, 0  # training runs, and their epochs
        # whether the ends of recoveries are varied: where anything is, that is found at the first
        self._varied: bool | None = None if options.augment else True
        self.toll = 0.0  # points that a short run costs the original itself: a long one, let down, brings them back
        self.hottest = math.inf  # times the rate that a training run has been found to take without harm
        self._pace = 0.0  # seconds that a step took the last time, but for asking a teacher and for normalising

    def _answers(self, data: Dataset, executor: Executor) -> Answers:
        return Answers(self.feeder, data, executor, self._wanted)

    def _wanted(self, outputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """The outputs that fine-tuning or scores ask for, by name."""
        objective, metric = self.objective, self.metric
        names = {*objective.logits, *objective.values, *metric.classes, *metric.values}
        every = objective.function is not None or metric.function is not None
        return {n: o for n, o in outputs.items() if n in names or (every and isinstance(o, Tensor))}

    # -- measuring --------------------------------------------------------------------------------------------

    def score(self, network: Network) -> float:
        """Percent on the validation part, by the metric."""
        return self._score(self.feeder.executor(network), self._deciding())

    def expect_accuracy(self) -> None:
        """Score agreement by the original's probabilities from here on, where these tell how sure it is.

        Of a single output of classes, and where the mean probability of the original's class is at least `SURE`: a
        class that the original holds possible then costs less than one that it rules out, and chance makes less of it.
        """
        metric = self.metric
        if metric.name != AGREEMENT or metric.function or metric.values or len(metric.classes) != 1:
            return
        said = ((_arrays(self._judged.to(rows, b)), b.labels) for rows, b in self.feeder.batches(self.val, None))
        expected = metric.expected()
        if expected.score((outputs, outputs, labels) for outputs, labels in said) >= 100 * SURE:
            self.metric = expected

    @cached_property
    def base(self) -> float:
        """The original's own score."""
        return self.score(self.original)

    @property
    def teacher_score(self) -> float:
        """That of the teacher."""
        return self._score(self._taught.executor, self._deciding())

    @cached_property
    def informative_samples(self) -> float:
        """How many samples of the validation part tell whether classes are right."""
        seen = (
            (_arrays(self._judged.to(rows, b)), b.labels, math.inf if self.val.ready_made else len(rows))
            for rows, b in self.feeder.batches(self.val, None)
        )
        return informative_samples(self.plain_metric, seen)

    def _teach_views(self) -> None:
        """Learn what the teacher says of varied samples, where on average over several views it is right more often.

        That is decided on the validation part. A teacher that was trained on samples as they are knows others less. The
        original is asked about few views of each, and their mean learned; another teacher, which knows more, about all
        that are trained on.
        """
        seed, teaches = self.options.seed, self._taught.executor
        plain = self._answers(self.val, teaches) if self._another else self._judged
        tried = plain.over_views(seed, self.mixed)
        if tried is plain or self._right(tried) <= self._right(plain):
            return
        if self._another:
            self._lessons = AugmentedTeacherCache(
                self._taught, self.mixed, seed, self.steps_per_epoch, self.run_context.journal
            )
        else:
            self._taught = self._taught.over_views(seed, self.mixed)

    def _right(self, answers: Answers) -> float:
        """Percent of the validation part that the teacher tells right."""
        said = ((_arrays(answers.to(rows, b)), b.labels) for rows, b in self.feeder.batches(self.val, None))
        return self.plain_metric.score((outputs, outputs, labels) for outputs, labels in said)

    def _deciding(self) -> Iterator[Answered]:
        return ((batch, self._judged.to(rows, batch)) for rows, batch in self.feeder.batches(self.val, None))

    @torch.no_grad()
    def _score(self, executor: Executor, answered: Iterable[Answered]) -> float:
        def results() -> Iterator[tuple[dict[str, Any], dict[str, Any], NDArray[Any] | None]]:
            for batch, said in answered:
                yield _arrays(self._run(executor, batch)), _arrays(said), batch.labels

        return self.metric.score(results())

    def saliency(self, network: Network, families: tuple[Family, ...]) -> dict[Family, NDArray[np.float64]]:
        """Return the saliency of each group: the loss of setting it to zero."""
        return saliency(network, families, self.feeder, lambda executor: self._probes(executor, BATCHES))

    @staticmethod
    def shrink(layers: Masks, vectors: Masks) -> Shrink:
        """Return pruning masks for `tune`, so that passes need not import torch code."""
        return Shrink(layers, vectors)

    # -- training ---------------------------------------------------------------------------------------------

    def tune(
        self,
        network: Network,
        epochs: float,
        shrink: Shrink | None = None,
        anneal: bool = False,
        lr: float = 1.0,
        normalize: bool = False,
    ) -> Network:
        """Train for `epochs` times the option of that name; returns a network of its own.

        Weights of layers that are zero stay zero. `lr` scales the learning rate; `anneal` lets it fall to zero along
        a cosine. With `normalize` a deep network, of which no vectors shrink, is normalised over batches. A loss that
        is not finite ends the run with the last good weights.
        """
        return self._tuned(network, epochs, lr * self.rate, shrink, anneal, normalize=normalize)

    def let_down(self, network: Network, epochs: float, lr: float = 1.0, normalize: bool = False) -> Network:
        """Train for `epochs` while the learning rate falls to zero, on varied samples or, in the end, plain ones.

        Samples that are varied teach large networks more, and small ones less, than what they are judged by: the
        first time both are tried, from then on what did better. One that knows its samples by heart needs no trial.
        """

        def tuned(varied: bool) -> Network:
            return self._tuned(network, epochs, lr * self.rate, anneal=True, varied=varied, normalize=normalize)

        if self._varied is None and self._by_heart(network):
            self._varied = True
        if self._varied is not None:
            return tuned(self._varied)
        tried = {varied: tuned(varied) for varied in (True, False)}
        self._varied = max(tried, key=lambda varied: self.score(tried[varied]))
        return tried[self._varied]

    def _by_heart(self, network: Network) -> bool:
        """Return whether a network overfits: far fewer errors on training samples than on validation samples."""
        executor, count = self.feeder.executor(network), math.ceil(len(self.val) / self.feeder.unit(self.val))
        trained_on = ((batch, self._taught.asked(batch)) for batch in self.some(count))
        errors = 100 - self._score(executor, trained_on)
        return errors < BY_HEART * (100 - self._score(executor, self._deciding()))

    def backward(self, executor: Executor, part: Shard, target: Mapping[str, Tensor], mixed: bool) -> Tensor:
        """The loss on a part of a batch; gradients are left in the weights. `mixed` multiplies in bfloat16."""
        with torch.autocast(self.feeder.device.type, torch.bfloat16, enabled=mixed):
            outputs = executor(part.feeds)
        loss = self.objective.loss(outputs, target, self.feeder.labels(part.batch))
        torch.autograd.backward(loss)
        return loss

    @cached_property
    def mixed(self) -> bool:
        """Return whether steps multiply in bfloat16: as requested, or for image classification where it is faster.

        Values and probabilities that are compared closely want all their digits; convolutions of groups take longer.
        """
        if self.options.precision == "bfloat16" and not self._runs_mixed():
            raise UsageError("precision bfloat16: an op of the network does not take it; expected float32 or auto")
        if self.options.precision != "auto":
            return self.options.precision == "bfloat16"
        metric, objective = self.metric, self.objective
        coarse = metric.classes and not metric.looks_closely and not objective.probabilities and not objective.function
        faster = has_images(self.original) and not has_groups(self.original) and multiplies_bfloat16(self.feeder.device)
        return bool(coarse) and faster and self._runs_mixed()

    def _runs_mixed(self) -> bool:
        """Return whether original and teacher run with gradients in bfloat16: not every op supports mixed types."""
        rows, batch = next(self.feeder.batches(self.train, self.options.seed))
        network = exposed(self.original)
        part, target = Shard(rows, batch, self.feeder.feeds(batch), 1.0), self._taught.asked(batch)
        try:
            if self._another:
                self._taught.anew(part.feeds, mixed=True)
            self.backward(self.feeder.executor(network, trainable_values(network)), part, target, True)
        except (RuntimeError, ExecutionError):
            return False
        return True

    @cached_property
    def rate(self) -> float:
        """The learning rate that was asked for, or the largest that does a trained network no harm.

        Harm is what half an epoch takes from the original's own score, and where steps as long as those of recoveries
        make half as many errors again. Where outputs are compared closely, it is the smallest.
        """
        if self.options.lr is not None or self.metric.looks_closely:
            return self.options.lr or RATES[-1]

        def toll(rate: float) -> float:
            return max(0.0, self.base - self.score(self._tuned(self.original, 0.5, rate)))

        chance = standard_error(self.base, len(self.val))
        rate, self.toll = largest_harmless(toll, chance, WILD * (100 - self.base) + chance)
        return rate

    def _tuned(
        self,
        network: Network,
        epochs: float,
        rate: float,
        shrink: Shrink | None = None,
        anneal: bool = False,
        varied: bool = True,
        normalize: bool = False,
    ) -> Network:
        network = network.copy()
        expose_weights(network)
        normalize = normalize and self.normalizes
        with normalized(network, self._watched) if normalize else nullcontext():
            run = TrainingRun(self, network, self._stretch(self._steps(epochs), rate, shrink, anneal, varied))
            self._carry_out(run, f"{self._runs:04}-{run.digest()}", SLOWER if normalize else 1.0)
            run.write_back()
        return network

    @cached_property
    def normalizes(self) -> bool:
        """Return whether batch normalization can be reinserted: into deep networks, with large enough batches.

        They do not tell closely enough where the original's values are to be met.
        """
        size = 1 if self.train.ready_made else min(self.feeder.size, len(self.train))
        coarse = bool(self.objective.labelled) and not self.metric.looks_closely
        return coarse and size >= MIN_BATCH_SAMPLES * self.feeder.world.size and is_deep(self.original)

    @torch.no_grad()
    def _watched(self, network: Network, values: Collection[ir.Value]) -> Iterator[Mapping[str, Any]]:
        """Values in the network, by name, for some batches of training samples as they are."""
        executor = self.feeder.executor(network)
        with torch.autocast(self.feeder.device.type, torch.bfloat16, enabled=self.mixed):
            for batch in self.some(SEEN):
                yield executor(self.feeder.feeds(batch), values)

    def _stretch(self, steps: int, rate: float, shrink: Shrink | None, anneal: bool, varied: bool) -> RunSpec:
        """The next one, with samples as no other has them, or as there are lessons on them."""
        again = EPOCHS if varied and self._lessons is not None else 0
        self._runs += 1
        seed, first = self.options.seed + (0 if again else 1000 * self._runs), self._epochs
        self._epochs += math.ceil(steps / self.steps_per_epoch)
        return RunSpec(steps, seed, anneal, rate, shrink, varied, first, again)

    def _carry_out(self, run: TrainingRun, name: str, slower: float) -> None:
        """Train together with the other processes, from where an earlier run of the same command was.

        Others of the network take a `slower` part of what this one does.
        """
        state = self.run_context.journal.load(name)
        if state is not None and not run.fits(state):
            self.progress.say(f"{name} in the journal does not fit this training run: done anew")
            state = None
        if state is not None:
            run.restore(state)
        if run.over:
            return
        if self.feeder.world.size > 1:
            self.feeder.world.share(SharedRun(run.network.to_proto().SerializeToString(), run.run_spec, state))
        began, first, asked = time.monotonic(), run.done, self._asking
        run.train(lambda: self._keep(run, name))
        self._pace = (time.monotonic() - began - (self._asking - asked)) / slower / max(run.done - first, 1)
        if not run.cut_short:
            self.run_context.journal.save(name, run.result())

    @property
    def _asking(self) -> float:
        """Seconds spent on asking another teacher about varied samples."""
        return self._lessons.seconds if self._lessons else 0.0

    @property
    def pace(self) -> Throughput:
        """How long training takes, as it did lately, in epochs of the option of that name."""
        unit, lessons = self._steps(1.0), self._lessons
        if lessons is None:
            return Throughput(unit * self._pace)
        return Throughput(unit * self._pace, unit * lessons.pace, lessons.left / unit)

    def _keep(self, run: TrainingRun, name: str) -> None:
        if self.run_context.journal.due:
            self.run_context.journal.save(name, run.state())

    def follow(self) -> Any:
        """Train what the first process says, until it says something else; returns that."""
        while isinstance(job := self.feeder.world.share(), SharedRun):
            network = Network.from_proto(onnx.ModelProto.FromString(job.model))
            run = TrainingRun(self, network, job.run_spec)
            if job.state is not None:
                run.restore(job.state)
            run.train()
        return job

    def _steps(self, epochs: float) -> int:
        return max(1, round(epochs * self.options.epochs * self._steps_per_stretch))

    @property
    def steps_per_epoch(self) -> int:
        """Batches that an epoch has: of mixed samples a rest smaller than a batch is left out."""
        return max(1, len(self.train) // self.feeder.unit(self.train))

    @property
    def _steps_per_stretch(self) -> int:
        """Of one epoch, and of several where the data is small."""
        most = self.steps_per_epoch * MOST_PASSES if self.metric.looks_closely else MIN_RUN_STEPS
        return max(self.steps_per_epoch, min(MIN_RUN_STEPS, most))

    @property
    def seed(self) -> int:
        """The seed of draws."""
        return self.options.seed

    def some(self, count: int) -> Iterator[Batch]:
        """Up to `count` mixed batches of the training part; so many, again and again, where it is very small."""
        rounds = count if self.metric.looks_closely else 1
        seeds = range(self.options.seed, self.options.seed + rounds)
        yield from islice((batch for seed in seeds for _, batch in self.feeder.batches(self.train, seed)), count)

    def _probes(self, executor: Executor, count: int) -> Iterator[Tensor]:
        """A random projection of the outputs of each of some batches, to be differentiated."""
        generator = torch.Generator().manual_seed(self.options.seed)
        for batch in self.some(count):
            yield self.objective.probe(self._run(executor, batch), generator)

    # -- what is learned --------------------------------------------------------------------------------------

    def learn(self, executor: Executor, part: Shard, run_spec: RunSpec, epoch: int) -> Tensor:
        """The loss on a part of a batch, in an epoch of the run; gradients are left in the weights."""
        target = self.lesson(part, run_spec, epoch)
        with self.feeder.world.parted(part.share):
            return self.backward(executor, part, target, self.mixed)

    def lesson(self, part: Shard, run_spec: RunSpec, epoch: int) -> dict[str, Tensor]:
        """Return the teacher's outputs for a share of a batch in an epoch; for the augmented inputs where cached."""
        if self._lessons is not None and run_spec.again:
            return self._lessons.of(run_spec.seed_of(epoch), part)
        return self._taught.to(part.rows, part.batch)

    def _run(self, executor: Executor, batch: Batch) -> dict[str, Any]:
        outputs: dict[str, Any] = executor(self.feeder.feeds(batch))
        return outputs


def _arrays(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: o.numpy(force=True) if isinstance(o, Tensor) else o for name, o in outputs.items()}
