"""The outputs of a teacher for the samples of a data set, cached if they fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.data.dataset import Batch, Dataset
from gscompile.execute import Executor
from gscompile.training.batches import BatchLoader

SelectOutputs = Callable[[Mapping[str, Any]], dict[str, Tensor]]  # the outputs that a loss or a metric reads
CachedOutputs = list[dict[str, Tensor]] | dict[str, Tensor] | None
CACHE_BYTES = 512 << 20  # bytes of outputs that are cached
# Views of a sample, the sample itself among them, over which a teacher's outputs are averaged. The mean over views is
# right for 84.0 % of ConvNet's validation samples, one view for 82.9 %.
VIEWS = 4


class TeacherOutputs:
    """The outputs of one network for the samples of `data`, cached from the first use on if they fit into memory.

    `select` takes from all outputs those that are read.
    """

    def __init__(self, feeder: BatchLoader, data: Dataset, executor: Executor, select: SelectOutputs) -> None:
        self.feeder, self.data, self.executor, self.select = feeder, data, executor, select
        self._is_filled = False
        self._cached: CachedOutputs = None

    def of(self, rows: NDArray[np.int64], batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for these rows of the data, by name; `batch` holds the samples of the rows."""
        cached = self._fill_cache()
        if isinstance(cached, list):
            return cached[int(rows[0])]
        if cached is None:
            return self.uncached(batch)
        index = torch.from_numpy(rows)
        return {name: tensor[index] for name, tensor in cached.items()}

    def uncached(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for one batch by running the network, without a cache of the whole data set."""
        return self.run(self.feeder.feeds(batch), bfloat16=False)

    def run(self, feeds: Mapping[str, Any], bfloat16: bool) -> dict[str, Tensor]:
        """Return the outputs for inputs, plain or augmented ones."""
        with torch.no_grad(), torch.autocast(self.feeder.device.type, torch.bfloat16, enabled=bfloat16):
            return self._run(feeds)

    def averaged_over_views(self, seed: int, bfloat16: bool) -> TeacherOutputs:
        """Return the mean outputs over each plain sample and `VIEWS` - 1 augmentations of it.

        The result is this object itself if the outputs are not cached sample by sample.
        """
        mean = self._fill_cache()
        if not isinstance(mean, dict):
            return self
        averaged, generator = copy(self), torch.Generator().manual_seed(seed)
        for view in range(2, VIEWS + 1):
            augmented = _concatenated(self._run_all(generator, bfloat16))
            mean = {name: _lerp(tensor, augmented[name], 1 / view) for name, tensor in mean.items()}
        averaged._cached = mean
        return averaged

    def _fill_cache(self) -> CachedOutputs:
        """Return the cached outputs, computed at the first call.

        A list with an entry per batch if batches are ready-made, else one tensor per output; None if they do not fit.
        """
        if not self._is_filled:
            with torch.no_grad():
                self._cached = self._outputs_to_cache()
            self._is_filled = True
        return self._cached

    def _outputs_to_cache(self) -> CachedOutputs:
        probe = next(iter(self.feeder.batches(self.data, None)), None)
        if probe is None:
            return None
        outputs, rows = self._run(self.feeder.feeds(probe[1])), len(probe[0])
        if sum(tensor.nbytes for tensor in outputs.values()) / rows * len(self.data) > CACHE_BYTES:
            return None
        if self.data.ready_made:
            return [*self._run_all()]
        has_rows = all(tensor.shape[:1] == (rows,) for tensor in outputs.values())
        return _concatenated(self._run_all()) if has_rows else None

    def _run_all(self, generator: torch.Generator | None = None, bfloat16: bool = False) -> Iterator[dict[str, Tensor]]:
        """Yield the outputs for all batches in order; with a generator, for augmented samples."""
        for _, batch in self.feeder.batches(self.data, None):
            feeds = self.feeder.feeds(batch)
            yield self.run(feeds if generator is None else self.feeder.augment(feeds, generator), bfloat16)

    def _run(self, feeds: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.select(self.executor(feeds))


def _concatenated(batches: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    outputs = [*batches]
    return {name: torch.cat([batch[name] for batch in outputs]) for name in outputs[0]}


def _lerp(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Interpolate from one tensor towards the other; integers stay."""
    return one.lerp(other.to(one), share) if one.is_floating_point() else one
