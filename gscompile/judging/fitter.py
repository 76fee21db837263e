"""Weights solved for on synthetic samples, where torch is installed and the network is of a size to do so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gscompile.compression.linear_maps import cells
from gscompile.compression.passes import Context, PassResult
from gscompile.data.dataset import Batch
from gscompile.errors import ExecutionError, UsageError
from gscompile.graph.network import Network
from gscompile.judging.sampling import ChosenSamples
from gscompile.training.installed import check_torch

if TYPE_CHECKING:
    from gscompile.training.synthetic_fit import SyntheticFit

FITTING = 1_000_000  # the number of the first draw that is solved on, apart from those that decide and that confirm
MOST_VALUES = 1 << 18  # of the inputs of all samples that are solved on: 85 pictures of 32x32
FEWEST, MOST = 32, 512  # samples that are solved on
MOST_CELLS = 1 << 22  # of a network that is solved for: a moment of n inputs takes n² numbers, a solve n³ products
LARGEST_SAMPLE = 1 << 16  # values of a sample: convolutions hold many times as many, of several samples


@dataclass(frozen=True, eq=False)
class Fitter:
    """Makes what measures and solves on synthetic samples, once it is asked for: torch takes seconds to load."""

    network: Network
    chosen: ChosenSamples
    seed: int

    def saving(self, context: Context) -> Callable[[PassResult], float]:
        """Return a function that tells what a result saves, as a share of what the network takes."""
        saved = context.saving(self.network)
        return lambda result: saved(result.network)

    def fit(self, note: Callable[[str], None]) -> SyntheticFit | None:
        """Return what solves for weights; None where that is not possible, which is noted where torch is the reason."""
        values = max(sum(map(np.size, draw.inputs.values())) // draw.rows for draw in self.chosen.deciding.draws)
        ranges = _widest(self.chosen.deciding.ranges)
        if self.network.shelf or cells(self.network) > MOST_CELLS or values > LARGEST_SAMPLE or not ranges:
            return None
        try:
            check_torch()
        except UsageError as problem:
            note(f"no weights are solved for on synthetic samples: {str(problem).partition(';')[0]}")
            return None
        from gscompile.training.synthetic_fit import SyntheticFit

        count = min(max(MOST_VALUES // max(values, 1), FEWEST), MOST)
        batches = [Batch(draw.inputs, None) for draw in self.chosen.sampler.draws(count, FITTING)]
        try:
            fit = SyntheticFit(self.network, batches, ranges, self.seed, frozenset(self.chosen.unmoved))
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
