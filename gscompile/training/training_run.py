"""A training run, step by step: what is held at zero, what shrinks, the learning rate, the mean at the end.

It can stop after any step and go on from there, here or in another process, and comes out the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.data.dataset import Batch, Dataset
from gscompile.execute import Executor
from gscompile.graph.network import Network
from gscompile.graph.trainable import set_trained, trainable_values
from gscompile.progress import Progress
from gscompile.training.batches import BatchLoader, Shard
from gscompile.training.checkpoint import NamedArrays, digest
from gscompile.training.optimizer import Adam
from gscompile.training.run_context import RunContext

Masks = Mapping[str, NDArray[np.bool_]]
TAIL = 0.3  # of a training run: its weights are averaged there


@dataclass(frozen=True)
class Shrink:
    """Weights that a training run brings to exactly zero, by layer and by vector key.

    Every step is the proximal step of the group lasso on the chosen groups (a soft threshold on the group's norm);
    the threshold is the norm over the steps that are left, so strength follows the weights' own scale, and
    every chosen group reaches zero at `share` of the run. After that it is held there.
    """

    layers: Masks
    vectors: Masks = field(default_factory=dict)
    share: float = 0.6


@dataclass(frozen=True)
class RunSpec:
    """What one training run is to do; `varied` samples are augmented, others as they are.

    `epoch` is the number of its first epoch, over all runs. Those whose numbers are a multiple of `again` apart
    have the same samples in the same order, varied alike; no two epochs have where `again` is 0.
    """

    steps: int
    seed: int
    anneal: bool
    lr: float
    shrink: Shrink | None = None
    varied: bool = True
    epoch: int = 0
    again: int = 0

    def seed_of(self, epoch: int) -> int:
        """Return the seed of the sample order of an epoch, counted from 0."""
        return self.seed + ((self.epoch + epoch) % self.again if self.again else epoch)


class TrainingHost(Protocol):
    """Whoever trains: what samples come from, when the time is over, and what is learned from them."""

    train: Dataset
    feeder: BatchLoader
    run_context: RunContext
    progress: Progress

    def learn(self, executor: Executor, part: Shard, run_spec: RunSpec, epoch: int) -> Tensor:
        """The loss on a part of a batch, in an epoch of the run; gradients are left in the weights."""


class TrainingRun:
    """One training run: parameters, what is held at zero, what shrinks, and the learning rate."""

    def __init__(self, trainer: TrainingHost, network: Network, run_spec: RunSpec) -> None:
        self.trainer, self.feeder, self.network, self.run_spec = trainer, trainer.feeder, network, run_spec
        self.executor = self.feeder.executor(network, trainable_values(network))
        self.layers = {layer.name: layer for layer in network.layers}
        self.parameters: list[Tensor] = [p for p in self.executor.weights.values() if p.requires_grad]
        self.optimizer = Adam(self.parameters, run_spec.lr)
        weights = [p for key, p in self.executor.weights.items() if key in self.layers]
        self.held = [(p, p != 0) for p in weights if bool((p == 0).any())]
        shrink = run_spec.shrink
        self.shrinking = list(self._shrinking(shrink)) if shrink else []
        self.shrink_steps = max(1, int(run_spec.steps * (shrink.share if shrink else 0)))
        self.averaging = run_spec.steps if run_spec.anneal else max(int((1 - TAIL) * run_spec.steps), self.shrink_steps)
        self.average = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.generator = torch.Generator().manual_seed(run_spec.seed)
        self.done, self.epoch, self.epoch_began = 0, 0, 0  # steps, epochs, and the first step of this epoch
        self.over, self.cut_short = False, False
        self.good = self._weights()

    def _weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def _shrinking(self, shrink: Shrink) -> Iterator[tuple[Tensor, Tensor]]:
        """Parameters with what of them shrinks, 1 where it does."""
        for key, mask in (*shrink.layers.items(), *shrink.vectors.items()):
            parameter = self.executor.weights[key]
            tensor = self.layers[key].layout.tensor(mask) if key in self.layers else mask.reshape(parameter.shape)
            yield parameter, torch.from_numpy(np.ascontiguousarray(tensor)).to(parameter)

    def train(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Go on from where the run is, to its end; the time may be over before."""
        while self.done < self.run_spec.steps and self._ends_epoch(after_step):
            self.epoch, self.epoch_began, self.good = self.epoch + 1, self.done, self._weights()
        if self.done > self.averaging:
            self._become(self.average)
        if not all(bool(p.isfinite().all()) for p in self.parameters):
            self._become(self.good)
        self._finish()

    @torch.no_grad()
    def _become(self, weights: Sequence[Tensor]) -> None:
        for p, weight in zip(self.parameters, weights, strict=True):
            p.copy_(weight)

    def _ends_epoch(self, after_step: Callable[[], None]) -> bool:
        """Train through what is left of an epoch; False when the run ends within."""
        seed, skip = self.run_spec.seed_of(self.epoch), self.done - self.epoch_began
        if self.run_spec.again and not skip:
            self.generator.manual_seed(seed)
        for rows, batch in self.feeder.batches(self.trainer.train, seed, skip):
            if self.done == self.run_spec.steps or not self._step(rows, batch):
                return False
            self.done += 1
            self._average()
            self.trainer.progress.steps(self.done, self.run_spec.steps)
            after_step()
        return True

    def _step(self, rows: NDArray[np.int64], batch: Batch) -> bool:
        """One optimiser step; False when the loss is not finite, or the time is over."""
        if self.run_spec.anneal:
            self.optimizer.rate = self._rate(self.done)
        self.optimizer.zero_grad()
        feeds = self.feeder.feeds(batch)
        if self.run_spec.varied:
            feeds = self.feeder.augment(feeds, self.generator)
        part = self.feeder.own_part(self.trainer.train, rows, batch, feeds)
        loss, over = self._loss(part), self.trainer.run_context.out_of_time()
        loss, self.cut_short = self.feeder.world.average(loss, self.parameters, part.share, over)
        if self.cut_short or not bool(loss.isfinite()):
            return False
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self._project(self.done)
        return True

    @torch.no_grad()
    def _average(self) -> None:
        """The running mean of the weights near the end (Izmailov et al. 2018): as good as a lower learning rate."""
        count = self.done - self.averaging
        if count > 0:
            torch._foreach_lerp_(self.average, self.parameters, 1 / count)

    def _loss(self, part: Shard) -> Tensor:
        """The loss on a part of a batch; gradients are left in the parameters."""
        if not len(part.rows):
            return torch.zeros((), device=self.feeder.device)
        return self.trainer.learn(self.executor, part, self.run_spec, self.epoch)

    def _rate(self, number: int) -> float:
        return float(self.run_spec.lr * 0.5 * (1 + math.cos(math.pi * number / self.run_spec.steps)))

    @torch.no_grad()
    def _project(self, number: int) -> None:
        """The proximal step of the shrinking groups, and zeros back to zero."""
        left = self.shrink_steps - number
        for parameter, mask in self.shrinking:
            parameter.mul_(1 - mask / left if left > 1 else 1 - mask)
        for parameter, alive in self.held:
            parameter.mul_(alive)

    @torch.no_grad()
    def _finish(self) -> None:
        for parameter, mask in self.shrinking:
            parameter.mul_(1 - mask)
        for parameter, alive in self.held:
            parameter.mul_(alive)

    # -- what a journal keeps ---------------------------------------------------------------------------------

    def digest(self) -> str:
        """All that the run depends on, but for the data and the options."""
        run_spec, weights = self.run_spec, self.executor.weights
        masks = [mask.numpy(force=True) for _, mask in self.shrinking]
        samples = (run_spec.seed, run_spec.varied, run_spec.epoch, run_spec.again)
        what = (run_spec.steps, *samples, run_spec.anneal, run_spec.lr, self.shrink_steps, *weights)
        return digest(*what, *(p.numpy(force=True) for p in weights.values()), *masks)

    def result(self) -> NamedArrays:
        """The weights at the end."""
        return {"over": np.array(True), **self._numbered("weight", self.parameters)}

    def state(self) -> NamedArrays:
        """Everything that the rest of the run depends on."""
        return {
            "over": np.array(False),
            "place": np.array([self.done, self.epoch, self.epoch_began]),
            "random": self.generator.get_state().numpy(),
            **self._numbered("weight", self.parameters),
            **self._numbered("good", self.good),
            **self._numbered("average", self.average),
            **self._numbered("step", self.optimizer.steps),
            **self._numbered("mean", self.optimizer.means),
            **self._numbered("square", self.optimizer.squares),
        }

    @staticmethod
    def _numbered(kind: str, tensors: Sequence[Tensor]) -> NamedArrays:
        return {f"{kind}{i}": tensor.numpy(force=True) for i, tensor in enumerate(tensors)}

    def fits(self, state: NamedArrays) -> bool:
        """Return whether `restore` can take a state: every array is there, in its shape and type."""
        over = state.get("over", np.zeros(2))
        wanted = self.result() if over.all() else self.state()
        return {n: (a.shape, a.dtype) for n, a in wanted.items()} == {n: (a.shape, a.dtype) for n, a in state.items()}

    def restore(self, state: NamedArrays) -> None:
        """Be where `state`, or `result`, was taken."""
        self.over = bool(state["over"])
        self._take(state, "weight", self.parameters)
        if not self.over:
            self.done, self.epoch, self.epoch_began = state["place"].tolist()
            self.generator.set_state(torch.from_numpy(state["random"]))
            self._take(state, "good", self.good)
            self._take(state, "average", self.average)
            self._take(state, "step", self.optimizer.steps)
            self._take(state, "mean", self.optimizer.means)
            self._take(state, "square", self.optimizer.squares)

    @staticmethod
    @torch.no_grad()
    def _take(state: NamedArrays, kind: str, tensors: Sequence[Tensor]) -> None:
        """In place, so that the layout stays and sums come out the same to the last bit."""
        for i, tensor in enumerate(tensors):
            tensor.copy_(torch.from_numpy(state[f"{kind}{i}"]))

    def write_back(self) -> None:
        """Put what was learned into the network, by name."""
        learned = self.executor.weights.items()
        set_trained(self.network, {key: p.numpy(force=True) + 0.0 for key, p in learned})  # + 0.0: no negative zeros
