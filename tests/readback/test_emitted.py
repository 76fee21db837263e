"""What is emitted is read back and compared with the netlist: as written it agrees, changed it is refused."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.errors import VerificationError
from gscompile.formats import parse_formats
from gscompile.graph.network import Network
from gscompile.hardware.target import Design, load_target
from gscompile.placement.place import PlaceOptions, place
from gscompile.readback import READERS
from gscompile.readback.emitted import Emitted
from gscompile.targets import FORMATS
from gscompile.targets.spice import Spice
from tests.targets.conftest import FACTORED, GROUPED, NETWORKS, design_of, filled, make_chain
from tests.targets.test_streaming import chain as stack


def emit(design: Design, folder: Path, formats: str = "verilog,yosys,spice,lefdef,dot") -> None:
    for form in parse_formats(formats):
        form.emit(design, folder)


def lines(design: Design, folder: Path) -> list[str]:
    return [*Emitted(folder, design.netlist, design.weights, design.target).check()]


def test_every_format_has_a_reader() -> None:
    assert list(READERS) == list(FORMATS)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_emitted_agrees_with_the_netlist(name: str, tmp_path: Path) -> None:
    design = design_of(filled(NETWORKS[name]))
    emit(design, tmp_path)
    assert len(lines(design, tmp_path)) == len(FORMATS)


def test_tiles_that_share_arrays_agree_placed_and_drawn(tmp_path: Path) -> None:
    """Four channels of nine inputs and an output each: four tiles on one array."""
    network = Network.from_proto(filled(GROUPED))
    netlist = map_network(network, MapOptions(Crossbar(64, 64), pack=True), "grouped")
    assert netlist.arrays == 1
    plan = place(netlist, load_target(), PlaceOptions(engine="shelves"))
    design = Design(netlist, dict(tile_weights(network, netlist)), floorplan=plan)
    emit(design, tmp_path, "dot:tiles=true,lefdef,spice,yosys,verilog")
    assert len(lines(design, tmp_path)) == len(FORMATS)


def test_a_row_that_nothing_drives_is_tied_in_each(tmp_path: Path) -> None:
    """u drives output 0 only, v reads 0 and 1: net 1 is always zero."""
    design = Design(make_chain([0], [0, 1]), {"u/0_0": filled_ones(2, 1), "v/0_0": filled_ones(2, 1)})
    emit(design, tmp_path)
    assert len(lines(design, tmp_path)) == len(FORMATS)
    change(tmp_path / "top.v", "assign u_out__1 = 1'b0", "assign u_out__0 = 1'b0")
    with pytest.raises(VerificationError, match=r"top\.v: assign 'u_out__0'; netlist\.json has assign 'u_out__1'"):
        lines(design, tmp_path)


def filled_ones(rows: int, cols: int) -> NDArray[np.float32]:
    return np.ones((rows, cols), np.float32)


def test_a_tile_of_more_lines_than_a_subcircuit_is_read_in_parts(tmp_path: Path) -> None:
    wide = FACTORED.replace("[n,6] x", "[n,710] x").replace("[6,2] u", "[710,2] u")
    design = design_of(filled(wide), "1024x1024")
    Spice().emit(design, tmp_path)
    (line,) = lines(design, tmp_path)
    assert line.startswith("factored.sp, matrix_matmul0.sp ...: ")
    assert (tmp_path / "matrix_matmul0.sp").read_text().count("\n.subckt ") == 2


def test_a_target_of_few_levels_has_resistances_of_its_own(tmp_path: Path) -> None:
    design = design_of(filled(FACTORED))
    few = replace(design.target, device=replace(design.target.device, levels=4))
    Spice().emit(replace(design, target=few), tmp_path)
    assert lines(replace(design, target=few), tmp_path)
    with pytest.raises(VerificationError, match=r"R[pn]\d_\d of tile_matmul0_0_0 has .* ohms; its weight asks for"):
        lines(replace(design, target=replace(few, device=replace(few.device, levels=8))), tmp_path)
    assert [*Emitted(tmp_path, design.netlist, design.weights).check()]  # without a target they are counted


def test_files_that_were_emitted_for_another_target_have_its_resistances(tmp_path: Path) -> None:
    design = design_of(filled(FACTORED))
    Spice().emit(replace(design, target=load_target("rram_45nm")), tmp_path)
    assert lines(design, tmp_path)
    change(tmp_path / "factored.sp", "for rram_45nm", "for group_scissor")
    with pytest.raises(VerificationError, match="its weight asks for another"):
        lines(design, tmp_path)


def test_no_file_no_line(tmp_path: Path) -> None:
    assert lines(design_of(filled(FACTORED)), tmp_path) == []


# -- changed files ------------------------------------------------------------------------------------------


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, text[:2000]
    path.write_text(text.replace(old, new, 1), "utf-8")


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])


def cut(path: Path, start: str, end: str) -> None:
    """Leave out what stands from `start` to the first `end` after it."""
    head, found, rest = path.read_text("utf-8").partition(start)
    assert found
    path.write_text(head + rest.split(end, 1)[1], "utf-8")


V_ON_2 = '"v_out__0": {"hide_name": 0, "bits": [2]'
EDITS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "verilog connection": (
        "verilog",
        lambda out: change(out / "top.v", "{u_in__1, u_in__0}", "{u_in__0, u_in__1}"),
        "instance 'tile_u_0_0': 'u_in__1'; netlist.json has 'u_in__0'",
    ),
    "verilog instance": (
        "verilog",
        lambda out: cut(out / "top.v", "  crossbar_2x2 tile_u_0_0 (", "  );\n"),
        "end; netlist.json has instance 'tile_u_0_0'",
    ),
    "verilog line": (
        "verilog",
        lambda out: change(out / "top.v", "endmodule", "initial $finish;\nendmodule"),
        "line 6; netlist.json has end",
    ),
    "verilog tile's array": (
        "verilog",
        lambda out: change(out / "top.v", 'array = "u/0_0"', 'array = "v/0_0"'),
        "instance 'tile_u_0_0': 'v/0_0'; netlist.json has 'u/0_0'",
    ),
    "yosys connection": (
        "yosys",
        lambda out: change(out / "top.yosys.json", '"row": [2, 3]', '"row": [3, 2]'),
        "instance 'tile_u_0_0': 'u_in__1'; netlist.json has 'u_in__0'",
    ),
    "yosys short": (
        "yosys",
        lambda out: change(out / "top.yosys.json", '"v_out__0": {"hide_name": 0, "bits": [4]', V_ON_2),
        "port 'v_out__0': 'bit 4'; netlist.json has 'v_out__0'",
    ),
    "yosys instance": (
        "yosys",
        lambda out: cut(out / "top.yosys.json", '\n  "tile_u_0_0": {', "}}"),
        "net 'u_in__0'; netlist.json has instance 'tile_u_0_0'",
    ),
    "yosys cut short": (
        "yosys",
        lambda out: shorten(out / "top.yosys.json"),
        "not the JSON that gscompile writes",
    ),
    "spice connection": (
        "spice",
        lambda out: change(out / "matrix_u.sp", "Xtile_u_0_0 u_in__0 u_in__1", "Xtile_u_0_0 u_in__1 u_in__0"),
        "Xtile_u_0_0 'u_in__1'; netlist.json has Xtile_u_0_0 'u_in__0'",
    ),
    "spice resistor": (
        "spice",
        lambda out: cut(out / "matrix_u.sp", "Rp1_0 ", "\n"),
        "expected Rp1_0 of tile_u_0_0",
    ),
    "spice resistance": (
        "spice",
        lambda out: change(out / "matrix_u.sp", "Rp0_0 r0 p0 ", "Rp0_0 r0 p0 1"),
        "Rp0_0 of tile_u_0_0 has 200000 ohms; its weight asks for another",
    ),
    "spice gain": (
        "spice",
        lambda out: change(out / "matrix_u.sp", "u_out__0.m Vp_u_out__0 ", "u_out__0.m Vp_u_out__0 9"),
        "Hp_u_out__0 'u_out__0': ",
    ),
    "spice deck": (
        "spice",
        lambda out: change(out / "matrix_v_read.sp", "print v(v_out__0)", "print v(u_out__0)"),
        "print 'v(u_out__0)'; netlist.json has print 'v(v_out__0)'",
    ),
    "spice file": ("spice", lambda out: (out / "matrix_v.sp").unlink(), "matrix_v.sp: missing; top.sp is there"),
    "DEF connection": (
        "lefdef",
        lambda out: change(out / "top.def", "( matrix_u/tile_u_0_0 row[0] )", "( matrix_u/tile_u_0_0 row[1] )"),
        "net 'u_in__0': 'row[1]'; netlist.json has 'row[0]'",
    ),
    "DEF component": (
        "lefdef",
        lambda out: cut(out / "top.def", "- matrix_u/tile_u_0_0 ", "\n"),
        "component 'matrix_v/tile_v_0_0'; netlist.json has component 'matrix_u/tile_u_0_0'",
    ),
    "DEF net": ("lefdef", lambda out: cut(out / "top.def", "- u_in__0\n", "  ;\n"), "net 'u_in__1'"),
    "LEF pin": (
        "lefdef",
        lambda out: change(out / "top.lef", "PIN row[1]\n    DIRECTION INPUT", "PIN row[1]\n    DIRECTION INOUT"),
        "macro 'crossbar_2x1': 'INOUT'; netlist.json has 'INPUT'",
    ),
    "dot edge": (
        "dot",
        lambda out: change(out / "top.dot", "block_form -> matrix_u", "block_form -> matrix_v"),
        "edge",
    ),
    "dot node": ("dot", lambda out: cut(out / "top.dot", "  matrix_v [", "\n"), "netlist.json has node 'matrix_v'"),
    "dot nets": ("dot", lambda out: change(out / "top.dot", '[label="2"]', '[label="3"]'), "3; netlist.json has 2"),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_change_is_refused_with_the_place(what: str, tmp_path: Path) -> None:
    form, edit, message = EDITS[what]
    design = Design(make_chain([0, 1], [0, 1]), {"u/0_0": filled_ones(2, 2), "v/0_0": filled_ones(2, 1)})
    emit(design, tmp_path, form)
    assert lines(design, tmp_path)
    edit(tmp_path)
    with pytest.raises(VerificationError) as caught:
        lines(design, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# -- memory -------------------------------------------------------------------------------------------------


def peak(form: str, layers: int, folder: Path) -> int:
    """Bytes in memory at the worst moment of reading back, beyond the netlist itself."""
    folder.mkdir()
    design = stack(layers)
    emit(design, folder, form)
    gc.collect()
    tracemalloc.start()
    assert lines(design, folder)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("form", ["verilog", "yosys", "lefdef"])
def test_twice_the_layers_take_little_more_memory(form: str, tmp_path: Path) -> None:
    """A layer more is four tiles and 256 wires, thousands of bytes as text; fewer than 4,000 stay in memory."""
    peak(form, 1, tmp_path / "first")  # what Python itself keeps from the first time on
    few, many = (peak(form, layers, tmp_path / str(layers)) for layers in (32, 64))
    assert many - few < 32 * 4000, (few, many)
