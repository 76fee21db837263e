"""Placements are legal, better than the netlist's order, and measured from the geometry."""

from __future__ import annotations

import re
import struct
import sys
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import process_time
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.netlist import Block, Bus, Matrix, Netlist, Port, Tile, check
from gscompile.errors import UsageError
from gscompile.hardware.components import array_periphery_um2, components, row_height
from gscompile.hardware.floorplan import PARTS_OF_A_ROW, Component, Floorplan, overlaps, shelves
from gscompile.hardware.target import Target, load_target
from gscompile.placement.congestion import Congestion, congestion
from gscompile.placement.floorplan_picture import colours, heat, heat_legend, scale_of, write_png, write_svg
from gscompile.placement.place import PlaceOptions, net_boxes, place, wire_length

SHELVES = PlaceOptions(engine="shelves")


def dense(*sizes: int, crossbar: int = 64) -> Netlist:
    """Layers of dense matrices, sizes[k] x sizes[k + 1], with a block before each and one at the end."""
    buses, matrices, blocks, before = [], [], [], "tensor:x"
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        name = f"m{k}"
        matrices.append(_matrix(name, inputs, outputs, crossbar))
        buses += [Bus(f"{name}.in", inputs, "analog"), Bus(f"{name}.out", outputs, "analog")]
        blocks.append(Block(f"b{k}", (f"b{k}",), (before,), (f"{name}.in",)))
        before = f"{name}.out"
    blocks.append(Block("end", ("end",), (before,), ("tensor:y",)))
    buses += [Bus("tensor:x", 1, "tensor"), Bus("tensor:y", 1, "tensor")]
    ports = Port("x", "input", "tensor:x"), Port("y", "output", "tensor:y")
    size = Crossbar(crossbar, crossbar)
    netlist = Netlist("dense", size, "full", tuple(buses), tuple(matrices), tuple(blocks), ports)
    check(netlist)
    return netlist


def _matrix(name: str, inputs: int, outputs: int, size: int) -> Matrix:
    tiles = []
    for r, c in np.ndindex(-(-inputs // size), -(-outputs // size)):
        rows = np.arange(r * size, min((r + 1) * size, inputs))
        cols = np.arange(c * size, min((c + 1) * size, outputs))
        tiles.append(Tile(f"{name}/{r}_{c}", name, rows, cols, f"{name}/{r}_{c}"))
    return Matrix(name, name, 0, inputs, outputs, f"{name}.in", f"{name}.out", tuple(tiles))


def part(name: str, width: int) -> Component:
    return Component(name, "array", "layer", width, 10)


@pytest.mark.parametrize("target", ["group_scissor", "rram_45nm", "macro_128"])
def test_components_are_as_large_as_their_cells_and_converters(target: str) -> None:
    hardware = load_target(target)
    array = components(dense(10, 20), hardware)[0]
    rows, cols = (128, 128) if target == "macro_128" else (10, 20)
    assert array.height == row_height(hardware) == hardware.crossbar.rows * array.pitch
    assert array.width >= cols * array.pitch
    assert array.area_um2 >= rows * cols * (array.pitch / 1000) ** 2 + array_periphery_um2(rows, cols, hardware)


def test_shelves_fill_a_row_and_turn_back() -> None:
    placed = shelves([part("a", 4), part("b", 5), part("c", 3), part("d", 6)], 10, 10)
    assert [(c.name, c.x, c.y) for c in placed] == [("a", 0, 0), ("b", 4, 0), ("c", 6, 10), ("d", 0, 10)]


@given(st.lists(st.integers(1, 30), max_size=30))
def test_shelves_never_overlap(widths: list[int]) -> None:
    placed = shelves([part(str(i), w) for i, w in enumerate(widths)], 30, 10)
    assert not overlaps(Floorplan(30, 10 * max(len(widths), 1), 10, placed))


def test_overlaps_are_found() -> None:
    plan = Floorplan(10, 20, 10, (part("a", 6), part("b", 6)))
    assert overlaps(plan) == [("a", "b")]
    assert overlaps(Floorplan(5, 10, 10, (part("a", 6),))) == [("a", "die")]


def test_coloquinte_is_legal_and_shortens_the_wires() -> None:
    pytest.importorskip("coloquinte", reason="coloquinte is not installed (PyPI package coloquinte)")
    netlist, target = dense(256, 512, 256, 64), load_target("rram_45nm")
    start = place(netlist, target, SHELVES)
    best = place(netlist, target, PlaceOptions(engine="coloquinte"))
    assert best.engine == "coloquinte"
    assert not overlaps(best)
    assert wire_length(netlist, best) < 0.9 * wire_length(netlist, start)
    assert best == place(netlist, target, PlaceOptions(engine="coloquinte"))  # the same every time


def test_a_block_as_wide_as_the_die_is_placed() -> None:
    """The block between has 1,000 pins on either edge, 80 um, more than the root of the area: it makes the width."""
    pytest.importorskip("coloquinte", reason="coloquinte is not installed (PyPI package coloquinte)")
    plan = place(dense(1000, 64), load_target())
    widest = max(c.width for c in plan.components)
    assert (plan.engine, overlaps(plan)) == ("coloquinte", [])
    assert 0 <= plan.width - widest <= plan.row_height // PARTS_OF_A_ROW + 1


@pytest.mark.parametrize(("tries", "engine"), [(2, "coloquinte"), (9, "shelves")])
def test_an_engine_that_finds_no_room_gets_a_tenth_more(
    tries: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def crowded(plan: Floorplan, *_: object) -> tuple[Component, ...]:
        seen.append(plan.width * plan.height)
        if len(seen) < tries:
            raise RuntimeError("Not all cells have been placed")
        return plan.components

    monkeypatch.setattr("gscompile.placement.place._engine", lambda _: crowded)
    plan = place(dense(512, 512), load_target())
    assert plan.engine == engine
    assert plan.width * plan.height == seen[1 if engine == "coloquinte" else 0]
    assert seen[0] * 1.02 < seen[1] < seen[0] * 1.2


def test_the_engine_does_not_talk_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("coloquinte", reason="coloquinte is not installed (PyPI package coloquinte)")
    place(dense(128, 128), load_target(), PlaceOptions(engine="coloquinte"))
    assert capfd.readouterr().out == ""


def test_without_coloquinte_there_are_shelves_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coloquinte", None)
    monkeypatch.delitem(sys.modules, "gscompile.placement.coloquinte_engine", raising=False)
    assert place(dense(64, 64), load_target()).engine == "shelves"
    with pytest.raises(UsageError, match="coloquinte is not installed; pip install coloquinte"):
        place(dense(64, 64), load_target(), PlaceOptions(engine="coloquinte"))


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(UsageError, match="engine 'best': expected one of auto, coloquinte, shelves"):
        place(dense(64, 64), load_target(), PlaceOptions(engine="best"))  # type: ignore[arg-type]


def test_a_net_is_as_long_as_half_of_its_box() -> None:
    """Two arrays in a row: input 0 of m0 has a pin on the block and one on the array."""
    netlist = dense(2, 3, crossbar=4)
    plan = place(netlist, load_target(), SHELVES)
    names, boxes = net_boxes(netlist, plan)
    assert len(names) == 2 + 3 + 2
    x0, y0, x1, y1 = boxes[names.index(("m0.in", 0))].tolist()
    block, array = plan.component("block", "b0"), plan.component("array", "m0/0_0")
    ends = [(block.x + block.block_pin(1)[0], block.y + block.block_pin(1)[1]), (array.x, array.y + 80)]
    assert (x0, x1) == tuple(sorted(x for x, _ in ends))
    assert (y0, y1) == tuple(sorted(y for _, y in ends))
    assert wire_length(netlist, plan) == int((boxes[:, 2:] - boxes[:, :2]).sum())


def wide(target: Target) -> tuple[Netlist, Floorplan]:
    netlist = dense(128, 256, 64)
    return netlist, place(netlist, target, SHELVES)


@pytest.mark.parametrize("engine", ["rustworkx", "rudy"])
def test_fewer_wires_crowd_less(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine == "rustworkx":
        pytest.importorskip("rustworkx", reason="rustworkx is not installed (PyPI package rustworkx)")
    else:
        monkeypatch.setitem(sys.modules, "rustworkx", None)
    target = load_target()
    netlist, plan = wide(target)
    full = congestion(netlist, plan, target)
    assert full.engine == engine
    assert full.worst > 0
    assert full.map.max() == pytest.approx(full.worst)
    thin = dense(16, 32, 8)
    assert congestion(thin, place(thin, target, SHELVES), target).worst < full.worst


def test_pictures_show_every_component_at_one_scale(tmp_path: Path) -> None:
    target = load_target()
    netlist, plan = wide(target)
    small = place(dense(8, 8), target, SHELVES)
    scale = scale_of([plan, small])
    assert max(plan.width, plan.height) * scale == pytest.approx(900)
    write_svg(plan, tmp_path / "a.svg", scale, congestion(netlist, plan, target))
    titles = ElementTree.parse(tmp_path / "a.svg").getroot().iter("{http://www.w3.org/2000/svg}title")
    assert [t.text for t in titles] == [c.name for c in plan.components]
    inside = re.findall(
        r'<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"', (tmp_path / "a.svg").read_text("utf-8")
    )
    boxes = np.array(inside[: -len(heat_legend())], float)  # the last ones are the legend's
    assert boxes[:, :2].min() >= 0
    assert (boxes[:, :2] + boxes[:, 2:]).max(axis=0) == pytest.approx(
        [plan.width * scale, plan.height * scale], abs=0.8
    )
    assert list(colours(plan)) == ["m0", "m1"]


def test_a_png_has_the_colour_of_the_layer(tmp_path: Path) -> None:
    netlist, plan = wide(load_target())
    scale = scale_of([plan])
    write_png(plan, tmp_path / "a.png", scale)
    data = (tmp_path / "a.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    pixels = zlib.decompress(data[41 : data.index(b"IEND") - 8])
    image = np.frombuffer(pixels, np.uint8).reshape(height, 1 + 4 * width)[:, 1:].reshape(height, width, 4)
    first = plan.component("array", next(netlist.tiles).name)
    x, y = first.x + first.width // 2, plan.height - first.y - first.height // 2
    assert tuple(image[int(y * scale), int(x * scale)]) == (*colours(plan)["m0"], 255)


def test_a_full_channel_is_dark_red_and_an_empty_one_shows_the_array(tmp_path: Path) -> None:
    assert heat(np.array([0.0, 1.0, 7.0])).tolist() == [[255, 247, 188], [128, 0, 38], [128, 0, 38]]
    plan = Floorplan(20, 10, 10, (part("a", 10),))
    crowd = Congestion("rudy", 10, np.array([[0.0]]), np.zeros((0, 2)), tracks=4.0)
    for taken, wanted in (
        (0.0, (200, 200, 200, 255)),
        (4.0, (139, 30, 62, 255)),
    ):  # 0.85 of the map over a fifth of the array
        write_png(plan, tmp_path / "a.png", 1.0, replace(crowd, across=np.array([[taken]])))
        data = (tmp_path / "a.png").read_bytes()
        row = np.frombuffer(zlib.decompress(data[41 : data.index(b"IEND") - 8]), np.uint8)[:81]
        assert tuple(row[1 + 4 * 2 : 1 + 4 * 3]) == wanted


@pytest.mark.slow
def test_a_thousand_tiles_are_placed_in_two_minutes() -> None:
    pytest.importorskip("coloquinte", reason="coloquinte is not installed (PyPI package coloquinte)")
    netlist, target = dense(1280, 1280, 1280, 640), load_target("rram_45nm")
    assert netlist.arrays == 2 * 20 * 20 + 20 * 10
    began = process_time()  # of this process: other work on the machine does not count
    plan = place(netlist, target)
    congestion(netlist, plan, target)
    assert process_time() - began < 120
    assert not overlaps(plan)
    assert wire_length(netlist, plan) < wire_length(netlist, place(netlist, target, SHELVES))
