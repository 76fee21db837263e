"""Fine-tuning: an ONNX network trained by torch towards labels and teacher, zeros held, groups shrunk to zero.

The only place, with `execute/`, `objective.py` and `statistics.py`, that knows torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.augment import augmentation
from gscompile.constants import constant_array
from gscompile.data import Batch, Dataset, batch_size_for, input_specs
from gscompile.errors import DataError, UsageError, one_line
from gscompile.execute import Executor
from gscompile.groups import Family
from gscompile.network import Network, replace_held
from gscompile.objective import Objective
from gscompile.progress import Progress
from gscompile.score import Metric, choose_metric
from gscompile.trainable import expose_weights, trainable_values

Masks = Mapping[str, NDArray[np.bool_]]
CACHE_BYTES = 512 << 20
SHORTEST = 150  # steps of a stretch of one epoch: small data is gone through several times


@dataclass(frozen=True)
class TuneOptions:
    """How to train. `epochs` bounds each stretch of training that a pass asks for as 1.0."""

    lr: float = 1e-3
    batch_size: int = 128
    epochs: float = 1.0
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"
    augment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shrink:
    """Weights that a stretch of training brings to exactly zero, by layer and by vector key.

    Every step is the proximal step of the group lasso on the chosen groups (a soft threshold on the group's norm);
    the threshold is the norm over the steps that are left, so strength follows the weights' own scale, and
    every chosen group reaches zero at `share` of the stretch. After that it is held there.
    """

    layers: Masks
    vectors: Masks = field(default_factory=dict)
    share: float = 0.6


def _device(name: str) -> torch.device:
    """The device of that name. Raises UsageError where there is none."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as problem:  # torch raises either
        raise UsageError(f"device {name!r}: {one_line(problem)}") from problem
    return device


class Tuner:
    """Trains networks that have the teacher's inputs and outputs.

    Decisions look at `val` only. Raises DataError where the data cannot drive the network.
    """

    def __init__(
        self, teacher: Network, train: Dataset, val: Dataset, options: TuneOptions, progress: Progress | None = None
    ) -> None:
        self.options, self.train, self.val = options, train, val
        self.progress = progress or Progress()
        if options.threads:
            torch.set_num_threads(options.threads)
        self.device = _device(options.device)
        self.size = batch_size_for(input_specs(teacher.model), options.batch_size)
        self._teacher = self.executor(teacher)
        probe = next(iter(self.batches(val, None)), None)
        if probe is None:
            raise DataError(f"{len(val)} samples: the network takes {self.size} at a time; give more data")
        outputs = _arrays(self._run(self._teacher, probe[1]))
        self.augment = augmentation(options.augment)
        self.metric: Metric = choose_metric(outputs, probe[1].labels)
        self.objective = Objective.of(outputs, self.metric, val.has_labels)
        self._targets = {id(train): self._remember(train), id(val): self._remember(val)}
        self.classes = int(outputs[self.metric.classes[0]].shape[-1]) if self.metric.classes else 0
        self._runs = 0

    # -- measuring --------------------------------------------------------------------------------------------

    def score(self, network: Network) -> float:
        """Percent on the validation part, by the metric."""
        return self._score(self.executor(network))

    @torch.no_grad()
    def _score(self, executor: Executor) -> float:
        def results() -> Iterator[tuple[dict[str, Any], dict[str, Any], NDArray[Any] | None]]:
            for rows, batch in self.batches(self.val, None):
                target = self._target(self.val, rows, batch)
                yield _arrays(self._run(executor, batch)), _arrays(target), batch.labels

        return self.metric.score(results())

    def saliency(self, network: Network, families: tuple[Family, ...], batches: int = 24) -> dict[Family, NDArray[Any]]:
        """What the loss loses, to second order, when each group is set to zero. [size] per family

        The gradient of a random projection of the outputs, times the weights, summed over a group, squared and
        averaged: the Gauss-Newton curvature along the group. A unit is estimated where it is produced and where
        it is consumed, and the two are averaged.
        """
        total = {family: np.zeros(family.size) for family in families}
        count = 0
        for gradients in self._probes(network, batches):
            count += 1
            for family in families:
                for member in family.members:
                    share = member.total(gradients[member.layer][member.part]).ravel()
                    total[family] += np.square(share) / len(family.members)
        return {family: values / max(count, 1) for family, values in total.items()}

    def _probes(self, network: Network, batches: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Gradient times weight of random projections, as matrices by layer."""
        generator = torch.Generator().manual_seed(self.options.seed)
        layers = {layer.name: layer for layer in network.layers if layer.layout.compressible}
        executor = self.executor(network, {name: layer.value for name, layer in layers.items()})
        for number, (_, batch) in enumerate(self.batches(self.train, self.options.seed)):
            if number == batches:
                return
            executor.zero_grad()
            self.objective.probe(self._run(executor, batch), generator).backward()
            yield {
                name: layers[name].layout.matrices((w.grad * w.detach()).numpy(force=True))
                for name, w in executor.weights.items()
                if w.grad is not None
            }

    @staticmethod
    def shrink(layers: Masks, vectors: Masks) -> Shrink:
        """What `tune` brings to zero; passes ask for it here, since they do not import this module."""
        return Shrink(layers, vectors)

    # -- training ---------------------------------------------------------------------------------------------

    def tune(
        self, network: Network, epochs: float, shrink: Shrink | None = None, anneal: bool = False, lr: float = 1.0
    ) -> Network:
        """Train for `epochs` passes over the training part; returns a network of its own.

        Weights of layers that are zero stay zero. `lr` scales the learning rate; `anneal` lets it fall to zero along
        a cosine. A loss that is not finite ends the stretch with the last good weights.
        """
        network = network.copy()
        expose_weights(network)
        run = _Run(self, network, shrink, max(1, round(epochs * max(self.steps_per_epoch, SHORTEST))), anneal, lr)
        self._runs += 1
        run.train(seed=self.options.seed + 1000 * self._runs)
        run.write_back()
        return network

    @property
    def steps_per_epoch(self) -> int:
        return max(1, math.ceil(len(self.train) / self._unit(self.train)))

    def _unit(self, data: Dataset) -> int:
        return 1 if data.ready_made else self.size

    def batches(self, data: Dataset, seed: int | None) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Rows and samples; a rest that is smaller than a batch is left out where the batch is fixed, or when mixed."""
        order = np.arange(len(data)) if seed is None else np.random.default_rng(seed).permutation(len(data))
        unit = self._unit(data)
        whole = (seed is not None and len(order) >= unit) or (data.fixed_batch is not None and not data.ready_made)
        for start in range(0, len(order) - unit + 1 if whole else len(order), unit):
            rows = order[start : start + unit]
            yield rows, data.batch(rows)

    # -- the teacher ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _remember(self, data: Dataset) -> list[dict[str, Tensor]] | dict[str, Tensor] | None:
        """The teacher's outputs for all samples, where they fit in memory; None where they must be computed anew."""
        probe = next(iter(self.batches(data, None)), None)
        if probe is None:
            return None
        wanted = self._wanted(self._run(self._teacher, probe[1]))
        rows = len(probe[0])
        if sum(t.nbytes for t in wanted.values()) / rows * len(data) > CACHE_BYTES:
            return None
        outputs = [self._wanted(self._run(self._teacher, batch)) for _, batch in self.batches(data, None)]
        per_sample = not data.ready_made and all(t.shape[:1] == (rows,) for t in wanted.values())
        if data.ready_made:
            return outputs
        return {n: torch.cat([o[n] for o in outputs]) for n in wanted} if per_sample else None

    def _wanted(self, outputs: Mapping[str, Any]) -> dict[str, Tensor]:
        names = {*self.objective.logits, *self.objective.values, *self.metric.classes, *self.metric.values}
        return {name: outputs[name] for name in outputs if name in names}

    def _target(self, data: Dataset, rows: NDArray[np.int64], batch: Batch) -> dict[str, Tensor]:
        known = self._targets[id(data)]
        if isinstance(known, list):
            return known[int(rows[0])]
        if known is None:
            with torch.no_grad():
                return self._wanted(self._run(self._teacher, batch))
        index = torch.from_numpy(rows)
        return {name: tensor[index] for name, tensor in known.items()}

    def _run(self, executor: Executor, batch: Batch) -> dict[str, Any]:
        outputs: dict[str, Any] = executor(self.feeds(batch))
        return outputs

    def feeds(self, batch: Batch) -> dict[str, Tensor]:
        """A batch's inputs as tensors on the device, images with their channels last."""
        return {name: _channels_last(torch.from_numpy(array).to(self.device)) for name, array in batch.inputs.items()}

    def executor(self, network: Network, trainable: Mapping[str, ir.Value] | None = None) -> Executor:
        """The network ready to run; filters with their channels last, which about halves a convolution's time here."""
        executor = Executor(network.model, trainable).to(self.device)
        with torch.no_grad():
            for parameter in executor.weights.values():
                parameter.data = _channels_last(parameter.data)
        return executor


class _Run:
    """One stretch of training: parameters, what is held at zero, what shrinks, and the learning rate."""

    def __init__(
        self, tuner: Tuner, network: Network, shrink: Shrink | None, steps: int, anneal: bool, lr: float
    ) -> None:
        self.tuner, self.network, self.steps, self.anneal = tuner, network, steps, anneal
        self.values = trainable_values(network)
        self.executor = tuner.executor(network, self.values)
        self.layers = {layer.name: layer for layer in network.layers}
        self.parameters = [p for p in self.executor.weights.values() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr * tuner.options.lr)
        self.held = [(p, p != 0) for key, p in self.executor.weights.items() if key in self.layers and bool((p == 0).any())]
        self.shrinking = list(self._shrinking(shrink)) if shrink else []
        self.shrink_steps = max(1, int(steps * (shrink.share if shrink else 0)))

    def _shrinking(self, shrink: Shrink) -> Iterator[tuple[Tensor, Tensor]]:
        """Parameters with what of them shrinks, 1 where it does."""
        for key, mask in (*shrink.layers.items(), *shrink.vectors.items()):
            parameter = self.executor.weights[key]
            tensor = self.layers[key].layout.tensor(mask) if key in self.layers else mask.reshape(parameter.shape)
            yield parameter, torch.from_numpy(np.ascontiguousarray(tensor)).to(parameter)

    def train(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        done, epoch = 0, 0
        good = [p.detach().clone() for p in self.parameters]
        while done < self.steps:
            for rows, batch in self.tuner.batches(self.tuner.train, seed + epoch):
                if done == self.steps or not self._step(done, rows, batch):
                    break
                done += 1
                self.tuner.progress.steps(done, self.steps)
            else:
                epoch += 1
                good = [p.detach().clone() for p in self.parameters]
                continue
            break
        if not all(bool(p.isfinite().all()) for p in self.parameters):
            with torch.no_grad():
                for p, last in zip(self.parameters, good, strict=True):
                    p.copy_(last)
        self._finish()

    def _step(self, number: int, rows: NDArray[np.int64], batch: Batch) -> bool:
        """One optimiser step; False when the loss is not finite."""
        if self.anneal:
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate(number)
        outputs = self.executor(self.tuner.augment(self.tuner.feeds(batch), self.generator))
        target = self.tuner._target(self.tuner.train, rows, batch)
        labels = None if batch.labels is None else torch.from_numpy(batch.labels.astype(np.int64))
        loss = self.tuner.objective.loss(outputs, target, labels)
        if not bool(loss.isfinite()):
            return False
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self._project(number)
        return True

    def _rate(self, number: int) -> float:
        base = self.optimizer.defaults["lr"]
        return float(base * 0.5 * (1 + math.cos(math.pi * number / self.steps)))

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

    def write_back(self) -> None:
        """Put what was learned into the network, by name."""
        for key, parameter in self.executor.weights.items():
            array = parameter.detach().cpu().numpy() + 0.0  # + 0.0: no negative zeros
            if key in self.layers:
                self.network.set_tensor(self.network.layer(key), array)
            else:
                old = constant_array(self.values[key], self.network.opset)
                assert old is not None
                replace_held(self.values[key], array.astype(old.dtype))
        self.network.changed()


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _arrays(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: o.numpy(force=True) if isinstance(o, Tensor) else o for name, o in outputs.items()}

