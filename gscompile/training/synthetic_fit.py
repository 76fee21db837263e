"""Moments and refitted weights without data: measured on synthetic samples, as they are on samples of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from itertools import islice

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

DIRECTIONS = 4  # of a direction at the outputs for each sample: one is too rough for a few hundred samples


@dataclass(frozen=True, eq=False)
class SyntheticFit:
    """Measures networks, and solves for their weights, on synthetic samples.

    `count` is how many samples all `batches` have. `ranges` tells by how much each floating output varies; an error
    counts relative to it. `untouchable` are the origins of layers that no sample exercises. Raises ExecutionError where
    torch cannot run the network.
    """

    original: Network
    batches: Sequence[Batch]
    count: int
    ranges: Mapping[str, float]
    seed: int
    untouchable: frozenset[str] = frozenset()
    moments: Callable[[Network], Mapping[str, Moments]] = field(init=False)  # of networks in a row, once
    _curvature: dict[str, Array] = field(default_factory=dict, repr=False)  # of the original, once it is asked for
    _solved: dict[bytes, Network] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moments", measured_once(self._measured))

    @property
    def said(self) -> str:
        """What a report says of a network that was solved for."""
        on = f"{self.count:,} synthetic samples that neither decide nor confirm"
        return f"the weights that are left were solved for by least squares on {on}"

    @property
    def feeder(self) -> BatchLoader:
        return BatchLoader(1, torch.device("cpu"), World(), augmentation(()))

    @property
    def objective(self) -> Objective:
        """The squared error of all outputs, relative to their ranges."""
        return Objective((), frozenset(), self.ranges, None)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.batches)

    def sample_batches(self, count: int) -> Iterator[Batch]:
        return islice(self.batches, count)

    def _measured(self, network: Network) -> Mapping[str, Moments]:
        return measure_moments(self, network, network.layers, batches=len(self.batches), draws=DIRECTIONS)

    def refit(self, network: Network) -> Network:
        """Return the network with weights solved for in graph order; the same object for the same network."""
        key = sha1(network.to_proto().SerializeToString(deterministic=True)).digest()
        if not self._curvature:
            self._curvature.update(output_curvature(self.original, self.moments(self.original)))
        if key not in self._solved:
            self._solved[key] = refitted(self.original, network, self._feeds, self._curvature, self.untouchable)
        return self._solved[key]

    def _feeds(self) -> Iterator[Mapping[str, Tensor]]:
        yield from map(self.feeder.feeds, self.batches)
