"""Yosys and iverilog accept what is written, and read the netlist's own tiles, pins and nets back from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.nets import Nets
from gscompile.hardware.target import Design
from gscompile.targets.modules import Hierarchy
from gscompile.targets.names import Names
from gscompile.targets.verilog import Verilog, quoted
from gscompile.targets.yosys import Yosys

Tool = Callable[..., str]
CHECK = "hierarchy -check -top {top}; check -assert; write_json back.json"


def read_back(design: Design, form: str, folder: Path, tool: Tool) -> dict[str, Any]:
    """What Yosys makes of a design: its modules."""
    emitter = Verilog() if form == "verilog" else Yosys()
    (path,) = emitter.emit(design, folder)
    reader = "read_verilog" if form == "verilog" else "read_json"
    tool("yosys", "-q", "-p", f"{reader} {path.name}; {CHECK.format(top=Names(design.netlist).top)}")
    modules: dict[str, Any] = json.loads((folder / "back.json").read_text())["modules"]
    return modules


@pytest.mark.parametrize("form", ["verilog", "yosys"])
def test_yosys_reads_the_same_tiles_pins_and_nets_back(design: Design, form: str, tmp_path: Path, tool: Tool) -> None:
    modules = read_back(design, form, tmp_path, tool)
    names = Names(design.netlist)
    for matrix in Hierarchy(design.netlist).matrices():
        module = modules[names.matrix(matrix.name)]
        net_of = {net["bits"][0]: name for name, net in module["netnames"].items()}
        assert len(module["cells"]) == len(matrix.tiles)
        for tile in matrix.tiles:
            pins = module["cells"][names.tile(tile.name)]["connections"]
            rows, cols = ([net_of[bit] for bit in pins[side]] for side in ("row", "col"))
            assert [names.bus_of(net) for net in rows] == [(matrix.input_bus, i) for i in tile.inputs.tolist()]
            assert [names.bus_of(net) for net in cols] == [(matrix.output_bus, i) for i in tile.outputs.tolist()]


@pytest.mark.parametrize("form", ["verilog", "yosys"])
def test_yosys_counts_our_cells_nets_and_wires(design: Design, form: str, tmp_path: Path, tool: Tool) -> None:
    modules = read_back(design, form, tmp_path, tool)
    netlist, names = design.netlist, Names(design.netlist)
    top = modules[names.top]
    assert len(top["cells"]) == len(netlist.blocks) + sum(1 for m in netlist.matrices if m.tiles)
    assert len(top["netnames"]) == Nets(netlist).count
    crossbars = [c for m in modules.values() for c in m["cells"].values() if c["type"].startswith("crossbar_")]
    assert len(crossbars) == len(list(netlist.tiles))
    pins = [len(bits) for cell in crossbars for bits in cell["connections"].values()]
    assert sum(pins) == netlist.wires


def test_nothing_floats_from_inputs_to_outputs(design: Design, tmp_path: Path, tool: Tool) -> None:
    """A walk over the top module as Yosys read it: every cell lies on a way from an input to an output."""
    top = read_back(design, "verilog", tmp_path, tool)[Names(design.netlist).top]
    directions = {"input": [], "output": []}  # type: dict[str, list[int]]
    for port in top["ports"].values():
        directions[port["direction"]] += port["bits"]
    assert all(directions.values())
    forward = walk(top["cells"], directions["input"], sources="input", sinks=("output", "inout"))
    backward = walk(top["cells"], directions["output"], sources=("output", "inout"), sinks="input")
    assert forward == backward == set(top["cells"])
    driven = directions["input"] + [b for c in top["cells"].values() for b in _bits(c, ("output", "inout"))]
    read = directions["output"] + [b for c in top["cells"].values() for b in _bits(c, "input")]
    assert len(set(driven)) == len(driven)  # one driver each
    constants = {"0"}  # what is tied low
    assert set(driven) == {bit for net in top["netnames"].values() for bit in net["bits"]} - constants
    assert set(driven) == {*read} - constants


def walk(cells: dict[str, Any], bits: list[int], sources: Any, sinks: Any) -> set[str]:
    reached, found = set(bits), set[str]()
    while True:
        new = {c for c in cells if c not in found and reached & {*_bits(cells[c], sources)}}
        if not new:
            return found
        found |= new
        reached |= {bit for c in new for bit in _bits(cells[c], sinks)}


def _bits(cell: dict[str, Any], directions: Any) -> list[int]:
    pins = cell["connections"].items()
    return [bit for port, wired in pins if cell["port_directions"][port] in directions for bit in wired]


def test_iverilog_has_no_warning(design: Design, tmp_path: Path, tool: Tool) -> None:
    (path,) = Verilog().emit(design, tmp_path)
    assert tool("iverilog", "-g2005", "-Wall", "-t", "null", path.name) == ""


def test_attributes_keep_any_name(tmp_path: Path, tool: Tool) -> None:
    text = quoted('a"b\\ü')
    (tmp_path / "q.v").write_text(f'(* nodes = "{text}" *)\nmodule q; endmodule\n')
    tool("yosys", "-q", "-p", "read_verilog q.v; write_json q.json")
    read = json.loads((tmp_path / "q.json").read_text())["modules"]["q"]["attributes"]["nodes"]
    assert json.loads(f'"{read}"') == 'a"b\\ü'


def test_emitting_twice_gives_the_same_bytes(lenet: Design, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Verilog().emit(lenet, tmp_path / folder)
        Yosys().emit(lenet, tmp_path / folder)
    for name in ("lenet.v", "lenet.yosys.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_input_that_no_column_drives_is_tied_low(
    chain: Callable[[list[int], list[int]], Netlist], tmp_path: Path, tool: Tool
) -> None:
    """Column 1 of u is dead, and row 1 of v alive: its net is the constant 0."""
    for form in ("verilog", "yosys"):
        top = read_back(Design(chain([0], [0, 1]), {}), form, tmp_path, tool)["top"]
        driven = top["cells"]["matrix_v"]["connections"]["u_out__1"]
        assert driven == ["0"] or top["netnames"]["u_out__1"]["bits"] == ["0"]
