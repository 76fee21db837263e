"""The trainer that passes use: scores, saliencies and fine-tuning with torch, behind the protocol `Trainer`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.compression.throughput import Throughput
from gscompile.compression.trainer import LearningRate
from gscompile.crossbars.groups import Family
from gscompile.data.dataset import Batch
from gscompile.execute import Executor
from gscompile.graph.network import Network
from gscompile.graph.trainable import expose_weights
from gscompile.scoring.metrics import standard_error
from gscompile.search.settings import BATCH_NORM_STEP_TIME
from gscompile.training.batch_norm_reinsertion import MOMENT_BATCHES, channel_values, reinserted
from gscompile.training.checkpointed_run import train_from_checkpoint
from gscompile.training.fisher_saliency import SALIENCY_BATCHES, saliency
from gscompile.training.learning_rate import RATES, TRIAL_EPOCHS, choose_learning_rate
from gscompile.training.run_spec import Masks, RunNumbers, Shrink
from gscompile.training.scorer import Scorer
from gscompile.training.shared_run import run_worker
from gscompile.training.training_data import TrainingData
from gscompile.training.training_options import TrainingOptions
from gscompile.training.training_run import TrainingRun, TrainingSetup

OVERFITTING = 0.6  # a network overfits if it makes fewer than so many errors on training samples per validation error


class TorchTrainer:
    """Score and fine-tune networks that have the inputs and outputs of the original, towards a teacher.

    `make_trainer` builds one. Decisions look at the validation data only.

    `classes` is the number of classes that the network tells apart, or 0. What changes while networks are trained:

    - `numbers`: the number of runs and epochs so far, from which every run has its own sample order.
    - `learning_rate`, `original_score`: None until they are asked for.
    - `max_lr_scale`: the largest factor of the learning rate that has not done harm in a recovery.
    - `anneals_augmented`: whether samples are augmented while the learning rate is annealed; None until that was tried.
    - `seconds_per_step`: as measured in the last run, for a plain step with known outputs of the teacher.
    """

    def __init__(
        self,
        *,
        original: Network,
        options: TrainingOptions,
        data: TrainingData,
        scorer: Scorer,
        setup: TrainingSetup,
        can_reinsert_batch_norm: bool,
        classes: int,
    ) -> None:
        self.original, self.options, self.data, self.scorer, self.setup = original, options, data, scorer, setup
        self.train, self.val, self.feeder = data.train, scorer.val, data.feeder
        self.metric, self.plain_metric = scorer.metric, scorer.plain_metric
        self.objective, self.teacher = setup.step.objective, setup.step.teacher
        self.can_reinsert_batch_norm, self.classes = can_reinsert_batch_norm, classes
        self.numbers = RunNumbers(options.seed)
        self.learning_rate: LearningRate | None = None
        self.original_score: float | None = None
        self.max_lr_scale = math.inf
        self.anneals_augmented: bool | None = None if options.augment else True
        self.seconds_per_step = 0.0

    # -- measuring --------------------------------------------------------------------------------------------

    def score(self, network: Network) -> float:
        """Return the score of a network on the validation data, in percent."""
        return self.scorer.score(network)

    def score_original(self) -> float:
        """Return the score of the original network, in percent; it is computed at the first call."""
        if self.original_score is None:
            self.original_score = self.score(self.original)
        return self.original_score

    def score_teacher(self) -> float:
        """Return the score of the teacher, in percent."""
        return self.scorer.score_of(self.teacher.outputs.executor, self.scorer.validation_batches())

    def saliency(self, network: Network, families: tuple[Family, ...]) -> dict[Family, NDArray[np.float64]]:
        """Return the saliency of each group of each family: the estimated loss of setting the group to zero."""
        return saliency(network, families, self.feeder, self._output_projections)

    def sample_batches(self, count: int) -> Iterator[Batch]:
        """Yield up to `count` shuffled batches of the training data."""
        return self.data.sample_batches(count)

    def _output_projections(self, executor: Executor) -> Iterator[Tensor]:
        """Yield a random projection of the outputs for each of some batches, whose gradients give the saliency."""
        generator = torch.Generator().manual_seed(self.options.seed)
        for batch in self.sample_batches(SALIENCY_BATCHES):
            yield self.objective.probe(executor(self.feeder.feeds(batch)), generator)

    # -- training ---------------------------------------------------------------------------------------------

    @staticmethod
    def shrink(layers: Masks, vectors: Masks) -> Shrink:
        """Return pruning masks for `tune`, so that passes need not import torch code."""
        return Shrink(layers, vectors)

    def tune(
        self,
        network: Network,
        epochs: float,
        shrink: Shrink | None = None,
        anneal: bool = False,
        lr: float = 1.0,
        normalize: bool = False,
    ) -> Network:
        """Return a copy of a network, trained for `epochs` times the option of that name.

        Weights of layers that are zero stay zero. A loss that is not finite ends the run with the weights of the last
        epoch.

        Args:
            shrink: Weights that go to zero.
            anneal: Decay the learning rate to zero along a cosine.
            lr: Factor of the learning rate.
            normalize: Reinsert batch normalization while the network is trained, if `can_reinsert_batch_norm`.
        """
        rate = lr * self.choose_learning_rate().value
        return self._train(network, epochs, rate, shrink=shrink, anneal=anneal, normalize=normalize)

    def anneal(self, network: Network, epochs: float, lr: float = 1.0, normalize: bool = False) -> Network:
        """Return a copy of a network, trained for `epochs` while the learning rate decays to zero.

        Augmentation helps large networks and can hurt small ones. At the first call, the network is annealed with and
        without it and the better result is kept; later calls do the same as that. There is no comparison if the network
        overfits, for it needs augmentation.
        """
        rate = lr * self.choose_learning_rate().value

        def annealed(augmented: bool) -> Network:
            return self._train(network, epochs, rate, anneal=True, augmented=augmented, normalize=normalize)

        if self.anneals_augmented is None and self.is_overfitting(network):
            self.anneals_augmented = True
        if self.anneals_augmented is not None:
            return annealed(self.anneals_augmented)
        candidates = {augmented: annealed(augmented) for augmented in (True, False)}
        self.anneals_augmented = max(candidates, key=lambda augmented: self.score(candidates[augmented]))
        return candidates[self.anneals_augmented]

    def is_overfitting(self, network: Network) -> bool:
        """Return True if a network makes far fewer errors on training samples than on validation samples."""
        executor, count = self.feeder.executor(network), math.ceil(len(self.val) / self.feeder.unit(self.val))
        training = ((batch, self.teacher.outputs.uncached(batch)) for batch in self.sample_batches(count))
        errors = 100 - self.scorer.score_of(executor, training)
        return errors < OVERFITTING * (100 - self.scorer.score_of(executor, self.scorer.validation_batches()))

    def choose_learning_rate(self) -> LearningRate:
        """Return the learning rate: the option `lr`, or at the first call the result of short trials.

        A trial trains the original. If outputs are compared closely, the smallest rate is taken without trials.
        """
        if self.learning_rate is None:
            self.learning_rate = self._given_or_tried_rate()
        return self.learning_rate

    def _given_or_tried_rate(self) -> LearningRate:
        if self.options.lr is not None or self.metric.looks_closely:
            return LearningRate(self.options.lr or RATES[-1])
        base = self.score_original()

        def loss_of(rate: float) -> float:
            return max(0.0, base - self.score(self._train(self.original, TRIAL_EPOCHS, rate)))

        return choose_learning_rate(loss_of, base, standard_error(base, len(self.val)))

    def limit_lr_scale(self, scale: float) -> None:
        """Lower `max_lr_scale`, for a larger factor has done harm."""
        self.max_lr_scale = min(self.max_lr_scale, scale)

    def run_worker(self) -> Any:
        """Train along with the first process until it sends anything but a training run; return that message."""
        return run_worker(self.setup)

    def _train(
        self,
        network: Network,
        epochs: float,
        rate: float,
        *,
        shrink: Shrink | None = None,
        anneal: bool = False,
        augmented: bool = True,
        normalize: bool = False,
    ) -> Network:
        network = network.copy()
        expose_weights(network)
        reinserts = normalize and self.can_reinsert_batch_norm
        with reinserted(network, self._channel_values) if reinserts else nullcontext():
            spec = self.numbers.next_spec(
                steps=self._steps(epochs),
                steps_per_epoch=self.steps_per_epoch,
                lr=rate,
                shrink=shrink,
                anneal=anneal,
                augmented=augmented,
                period=self.teacher.period if augmented else 0,
            )
            run = TrainingRun(self.setup, network, spec)
            seconds = train_from_checkpoint(run, f"{self.numbers.runs:04}-{run.digest()}", self.setup)
            if seconds is not None:
                self.seconds_per_step = seconds / (BATCH_NORM_STEP_TIME if reinserts else 1.0)
            run.write_back()
        return network

    def _channel_values(self, network: Network, values: Any) -> Any:
        batches = self.sample_batches(MOMENT_BATCHES)
        return channel_values(network, values, batches, self.feeder, self.setup.step.bfloat16)

    # -- lengths ----------------------------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in one epoch."""
        return self.data.steps_per_epoch

    @property
    def seed(self) -> int:
        """Return the seed of all random numbers of training."""
        return self.options.seed

    @property
    def throughput(self) -> Throughput:
        """Return the speed of training as measured in the last run, in epochs of the option of that name."""
        return self.teacher.throughput(self.seconds_per_step, self._steps(1.0))

    def _steps(self, epochs: float) -> int:
        return max(1, round(epochs * self.options.epochs * self.data.steps_per_run))
