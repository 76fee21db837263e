"""What the tests of whole networks have in common: counts as mapped, little work, and data without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.data.synthetic import synthetic_batch
from gscompile.graph.network import Network
from gscompile.reporting.report import Figures

LITTLE: dict[str, Any] = {
    "crossbar": "64x64",
    "threads": 1,
    "effort": "quick",
    "time_budget": "2s",
    "epochs_per_round": 0.02,
}


def counts(path: Path) -> tuple[int, ...]:
    """Layers, matrices, cells, tiles and wires of a network as it comes, on 64x64."""
    netlist = map_network(Network.load(path), MapOptions(Crossbar(64, 64)))
    figures, layers = Figures.of(netlist.matrices), {matrix.layer for matrix in netlist.matrices}
    return len(layers), len(netlist.matrices), figures.cells, figures.tiles, figures.wires


def eight_batches(path: Path) -> Callable[[], Iterator[dict[str, NDArray[Any]]]]:
    """Eight unlabelled batches that a network takes."""
    model = Network.load(path).model

    def batches() -> Iterator[dict[str, NDArray[Any]]]:
        yield from (synthetic_batch(model, seed=number) for number in range(8))

    return batches
