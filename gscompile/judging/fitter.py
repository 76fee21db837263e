"""Weights solved for on synthetic samples, where torch is installed and the network is of a size to do so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gscompile.compression.linear_maps import cells
from gscompile.data.dataset import Batch
from gscompile.errors import ExecutionError, UsageError
from gscompile.graph.network import Network
from gscompile.judging.samples import Samples
from gscompile.judging.sampling import ChosenSamples
from gscompile.training.installed import check_torch

if TYPE_CHECKING:
    from gscompile.training.synthetic_fit import SyntheticFit

FITTING = 1_000_000  # the number of the first draw that is solved on, apart from those that decide and that confirm
FURTHER = 2_000_000  # the same, of samples that confirm where few do not tell enough
MOST_FURTHER_VALUES = 1 << 22  # of the inputs of such samples: of a thousand pictures of 32x32
MOST_VALUES = 1 << 18  # of the inputs of all samples that are solved on: 85 pictures of 32x32
FEWEST_FITTED, MOST_FITTED = 32, 512  # samples that are solved on
INPUTS = 2  # samples that are solved on for each input of the largest matrix, as far as that
MOST_FITTED_CELLS = 1 << 22  # of a network that is solved for: a moment of n inputs takes n² numbers, a solve n³
LARGEST_SAMPLE = 1 << 16  # values of a sample: convolutions hold many times as many, of several samples


@dataclass(frozen=True, eq=False)
class Fitter:
    """Makes what measures and solves on synthetic samples, once it is asked for: torch takes seconds to load."""

    network: Network
    chosen: ChosenSamples
    seed: int
    deletes: bool = True  # whether passes delete groups, so that rows may go

    def further(self, count: int) -> Samples | None:
        """Return `count` samples more than those that confirm, and these; None where that is too much to run."""
        if self._values * count > MOST_FURTHER_VALUES or cells(self.network) > MOST_FITTED_CELLS:
            return None
        draws = self.chosen.sampler.draws(count, FURTHER)
        return Samples([*self.chosen.confirming.draws, *draws])

    @property
    def _values(self) -> int:
        """Return how many values the largest sample has."""
        return max(int(sum(map(np.size, draw.inputs.values()))) // draw.rows for draw in self.chosen.deciding.draws)

    def fit(self, note: Callable[[str], None]) -> SyntheticFit | None:
        """Return what solves for weights; None where that is not possible, which is noted where torch is the reason."""
        values = self._values
        ranges = _widest(self.chosen.deciding.ranges)
        if self.network.shelf or cells(self.network) > MOST_FITTED_CELLS or values > LARGEST_SAMPLE or not ranges:
            return None
        try:
            check_torch()
        except UsageError as problem:
            note(f"no weights are solved for on synthetic samples: {str(problem).partition(';')[0]}")
            return None
        from gscompile.training.synthetic_fit import SyntheticFit

        inputs = max((layer.layout.inputs for layer in self.network.layers), default=1)
        count = max(FEWEST_FITTED, min(INPUTS * inputs, MOST_VALUES // max(values, 1), MOST_FITTED))
        draws = self.chosen.sampler.draws(count, FITTING)
        batches, count = [Batch(draw.inputs, None) for draw in draws], sum(draw.rows for draw in draws)
        try:
            fit = SyntheticFit(
                original=self.network,
                batches=batches,
                count=count,
                ranges=ranges,
                seed=self.seed,
                untouchable=frozenset(self.chosen.unmoved),
            )
            return fit if fit.moments(self.network) else None
        except ExecutionError as problem:
            note(f"no weights are solved for on synthetic samples: {problem}")
            return None


def _widest(ranges: Mapping[tuple[str, str], tuple[float, float]]) -> dict[str, float]:
    """Return by how much each output varies, in the group of samples where it varies most; constant ones left out."""
    found: dict[str, float] = {}
    for (name, _), (low, high) in ranges.items():
        if high > low:
            found[name] = max(found.get(name, 0.0), high - low)
    return found
