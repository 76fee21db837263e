"""Netlists are written front to back: what a writer holds does not grow with what it writes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gscompile.netlist import Netlist
from gscompile.netlist_file import write_netlist
from gscompile.place import PlaceOptions, place
from gscompile.target import Design
from gscompile.targets.lefdef import LefDef
from gscompile.targets.spice import Spice
from gscompile.targets.verilog import Verilog
from gscompile.targets.yosys import Yosys
from gscompile.tile_file import write_tiles
from tests.test_place import dense


class Ones(Mapping[str, NDArray[Any]]):
    """Tiles of ones, made when they are asked for, as a file's are read then."""

    def __init__(self, netlist: Netlist) -> None:
        self._tiles = {tile.name: tile for tile in netlist.tiles}

    def __getitem__(self, name: str) -> NDArray[Any]:
        tile = self._tiles[name]
        return np.ones((len(tile.inputs), len(tile.outputs)), np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tiles)

    def __len__(self) -> int:
        return len(self._tiles)


def chain(layers: int) -> Design:
    """Layers of 64 x 64 on 32x32 arrays: 4 tiles and 256 wires each, placed in their order."""
    netlist = dense(*[64] * (layers + 1), crossbar=32)
    design = Design(netlist, Ones(netlist))
    plan = place(netlist, design.target, PlaceOptions(engine="shelves"))
    return Design(netlist, design.weights, design.target, plan)


WRITERS: dict[str, Callable[[Design, Path], object]] = {
    "verilog": lambda design, out: Verilog().emit(design, out),
    "yosys": lambda design, out: Yosys().emit(design, out),
    "spice": lambda design, out: Spice().emit(design, out),
    "lefdef": lambda design, out: LefDef().emit(design, out),
    "netlist.json": lambda design, out: write_netlist(design.netlist, out / "netlist.json"),
    "tiles.npz": lambda design, out: write_tiles(design.weights.items(), out / "tiles.npz"),
}


def written(writer: str, layers: int, out: Path) -> tuple[int, int]:
    """Bytes in memory at the worst moment beyond the design itself, and bytes written."""
    design = chain(layers)
    out.mkdir()
    gc.collect()
    tracemalloc.start()
    WRITERS[writer](design, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, sum(path.stat().st_size for path in out.iterdir())


@pytest.mark.parametrize("writer", WRITERS)
def test_four_times_the_netlist_takes_no_more_memory(writer: str, tmp_path: Path) -> None:
    """Four times the bytes are written; of those beyond the first, none but a table of names is ever in memory."""
    written(writer, 1, tmp_path / "first")  # what Python itself keeps from the first time on
    sizes = (50, 200) if writer == "netlist.json" else (3, 12)  # a short file is all in the file's own buffer
    (small, few), (large, many) = (written(writer, n, tmp_path / str(n)) for n in sizes)
    assert many > 3.5 * few
    grown, wrote = large - small, many - few
    assert grown < 0.2 * wrote, f"{grown:,} bytes of memory more for {wrote:,} bytes more"
