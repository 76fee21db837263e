"""Samples as networks take them: in batches, on the device, varied, a part for each process; and networks to feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.data.dataset import Batch, Dataset
from gscompile.execute import Executor
from gscompile.graph.network import Network
from gscompile.training.augment import Augment
from gscompile.training.channels_last import channels_last, has_images, images_last
from gscompile.training.world import World


@dataclass(frozen=True)
class Shard:
    """The share of one process in a training step: rows, samples, augmented inputs, and the share of the batch."""

    rows: NDArray[np.int64]
    batch: Batch
    feeds: dict[str, Tensor]
    share: float


@dataclass(frozen=True, eq=False)
class BatchLoader:
    """`size` samples make a batch, where data has none that are ready-made; `augment` varies inputs."""

    size: int
    device: torch.device
    world: World
    augment: Augment

    def unit(self, data: Dataset) -> int:
        """Rows of the data that make a batch."""
        return data.unit(self.size)

    def batches(self, data: Dataset, seed: int | None, skip: int = 0) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Rows and samples, from batch `skip` on; mixed by the seed, in order without one.

        A rest that is smaller than a batch is left out where the batch is fixed, or when mixed.
        """
        whole = seed is not None and len(data) >= self.unit(data)
        for rows in data.rows(self.size, seed, whole, skip):
            yield rows, data.batch(rows)

    def own_part(self, data: Dataset, rows: NDArray[np.int64], batch: Batch, feeds: dict[str, Tensor]) -> Shard:
        """This process's part of a batch of the data; all of it where a batch cannot be cut."""
        world = self.world
        if world.size == 1 or data.ready_made or data.fixed_batch is not None:
            return Shard(rows, batch, feeds, 1 / world.size)
        part, whole = world.part(len(rows)), data.constants
        inputs = {name: array if name in whole else array[part] for name, array in batch.inputs.items()}
        labels = None if batch.labels is None else batch.labels[part]
        cut = {name: tensor if name in whole else tensor[part] for name, tensor in feeds.items()}
        return Shard(rows[part], Batch(inputs, labels), cut, len(rows[part]) / len(rows))

    def feeds(self, batch: Batch) -> dict[str, Any]:
        """A batch's inputs as tensors on the device; arrays of texts stay as they are."""
        texts = {name: array for name, array in batch.inputs.items() if array.dtype.kind not in "fiub"}
        numbers = {name: array for name, array in batch.inputs.items() if name not in texts}
        return {**texts, **{name: torch.from_numpy(array).to(self.device) for name, array in numbers.items()}}

    def labels(self, batch: Batch) -> Tensor | None:
        """A batch's labels as a tensor on the device: whole numbers, else as they are."""
        if batch.labels is None or batch.labels.dtype.kind not in "biuf":
            return None
        whole = batch.labels.dtype.kind != "f"
        return torch.from_numpy(batch.labels.astype(np.int64) if whole else batch.labels).to(self.device)

    def executor(self, network: Network, trainable: Mapping[str, ir.Value] | None = None) -> Executor:
        """The network ready to run, images and filters with their channels last, which is faster."""
        executor = Executor(network.model, trainable).to(self.device)
        if has_images(network):
            executor.register_forward_pre_hook(images_last)
            for parameter in executor.weights.values():
                parameter.data = channels_last(parameter.data)
        return executor
