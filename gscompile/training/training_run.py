"""A training run, step by step: weights that stay zero or shrink to it, the learning rate, the average at the end.

A run can stop after any step and be resumed, here or in another process, with the same result bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.data.dataset import Batch, Dataset
from gscompile.graph.network import Network
from gscompile.graph.trainable import set_trained, trainable_values
from gscompile.progress import Progress
from gscompile.training.batches import BatchLoader, Shard
from gscompile.training.checkpoint import NamedArrays, digest
from gscompile.training.optimizer import Adam
from gscompile.training.run_context import RunContext
from gscompile.training.run_spec import RunSpec, Shrink
from gscompile.training.training_step import TrainingStep

AVERAGED_SHARE = 0.3  # of a training run, at its end, over which weights are averaged


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """Data, loss, processes, checkpoints and display, which all training runs of a compile have in common."""

    train: Dataset
    feeder: BatchLoader
    step: TrainingStep
    run_context: RunContext
    progress: Progress


class TrainingRun:
    """The state of one training run of a network."""

    def __init__(self, setup: TrainingSetup, network: Network, spec: RunSpec) -> None:
        self.setup, self.feeder, self.network, self.spec = setup, setup.feeder, network, spec
        self.executor = self.feeder.executor(network, trainable_values(network))
        self.layers = {layer.name: layer for layer in network.layers}
        self.parameters: list[Tensor] = [p for p in self.executor.weights.values() if p.requires_grad]
        self.optimizer = Adam(self.parameters, spec.lr)
        weights = [p for key, p in self.executor.weights.items() if key in self.layers]
        self.zero_masks = [(p, p != 0) for p in weights if bool((p == 0).any())]
        shrink = spec.shrink
        self.shrinking = list(self._shrinking(shrink)) if shrink else []
        self.shrink_steps = max(1, int(spec.steps * (shrink.share if shrink else 0)))
        self.averaging = spec.steps if spec.anneal else max(int((1 - AVERAGED_SHARE) * spec.steps), self.shrink_steps)
        self.average = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.generator = torch.Generator().manual_seed(spec.seed)
        self.done, self.epoch, self.epoch_began = 0, 0, 0  # steps, epochs, and the first step of this epoch
        self.over, self.cut_short = False, False
        self.good = self._weights()

    def _weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def _shrinking(self, shrink: Shrink) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield parameters with their masks: 1 for a weight that shrinks to zero, else 0."""
        for key, mask in (*shrink.layers.items(), *shrink.vectors.items()):
            parameter = self.executor.weights[key]
            tensor = self.layers[key].layout.tensor(mask) if key in self.layers else mask.reshape(parameter.shape)
            yield parameter, torch.from_numpy(np.ascontiguousarray(tensor)).to(parameter)

    def train(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Train from the current step to the end of the run, or until the time budget is over."""
        while self.done < self.spec.steps and self._ends_epoch(after_step):
            self.epoch, self.epoch_began, self.good = self.epoch + 1, self.done, self._weights()
        if self.done > self.averaging:
            self._set_weights(self.average)
        if not all(bool(p.isfinite().all()) for p in self.parameters):
            self._set_weights(self.good)
        self._finish()

    @torch.no_grad()
    def _set_weights(self, weights: Sequence[Tensor]) -> None:
        for p, weight in zip(self.parameters, weights, strict=True):
            p.copy_(weight)

    def _ends_epoch(self, after_step: Callable[[], None]) -> bool:
        """Train to the end of the current epoch; return False if the run ends before that."""
        seed, skip = self.spec.seed_of(self.epoch), self.done - self.epoch_began
        if self.spec.period and not skip:
            self.generator.manual_seed(seed)
        for rows, batch in self.feeder.batches(self.setup.train, seed, skip):
            if self.done == self.spec.steps or not self._step(rows, batch):
                return False
            self.done += 1
            self._average()
            self.setup.progress.steps(self.done, self.spec.steps)
            after_step()
        return True

    def _step(self, rows: NDArray[np.int64], batch: Batch) -> bool:
        """Do one optimizer step; return False instead if the loss is not finite or the time budget is over."""
        if self.spec.anneal:
            self.optimizer.rate = self._rate(self.done)
        self.optimizer.zero_grad()
        feeds = self.feeder.feeds(batch)
        if self.spec.augmented:
            feeds = self.feeder.augment(feeds, self.generator)
        shard = self.feeder.own_part(self.setup.train, rows, batch, feeds)
        loss, over = self._loss(shard), self.setup.run_context.out_of_time()
        loss, self.cut_short = self.feeder.world.average(loss, self.parameters, shard.share, over)
        if self.cut_short or not bool(loss.isfinite()):
            return False
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self._project(self.done)
        return True

    @torch.no_grad()
    def _average(self) -> None:
        """Update the mean of the weights near the end (Izmailov et al. 2018), which replaces a lower learning rate."""
        count = self.done - self.averaging
        if count > 0:
            torch._foreach_lerp_(self.average, self.parameters, 1 / count)

    def _loss(self, shard: Shard) -> Tensor:
        """Return the loss on a shard of a batch; its gradients are left in the parameters."""
        if not len(shard.rows):
            return torch.zeros((), device=self.feeder.device)
        return self.setup.step.backward(self.executor, shard, self.spec, self.epoch)

    def _rate(self, number: int) -> float:
        return float(self.spec.lr * 0.5 * (1 + math.cos(math.pi * number / self.spec.steps)))

    @torch.no_grad()
    def _project(self, number: int) -> None:
        """Do the proximal step of the groups that shrink, and set to zero what must stay zero."""
        left = self.shrink_steps - number
        for parameter, mask in self.shrinking:
            parameter.mul_(1 - mask / left if left > 1 else 1 - mask)
        for parameter, mask in self.zero_masks:
            parameter.mul_(mask)

    @torch.no_grad()
    def _finish(self) -> None:
        for parameter, mask in self.shrinking:
            parameter.mul_(1 - mask)
        for parameter, mask in self.zero_masks:
            parameter.mul_(mask)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """Return a digest of all that the run depends on, except the data and the options."""
        spec, weights = self.spec, self.executor.weights
        masks = [mask.numpy(force=True) for _, mask in self.shrinking]
        samples = (spec.seed, spec.augmented, spec.epoch, spec.period)
        facts = (spec.steps, *samples, spec.anneal, spec.lr, self.shrink_steps, *weights)
        return digest(*facts, *(p.numpy(force=True) for p in weights.values()), *masks)

    def result(self) -> NamedArrays:
        """Return the weights at the end of the run, as arrays for a checkpoint."""
        return {"over": np.array(True), **self._numbered("weight", self.parameters)}

    def state(self) -> NamedArrays:
        """Return all that the rest of the run depends on, as arrays for a checkpoint."""
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
        """Return True if `restore` accepts a state: every array is there, with its shape and type."""
        over = state.get("over", np.zeros(2))
        wanted = self.result() if over.all() else self.state()
        return {n: (a.shape, a.dtype) for n, a in wanted.items()} == {n: (a.shape, a.dtype) for n, a in state.items()}

    def restore(self, state: NamedArrays) -> None:
        """Put the run where `state` or `result` was called."""
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
        """Copy in place, so that the memory layout stays and sums are the same bit for bit."""
        for i, tensor in enumerate(tensors):
            tensor.copy_(torch.from_numpy(state[f"{kind}{i}"]))

    def write_back(self) -> None:
        """Copy the trained weights into the network, by name."""
        trained = self.executor.weights.items()
        set_trained(self.network, {key: p.numpy(force=True) + 0.0 for key, p in trained})  # + 0.0: no negative zeros
