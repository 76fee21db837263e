"""Steps of the compiler beside what they are measured against, at four sizes each, by pytest-benchmark.

Run by name: `OMP_NUM_THREADS=1 python -m pytest tests/benchmarks/bench_steps.py`, with `-k decomposition` for a part of
it; that needs `pip install '.[bench]'`. Seconds of the processor, one thread, the least of a few rounds; they go to
`results.json` and the page (`conftest.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from gscompile.compression.decomposition import weight_spectrum
from gscompile.crossbars.mapping import map_network, tile_weights
from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import TileFile, write_tiles
from gscompile.graph.network import Network
from gscompile.hardware.target import Design, Format, load_target
from gscompile.judging.verify import verify_folder
from gscompile.placement.place import PlaceOptions, place
from gscompile.registry import create
from gscompile.simulation.simulate import Folder
from gscompile.simulation.tile_product import Effects
from gscompile.targets import FORMATS
from gscompile.write import write_design, write_model
from tests.benchmarks.bench_netlists import OPTIONS, SIDE, chain
from tests.benchmarks.networks import decaying

MATRICES = (1, 2, 4, 8)  # of a million cells each, half of all groups deleted
SIDES = (256, 512, 1024, 2048)
SAMPLES = 20
Bench = Any  # pytest-benchmark's fixture
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Compiled:
    """A network, its netlist, and the folder in which both are written."""

    network: Network
    netlist: Netlist
    folder: Path

    @property
    def design(self) -> Design:
        return Design(self.netlist, TileFile(self.folder / "tiles.npz"), load_target("group_scissor"))


@cache
def compiled(matrices: int) -> Compiled:
    folder = Path(mkdtemp(prefix="gscompile-bench-"))
    write_model(chain(matrices), folder / "model.onnx")
    network = Network.load(folder / "model.onnx")
    netlist = map_network(network, OPTIONS, "chain")
    write_design(network, netlist, folder)
    return Compiled(network, netlist, folder)


def measure(bench: Bench, name: str, size: float, by: str, work: Callable[[], Any], rounds: int = 3) -> None:
    """`size` in cells, of the matrices for what looks at all of them, else those that are left; the first round warms up."""
    bench.extra_info.update(step=name, cells=size, by=by)
    bench.pedantic(work, rounds=rounds, warmup_rounds=1)


def by_torch(w: Matrix) -> Any:
    import torch

    torch.set_num_threads(1)
    return torch.linalg.svd(torch.from_numpy(w), full_matrices=False)


def by_scipy(w: Matrix) -> Any:
    from scipy.linalg import svd

    return svd(w, full_matrices=False, check_finite=False)


DECOMPOSED: dict[str, Callable[[Matrix], Any]] = {
    "gscompile": weight_spectrum,
    "numpy": lambda w: np.linalg.svd(w, full_matrices=False),
    "scipy": by_scipy,
    "torch": by_torch,
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("by", DECOMPOSED)
def test_decomposition(side: int, by: str, benchmark: Bench) -> None:
    """Of a square matrix whose singular values fall as a transformer's do."""
    w = decaying(np.random.default_rng(0), side, side, side / 12)
    measure(benchmark, "decomposition", side * side, by, lambda: DECOMPOSED[by](w), rounds=1 if side > 1024 else 3)


@pytest.mark.parametrize("matrices", MATRICES)
def test_mapping(matrices: int, benchmark: Bench) -> None:
    network = compiled(matrices).network
    measure(benchmark, "mapping", matrices * SIDE**2, "gscompile", lambda: map_network(network, OPTIONS, "chain"))


WRITERS = ("JSON", "tiles", *FORMATS)


@pytest.mark.parametrize("matrices", MATRICES)
@pytest.mark.parametrize("name", WRITERS)
def test_writing(name: str, matrices: int, benchmark: Bench, tmp_path: Path) -> None:
    """Placing, which LEF/DEF wants, is done before."""
    done = compiled(matrices)
    measure(benchmark, f"writing {name}", done.netlist.cells, "gscompile", writer(name, done, tmp_path))


def writer(name: str, done: Compiled, folder: Path) -> Callable[[], Any]:
    if name == "JSON":
        return lambda: write_netlist(done.netlist, folder / "netlist.json")
    if name == "tiles":
        return lambda: write_tiles(tile_weights(done.network, done.netlist), folder / "tiles.npz")
    form: Format = create("format", FORMATS, name)
    design = done.design
    plan = place(design.netlist, design.target, PlaceOptions("shelves")) if name == "lefdef" else None
    placed = Design(design.netlist, design.weights, design.target, plan)
    return lambda: form.emit(placed, folder)


@pytest.mark.parametrize("matrices", MATRICES)
@pytest.mark.parametrize("by", ["gscompile", "onnxruntime"])
def test_simulation(by: str, matrices: int, benchmark: Bench) -> None:
    """Of 20 samples: tile by tile, and the same network in onnxruntime."""
    done = compiled(matrices)
    x = {"x0": np.random.default_rng(0).standard_normal((SAMPLES, SIDE), dtype=np.float32)}
    if by == "gscompile":
        chip = Folder.open(done.folder).chip(Effects())
        measure(benchmark, "simulation", done.netlist.cells, by, lambda: chip.run(x))
        return
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(done.folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    measure(benchmark, "simulation", done.netlist.cells, by, lambda: session.run(None, x))


@pytest.mark.parametrize("matrices", MATRICES)
def test_verification(matrices: int, benchmark: Bench) -> None:
    """Of the written files, against each other and by onnxruntime."""
    done = compiled(matrices)
    measure(benchmark, "verification", done.netlist.cells, "gscompile", lambda: verify_folder(done.folder))
