"""Moments and refitted weights without data: measured on synthetic samples, as they are on samples of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha1
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from gscompile.compensation.moments import Array
from gscompile.compression.moments import Moments
from gscompile.data.dataset import Batch
from gscompile.graph.network import Network
from gscompile.training.augment import augmentation
from gscompile.training.batches import BatchLoader
from gscompile.training.kfac_moments import measure_moments, measured_once
from gscompile.training.objective import Objective
from gscompile.training.sequential import output_curvature, refitted
from gscompile.training.world import World

DRAWS = 4  # of a direction at the outputs for each sample: one is too rough for a few hundred samples
UNLIKE = 0.01  # of the mean diagonal of input moments, added to it: inputs may be unlike the synthetic ones


@dataclass(frozen=True, eq=False)
class SyntheticFit:
    """Measures networks, and solves for their weights, on synthetic samples.

    `ranges` tells by how much each floating output varies: an error counts relative to it. `untouchable` are the
    origins of layers that no sample exercises. Raises ExecutionError where torch cannot run the network.
    """

    original: Network
    batches: Sequence[Batch]
    ranges: Mapping[str, float]
    seed: int
    untouchable: frozenset[str] = frozenset()
    _solved: dict[bytes, Network] = field(default_factory=dict, repr=False)

    @property
    def said(self) -> str:
        """What a report says of a network that was solved for."""
        count = sum(max(map(len, batch.inputs.values()), default=0) for batch in self.batches)
        return f"weights were solved for by least squares on {count} synthetic samples that neither decide nor confirm"

    @cached_property
    def feeder(self) -> BatchLoader:
        return BatchLoader(1, torch.device("cpu"), World(), augmentation(()))

    @cached_property
    def objective(self) -> Objective:
        """The squared error of all outputs, relative to their ranges."""
        return Objective((), frozenset(), self.ranges, None)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.batches)

    def sample_batches(self, count: int) -> Iterator[Batch]:
        return islice(self.batches, count)

    @cached_property
    def moments(self) -> Callable[[Network], Mapping[str, Moments]]:
        """Return the function that measures the moments of a network's layers, those of the same weights once."""
        return measured_once(self._measured)

    def _measured(self, network: Network) -> Mapping[str, Moments]:
        found = measure_moments(self, network, network.layers, batches=len(self.batches), draws=DRAWS)
        return {name: Moments(_spread_out(each.inputs), each.outputs) for name, each in found.items()}

    def refit(self, network: Network) -> Network:
        """Return the network with weights solved for in graph order; the same object for the same network."""
        key = sha1(network.to_proto().SerializeToString(deterministic=True)).digest()
        if key not in self._solved:
            self._solved[key] = refitted(self.original, network, self._feeds, self._curvature, self.untouchable)
        return self._solved[key]

    def _feeds(self) -> Iterator[Mapping[str, Tensor]]:
        yield from map(self.feeder.feeds, self.batches)

    @cached_property
    def _curvature(self) -> Mapping[str, Array]:
        return output_curvature(self.original, self._measured(self.original))


def _spread_out(inputs: Array) -> Array:
    """Return input moments [parts, n, n] in which every direction counts for a little."""
    size = inputs.shape[-1]
    diagonal = np.trace(inputs, axis1=1, axis2=2)[:, None, None] / max(size, 1)
    return np.asarray(inputs + UNLIKE * diagonal * np.eye(size))
