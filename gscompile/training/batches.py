"""Batches of samples on the device, augmented and shared among processes; and executors that take them."""

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
    """Load batches of `size` samples, or the ready-made batches of a data set.

    Args:
        size: Samples in a batch.
        device: Device of inputs, labels and weights.
        world: Processes that share each batch.
        augment: Function of inputs and a generator that returns augmented inputs.
    """

    size: int
    device: torch.device
    world: World
    augment: Augment

    def unit(self, data: Dataset) -> int:
        """Return the number of rows of the data in a batch."""
        return data.unit(self.size)

    def batches(self, data: Dataset, seed: int | None, skip: int = 0) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Yield row numbers and samples of each batch from number `skip` on, shuffled by `seed` or in order for None.

        The last partial batch is dropped when shuffling, or if the model fixes the batch size.
        """
        drop_last = seed is not None and len(data) >= self.unit(data)
        for rows in data.rows(self.size, seed, drop_last, skip):
            yield rows, data.batch(rows)

    def own_part(self, data: Dataset, rows: NDArray[np.int64], batch: Batch, feeds: dict[str, Tensor]) -> Shard:
        """Return the share of this process in a batch; the whole batch if it cannot be split."""
        world = self.world
        if world.size == 1 or data.ready_made or data.fixed_batch is not None:
            return Shard(rows, batch, feeds, 1 / world.size)
        part, whole = world.part(len(rows)), data.constants
        inputs = {name: array if name in whole else array[part] for name, array in batch.inputs.items()}
        labels = None if batch.labels is None else batch.labels[part]
        cut = {name: tensor if name in whole else tensor[part] for name, tensor in feeds.items()}
        return Shard(rows[part], Batch(inputs, labels), cut, len(rows[part]) / len(rows))

    def feeds(self, batch: Batch) -> dict[str, Any]:
        """Return the inputs of a batch as tensors on the device, but arrays of strings unchanged."""
        texts = {name: array for name, array in batch.inputs.items() if array.dtype.kind not in "fiub"}
        numbers = {name: array for name, array in batch.inputs.items() if name not in texts}
        return {**texts, **{name: torch.from_numpy(array).to(self.device) for name, array in numbers.items()}}

    def labels(self, batch: Batch) -> Tensor | None:
        """Return the labels of a batch as a tensor on the device, integers as int64; None if they are no numbers."""
        if batch.labels is None or batch.labels.dtype.kind not in "biuf":
            return None
        whole = batch.labels.dtype.kind != "f"
        return torch.from_numpy(batch.labels.astype(np.int64) if whole else batch.labels).to(self.device)

    def executor(self, network: Network, trainable: Mapping[str, ir.Value] | None = None) -> Executor:
        """Return an executor of a network, with images and filters in channels-last layout, which is faster."""
        executor = Executor(network.model, trainable).to(self.device)
        if has_images(network):
            executor.register_forward_pre_hook(images_last)
            for parameter in executor.weights.values():
                parameter.data = channels_last(parameter.data)
        return executor
