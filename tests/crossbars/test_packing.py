"""Small tiles share an array where they share no row and no column of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gscompile
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist import Netlist, Tile, check, rebuild
from gscompile.crossbars.netlist_file import read_netlist, write_netlist
from gscompile.crossbars.packing import pack
from gscompile.errors import VerificationError
from gscompile.hardware.cost import built_um2
from gscompile.hardware.target import load_target
from gscompile.reporting.report import Figures, text
from tests.small_networks import model, network

DEPTHWISE = "g (float[n,16,8,8] x) => (float[n,16,p,q] y) <float[16,1,3,3] w> { y = Conv <group = 16> (x, w) }"


def packed(crossbar: str = "64x64") -> tuple[Netlist, dict[str, np.ndarray]]:
    net = network(DEPTHWISE)
    netlist = map_network(net, MapOptions(Crossbar.parse(crossbar), pack=True))
    return netlist, dict(tile_weights(net, netlist))


def test_seven_filters_of_nine_rows_share_an_array_of_64() -> None:
    netlist, _ = packed()
    assert (len([*netlist.tiles]), netlist.arrays) == (16, 3)
    assert [tile.corner for tile in netlist.tiles][:3] == [(0, 0), (9, 1), (18, 2)]
    assert Figures.of(netlist.matrices).arrays == 3


def test_without_the_option_every_tile_has_an_array_of_its_own() -> None:
    netlist = map_network(network(DEPTHWISE), MapOptions(Crossbar(64, 64)))
    assert (netlist.arrays, netlist.packed) == (16, False)


def test_arrays_are_shared_unless_they_are_not_to_be_and_the_report_says_how_many_that_saved(tmp_path: Path) -> None:
    shared = gscompile.compile(model(DEPTHWISE), out=tmp_path / "shared", crossbar="64x64")
    assert (shared.report.after.tiles, shared.report.after.arrays) == (16, 3)
    assert "packed: 16 tiles on 3 arrays, 13 arrays saved" in text(shared.report)
    apart = gscompile.compile(model(DEPTHWISE), out=tmp_path / "apart", crossbar="64x64", pack=False)
    assert apart.report.after.arrays == 16


@pytest.mark.parametrize(("target", "arrays"), [("macro_128", 2), ("rram_45nm", 3), ("group_scissor", 16)])
def test_on_a_target_tiles_share_where_that_takes_no_more_area(target: str, arrays: int) -> None:
    """Whole macros, and converters that columns share, are saved; an array that is cells alone would only grow."""
    hardware = load_target(target)
    options = MapOptions(hardware.size, pack=True, array_um2=partial(built_um2, target=hardware))
    assert map_network(network(DEPTHWISE), options).arrays == arrays


def test_columns_run_out_as_rows_do() -> None:
    assert packed("64x2")[0].arrays == 8


def test_what_is_packed_is_checked_written_and_rebuilt(tmp_path: Path) -> None:
    netlist, weights = packed()
    write_netlist(netlist, tmp_path / "netlist.json")
    again = read_netlist(tmp_path / "netlist.json")
    check(again)
    assert [(t.array, t.corner) for t in again.tiles] == [(t.array, t.corner) for t in netlist.tiles]
    layer = network(DEPTHWISE).layers[0]
    for matrix, part in zip(again.matrices, layer.matrices, strict=True):
        np.testing.assert_array_equal(rebuild(matrix, weights), part)


@pytest.mark.parametrize(
    ("corner", "words"),
    [
        ((5, 10), "two tiles on one row"),
        ((30, 0), "two tiles on one column"),
        ((60, 9), "rows 60:69 of 64"),
        ((10, 64), "64:65 of 64"),
    ],
)
def test_tiles_that_clash_are_refused(corner: tuple[int, int], words: str) -> None:
    netlist, _ = packed()
    first, second, *_ = netlist.matrices
    moved = replace(second, tiles=(replace(second.tiles[0], corner=corner),))
    with pytest.raises(VerificationError, match=words):
        check(replace(netlist, matrices=(first, moved)))


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), max_size=40))
def test_packing_keeps_tiles_apart_and_wastes_less_than_half(sizes: list[tuple[int, int]]) -> None:
    tiles = [Tile(f"t{n}", "m", np.arange(r), np.arange(c), f"t{n}") for n, (r, c) in enumerate(sizes)]
    placed = pack(tiles, Crossbar(8, 8), "m")
    assert [t.name for t in placed] == [t.name for t in tiles]
    arrays: dict[str, list[Tile]] = {}
    for tile in placed:
        arrays.setdefault(tile.array, []).append(tile)
    for held in arrays.values():
        assert sum(len(t.inputs) for t in held) <= 8
        assert sum(len(t.outputs) for t in held) <= 8
    half_empty = [h for h in arrays.values() if max(sum(len(t.inputs) for t in h), sum(len(t.outputs) for t in h)) <= 4]
    assert len(half_empty) <= 1  # two such arrays would have been one
