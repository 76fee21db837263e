"""The outputs of a teacher, the original or another network, for the samples of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.data.dataset import Batch, Dataset
from gscompile.execute import Executor
from gscompile.training.batches import BatchLoader

Wanted = Callable[[Mapping[str, Any]], dict[str, Tensor]]
CACHE_BYTES = 512 << 20
VIEWS = 4  # of a sample that the teacher is asked about, where samples are varied: more bring little


class Answers:
    """A network's outputs for the samples of `data`, remembered where they fit in memory, else computed anew.

    `wanted` takes those outputs that somebody asks for.
    """

    def __init__(self, feeder: BatchLoader, data: Dataset, executor: Executor, wanted: Wanted) -> None:
        self.feeder, self.data, self.executor, self.wanted = feeder, data, executor, wanted

    def to(self, rows: NDArray[np.int64], batch: Batch) -> dict[str, Tensor]:
        """The outputs for these rows of the data, by name."""
        known = self._known
        if isinstance(known, list):
            return known[int(rows[0])]
        if known is None:
            return self.asked(batch)
        index = torch.from_numpy(rows)
        return {name: tensor[index] for name, tensor in known.items()}

    def asked(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for this batch alone, computed and not cached, for when few batches are used."""
        return self.anew(self.feeder.feeds(batch), mixed=False)

    @cached_property
    @torch.no_grad()
    def _known(self) -> list[dict[str, Tensor]] | dict[str, Tensor] | None:
        """By batch where batches are ready-made, else as one tensor a name; None where they do not fit."""
        probe = next(iter(self.feeder.batches(self.data, None)), None)
        if probe is None:
            return None
        wanted, rows = self._says(self.feeder.feeds(probe[1])), len(probe[0])
        if sum(t.nbytes for t in wanted.values()) / rows * len(self.data) > CACHE_BYTES:
            return None
        if self.data.ready_made:
            return [*self._said()]
        return _joined(self._said()) if all(t.shape[:1] == (rows,) for t in wanted.values()) else None

    def anew(self, feeds: Mapping[str, Any], mixed: bool) -> dict[str, Tensor]:
        """The outputs for samples as they are given, varied or not; `mixed` multiplies in bfloat16."""
        with torch.no_grad(), torch.autocast(self.feeder.device.type, torch.bfloat16, enabled=mixed):
            return self._says(feeds)

    def over_views(self, seed: int, mixed: bool) -> Answers:
        """The mean of what the teacher says of each sample as it is, and of it varied; `mixed` multiplies in bfloat16.

        These answers themselves where they are not remembered sample by sample.
        """
        if not isinstance(self._known, dict):
            return self
        mean, known, generator = copy(self), self._known, torch.Generator().manual_seed(seed)
        for view in range(2, VIEWS + 1):
            varied = _joined(self._said(generator, mixed))
            known = {n: _nearer(o, varied[n], 1 / view) for n, o in known.items()}
        mean._known = known
        return mean

    def _said(self, generator: torch.Generator | None = None, mixed: bool = False) -> Iterator[dict[str, Tensor]]:
        """The outputs for all batches in order; of samples that are varied, with a generator."""
        for _, batch in self.feeder.batches(self.data, None):
            feeds = self.feeder.feeds(batch)
            varied = feeds if generator is None else self.feeder.augment(feeds, generator)
            yield self.anew(varied, mixed)

    def _says(self, feeds: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.wanted(self.executor(feeds))


def _joined(batches: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    outputs = [*batches]
    return {name: torch.cat([each[name] for each in outputs]) for name in outputs[0]}


def _nearer(one: Tensor, other: Tensor, share: float) -> Tensor:
    """A share of the way from one to the other; whole numbers stay."""
    return one.lerp(other.to(one), share) if one.is_floating_point() else one
