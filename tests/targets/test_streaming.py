"""Netlists are written front to back: what a writer holds does not grow with what it writes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import write_tiles
from gscompile.hardware.target import Design
from gscompile.placement.place import PlaceOptions, place
from gscompile.targets.dot import Dot
from gscompile.targets.lefdef import LefDef
from gscompile.targets.spice import Spice
from gscompile.targets.verilog import Verilog
from gscompile.targets.yosys import Yosys
from tests.placement.test_place import dense


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
    """Layers of 32 x 32 on 16x16 arrays: 4 tiles and 128 wires each, placed in their order."""
    netlist = dense(*[32] * (layers + 1), crossbar=16)
    design = Design(netlist, Ones(netlist))
    plan = place(netlist, design.target, PlaceOptions(engine="shelves"))
    return Design(netlist, design.weights, design.target, plan)


WRITERS: dict[str, Callable[[Design, Path], object]] = {
    "verilog": lambda design, out: Verilog().emit(design, out),
    "yosys": lambda design, out: Yosys().emit(design, out),
    "spice": lambda design, out: Spice().emit(design, out),
    "lefdef": lambda design, out: LefDef().emit(design, out),
    "netlist.json": lambda design, out: write_netlist(design.netlist, out / "netlist.json"),
    "dot": lambda design, out: Dot(tiles=True).emit(design, out),
    "tiles.npz": lambda design, out: write_tiles(design.weights.items(), out / "tiles.npz"),
}
SHORT = ("netlist.json", "dot", "tiles.npz")  # a short file is all in the file's own buffer


def alike(layers: int) -> Design:
    """The same with layers `m.0`, `M_0`, `m.1` and so on: of each two the names would be one."""
    design = chain(layers)
    matrices = tuple(_renamed(m, f"{'Mm'[k % 2]}{'_.'[k % 2]}{k // 2}") for k, m in enumerate(design.netlist.matrices))
    return replace(design, netlist=replace(design.netlist, matrices=matrices))


def _renamed(matrix: Matrix, name: str) -> Matrix:
    return replace(matrix, name=name, tiles=tuple(replace(tile, matrix=name) for tile in matrix.tiles))


def written(writer: str, design: Design, out: Path) -> tuple[int, int]:
    """Bytes in memory at the worst moment beyond the design itself, and bytes written."""
    out.mkdir()
    gc.collect()
    tracemalloc.start()
    WRITERS[writer](design, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, sum(path.stat().st_size for path in out.iterdir())


def peaks(writer: str, make: Callable[[int], Design], sizes: Iterable[int], out: Path) -> list[int]:
    """The worst moment at every size; eight times the layers must be eight times the bytes."""
    written(writer, make(1), out / "first")  # what Python itself keeps from the first time on
    found = [written(writer, make(size), out / f"{size}") for size in sizes]
    assert found[-1][1] > 7 * found[0][1]
    return [peak for peak, _ in found]


@pytest.mark.parametrize("writer", WRITERS)
def test_eight_times_the_netlist_takes_no_more_memory(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix stays as large, and their number grows: a writer holds for many of them what it holds for a few.

    Names are compared 64 at a time here, that there be more of them than are compared at a time, as in large netlists.
    """
    monkeypatch.setattr("gscompile.crossbars.name_collisions.WINDOW_ITEMS", 64)
    few, many = peaks(writer, chain, (50, 400) if writer in SHORT else (8, 64), tmp_path)
    assert many < 1.3 * few, (few, many)


@pytest.mark.parametrize("make", [chain, alike])
def test_nothing_at_all_is_kept_for_each_matrix(make: Callable[[int], Design], tmp_path: Path) -> None:
    """A layer more is five digests of eight bytes more, until there are 65,536; with twins, two sets that hold them."""
    few, many = peaks("verilog", make, (16, 128), tmp_path)
    assert (many - few) / 112 < (80 if make is chain else 400), (few, many)
