"""The command line from network to chip: formats, targets, simulation and placement, and what is refused."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

import gscompile.targets
from gscompile.cli import main
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.nets import Nets
from gscompile.crossbars.tile_file import TileFile, write_tiles
from gscompile.judging.files_check import sha256
from gscompile.reporting.report_file import read_report
from gscompile.reporting.report_html import html
from gscompile.targets.names import Names

SAMPLES = Path(__file__).parents[1] / "samples"
FORMATS = "verilog,yosys,spice,lefdef,dot:tiles=true"
OPTIONS = f"--crossbar 16x16 --target rram_45nm --max-error 0.28 --emit {FORMATS}".split()
PLACED = {
    f"{kind}_{side}.{end}"
    for kind in ("floorplan", "congestion")
    for side in ("before", "after")
    for end in ("svg", "png")
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> Any:
    """What a command says as JSON; it must end well."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(code: int, *arguments: object) -> str:
    """The one line a command ends with."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("gscompile: ")
    return last


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits sample on 16x16 arrays, its ranks clipped without data, in every format and placed."""
    out = tmp_path_factory.mktemp("cli") / "digits.gscompile"
    done(SAMPLES / "digits.onnx", *OPTIONS, "-o", out)
    return out


@pytest.fixture
def out(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compiled, tmp_path / "out"))


# -- compile -----------------------------------------------------------------------------------------------


def test_all_files_are_in_the_folder_and_have_their_digest(compiled: Path) -> None:
    report = read_report(compiled)
    names = {path.name for path in compiled.iterdir()}
    assert names >= {f"digits.{end}" for end in ("v", "yosys.json", "sp", "lef", "def", "dot")} | {"cost.csv"} | PLACED
    assert set(report.files) == names - {"report.json"}
    assert all(digest == sha256(compiled / name) for name, digest in report.files.items())


def test_chip_area_is_the_headline_where_the_target_has_converters(compiled: Path) -> None:
    chip = read_report(compiled).chip
    assert chip is not None
    assert chip.after.chip_um2 / chip.before.chip_um2 > 1.2 * 0.28  # cells alone oversell: 28 % of them are left
    page = (compiled / "report.html").read_text("utf-8")
    assert page.index("Chip area") < page.index("Crossbar area")
    assert page.count("data:image/png;base64,") == 4
    assert "the paper's estimate" in unescape(page)
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_cost_table_adds_up_to_the_report(compiled: Path) -> None:
    chip = read_report(compiled).chip
    rows = [*csv.DictReader((compiled / "cost.csv").read_text().splitlines())]
    assert chip is not None
    for side, figures in (("before", chip.before), ("after", chip.after)):
        *layers, total = (row for row in rows if row["network"] == side)
        assert float(total["chip_um2"]) == pytest.approx(figures.chip_um2, rel=1e-5)
        assert sum(float(row["chip_um2"]) for row in layers) == pytest.approx(figures.chip_um2, rel=1e-5)


def test_compiling_twice_gives_the_same_files(compiled: Path, tmp_path: Path) -> None:
    again = tmp_path / "digits.gscompile"
    done(SAMPLES / "digits.onnx", *OPTIONS, "-o", again)
    one, other = (read_report(folder).files for folder in (again, compiled))
    assert {name for name in one if one[name] != other[name]} <= {"report.html"}  # which tells the seconds it took


def test_the_terminal_shows_the_chip_first(tmp_path: Path) -> None:
    result = run(
        SAMPLES / "digits.onnx", "--target", "macro_128", "--no-place", "--max-error", "0.3", "-o", tmp_path / "o"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("digits on 128x128: chip ")
    assert "--place adds them" in result.stdout
    assert "floorplan_after.svg" not in {path.name for path in (tmp_path / "o").iterdir()}
    assert read_netlist(tmp_path / "o" / "netlist.json").crossbar.rows == 128  # the target's size


def test_without_a_target_there_is_no_chip_and_arrays_are_64x64(tmp_path: Path) -> None:
    report = done(SAMPLES / "digits.onnx", "--max-error", "0", "--pass", "drop-dead-units", "-o", tmp_path / "o")
    assert (report["chip"], report["crossbar"], report["options"]["crossbar"]) == (None, "64x64", "64x64")
    assert not (tmp_path / "o" / "cost.csv").exists()


def test_what_is_wrong_is_said_before_any_work(tmp_path: Path) -> None:
    missing = tmp_path / "no such.onnx"  # options come first: the model is not even looked for
    assert "did you mean 'verilog'" in refused(2, missing, "--emit", "dot,verlog")
    assert "write one of tiles" in refused(2, missing, "--emit", "dot:tile=1")
    assert "did you mean 'rram_45nm'" in refused(2, missing, "--target", "rram_45")
    assert "write ROWSxCOLS" in refused(2, missing, "--crossbar", "64")
    shipped = Path(gscompile.targets.__file__).with_name("rram_45nm.toml").read_text("utf-8")
    (tmp_path / "t.toml").write_text(shipped.replace("rows = 64", "rows = 0"), "utf-8")
    assert "crossbar.rows = 0 is impossible; from 1" in refused(2, missing, "--target", tmp_path / "t.toml")


# -- simulate and place ------------------------------------------------------------------------------------


def test_the_netlist_computes_the_network(out: Path) -> None:
    report = done("simulate", out, "--data", SAMPLES / "digits_test.npz", "--samples", 200, "--seeds", 2)
    assert report["difference"] < 1e-5
    assert (report["samples"], report["model"]) == (200, report["ideal"])
    assert [figure["parameter"] for figure in report["figures"]] == ["target"]
    assert json.loads((out / "simulate" / "simulation.json").read_text()) == report
    text = run(
        "simulate", out, "--data", SAMPLES / "digits_test.npz", "--samples", 100, "--target", "group_scissor"
    ).stdout
    assert "100 samples: tiles and model.onnx differ by" in text
    assert "group_scissor: " in text


def test_a_netlist_that_computes_something_else_exits_4(out: Path) -> None:
    tiles = TileFile(out / "tiles.npz")
    arrays = {name: 2 * tiles[name] for name in tiles}
    write_tiles(iter(arrays.items()), out / "tiles.npz")
    line = refused(4, "simulate", out, "--data", SAMPLES / "digits_test.npz", "--samples", 100, "--seeds", 1)
    assert "tiles and model.onnx differ by" in line


def test_a_folder_is_placed_beside_its_original_on_the_target_it_was_compiled_for(out: Path) -> None:
    report = done("place", out, "--original", SAMPLES / "digits.onnx")
    chip = read_report(out).chip
    assert chip is not None
    assert report["target"] == "rram_45nm"
    assert report["ratios"]["wires_squared"] == pytest.approx(chip.wires_squared)
    assert report["after"]["chip_um2"] == pytest.approx(chip.after.chip_um2, rel=1e-6)
    assert {path.name for path in (out / "place").iterdir()} == PLACED | {"place.json", "cost.csv"}
    text = run("place", out, "--target", "macro_128", "--engine", "shelves").stdout
    assert text.startswith("macro_128")
    assert run("verify", out).exit_code == 0  # nothing that the report vouches for was touched


def test_what_cannot_be_placed_or_simulated_is_one_line(out: Path, tmp_path: Path) -> None:
    assert "no such folder" in refused(2, "place", tmp_path / "none")
    assert "no such folder" in refused(2, "simulate", tmp_path / "none", "--data", "x.npz")
    assert "engine 'best'" in refused(2, "place", out, "--engine", "best")
    assert "no such file" in refused(2, "simulate", out, "--data", tmp_path / "none.npz")
    (out / "place").write_text("in the way")
    assert "cannot be written" in refused(2, "place", out, "--engine", "shelves")


def test_a_missing_program_is_named_with_its_package(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "apt-get install nextpnr-generic" in refused(2, "place", out, "--route-seconds", "5")
    for name in ("coloquinte", "gscompile.placement.coloquinte_engine", "rustworkx"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert "pip install coloquinte" in refused(2, "place", out, "--engine", "coloquinte")
    report = done("place", out)
    assert (report["after"]["engine"], report["after"]["congestion"]["engine"]) == ("shelves", "rudy")
    said = run("place", out).stdout
    assert "coloquinte, from PyPI" in said
    assert "rustworkx, from PyPI" in said


# -- netlists edited to be wrong ---------------------------------------------------------------------------

Data = dict[str, Any]


def _tile(data: Data) -> Data:
    tile: Data = next(m for m in data["matrices"] if m["name"] == "fc2")["tiles"][0]
    return tile


def missing_pin(data: Data) -> None:
    assert _tile(data)["rows"] == "0:16"
    _tile(data)["rows"] = "0:15"


def doubled_driver(data: Data) -> None:
    data["blocks"][0]["outputs"].append("fc2.out")


def no_driver(data: Data) -> None:
    block = next(b for b in data["blocks"] if "fc2.out" in b["inputs"])
    block["outputs"] = []


def tile_too_large(data: Data) -> None:
    _tile(data)["rows"] = "0:17"


def smaller_crossbar(data: Data) -> None:
    data["crossbar"] = "8x8"


def row_outside(data: Data) -> None:
    _tile(data)["cols"] = "3:13"


def twice_the_same_block(data: Data) -> None:
    data["blocks"][1]["name"] = data["blocks"][0]["name"]


def array_outside(data: Data) -> None:
    _tile(data).update(array="shared", corner=[1, 0])


def swapped_buses(data: Data) -> None:
    """Everything fits: fc1_u and fc2 have 128 inputs each, but they are fed by each other's block."""
    a, b = (next(block for block in data["blocks"] if bus in block["outputs"]) for bus in ("fc1_u.in", "fc2.in"))
    a["outputs"], b["outputs"] = b["outputs"], a["outputs"]


def matrix_on_the_wrong_bus(data: Data) -> None:
    a, b = (m for m in data["matrices"] if m["name"] in ("fc1_u", "fc2"))
    a["output_bus"], b["output_bus"] = b["output_bus"], a["output_bus"]


def renamed_net(data: Data) -> None:
    data["buses"][0]["name"] += "x"


def extra_net(data: Data) -> None:
    data["buses"].append({"name": "more", "width": 1, "kind": "tensor"})


def extra_wire(data: Data) -> None:
    data["blocks"][0]["outputs"].append("more")
    extra_net(data)


def missing_block(data: Data) -> None:
    data["blocks"].pop(0)


def missing_port(data: Data) -> None:
    data["ports"] = [port for port in data["ports"] if port["direction"] == "input"]


def missing_matrix(data: Data) -> None:
    data["matrices"] = [m for m in data["matrices"] if m["name"] != "fc2"]


WRONG: dict[Callable[[Data], None], str] = {
    missing_pin: r"tile 'fc2/0_0': 15 row and 10 column pins, weights \(16, 10\)",
    doubled_driver: r"bus 'fc2\.out', read by .*: 2 drivers; there must be one",
    no_driver: r"bus 'tensor:logits', read by 'logits': 0 drivers; there must be one",
    tile_too_large: r"tile 'fc2/0_0': 17 row pins; a crossbar has 1 to 16",
    smaller_crossbar: r"tile 'conv1/0_0': 9 row pins; a crossbar has 1 to 8",
    row_outside: r"tile 'fc2/0_0': cols '3:13' of 10 in the matrix",
    twice_the_same_block: r"block '.*': there are two of that name",
    array_outside: r"array 'shared': rows 1:17 of 16",
    swapped_buses: r"block 'conv2:output': outputs 'fc2\.in'; model\.onnx asks for 'fc1_u\.in'",
    matrix_on_the_wrong_bus: r"matrix 'fc1_u': outputs on 'fc2\.out'; model\.onnx asks for 'fc1_u\.out'",
    renamed_net: r"matrix 'conv1': 9 inputs on bus 'conv1\.in' of None",
    extra_net: r"bus 'more': model\.onnx asks for none of that name",
    extra_wire: r"bus 'more': model\.onnx asks for none of that name",
    missing_block: r"bus 'conv1\.in', read by 'conv1': 0 drivers; there must be one",
    missing_port: r"output port 'logits': missing from the netlist; model\.onnx asks for it",
    missing_matrix: r"bus 'fc2\.out', read by 'fc2:output': 0 drivers; there must be one",
}


@pytest.mark.parametrize("edit", WRONG, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("command", ["verify", "place", "simulate"])
def test_a_netlist_edited_to_be_wrong_is_refused_with_the_place(
    edit: Callable[[Data], None], command: str, out: Path
) -> None:
    data = json.loads((out / "netlist.json").read_text("utf-8"))
    edit(data)
    (out / "netlist.json").write_text(json.dumps(data), "utf-8")
    more = ["--data", SAMPLES / "digits_test.npz"] if command == "simulate" else []
    assert re.search(WRONG[edit], refused(4, command, out, *more))


def test_the_tiles_of_two_matrices_exchanged_are_refused(out: Path) -> None:
    """Both are of 128 x 10 in 8 tiles: only the weights tell."""
    data = json.loads((out / "netlist.json").read_text("utf-8"))
    a, b = (m for m in data["matrices"] if m["name"] in ("fc1_u", "fc2"))
    a["tiles"], b["tiles"] = b["tiles"], a["tiles"]
    (out / "netlist.json").write_text(json.dumps(data), "utf-8")
    assert "matrix 'fc1_u': netlist and tiles do not rebuild the weight" in refused(4, "verify", out)
    assert "tiles and model.onnx differ by" in refused(4, "simulate", out, "--data", SAMPLES / "digits_test.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_refused_with_the_place(value: float, out: Path) -> None:
    tiles = TileFile(out / "tiles.npz")
    arrays = {name: tiles[name].copy() for name in tiles}
    arrays["fc2/0_0"][3, 7] = value
    write_tiles(iter(arrays.items()), out / "tiles.npz")
    wanted = f"tile 'fc2/0_0': weight {value} at row 3, column 7"
    assert wanted in refused(4, "verify", out)
    assert wanted in refused(4, "simulate", out, "--data", SAMPLES / "digits_test.npz")
    assert wanted in refused(4, "place", out)


def test_an_emitted_file_that_changed_is_named(out: Path) -> None:
    with (out / "digits.v").open("a") as file:
        file.write("// a word more\n")
    assert "digits.v: not the file that was written" in refused(4, "verify", out)


# -- the tools ---------------------------------------------------------------------------------------------


def tool(folder: Path, *command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian package {command[0]})")
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr[-1000:]
    return ended.stdout + ended.stderr


def accepted_by_all_tools(folder: Path, name: str) -> None:
    """Yosys, iverilog, KLayout and ngspice take what lies in an output folder, and count what the netlist has."""
    names, netlist = Names(read_netlist(folder / "netlist.json")), read_netlist(folder / "netlist.json")
    for read in (f"read_verilog {name}.v", f"read_json {name}.yosys.json"):
        said = tool(
            folder, "yosys", "-p", f"{read}; hierarchy -check -top {name}; check -assert; select -count t:crossbar_*"
        )
        assert f"{sum(1 for _ in netlist.tiles)} objects." in said
    assert tool(folder, "iverilog", "-g2005", "-Wall", "-t", "null", f"{name}.v") == ""
    matrix = netlist.matrices[-1]
    volts = re.findall(r"v\(\S+\) = \S+", tool(folder, "ngspice", "-b", f"{names.matrix(matrix.name)}_read.sp"))
    assert len(volts) == len(Nets(netlist).outputs(matrix))
    layout = klayout_layout(folder, name)
    assert sum(1 for _ in layout.top_cell().each_inst()) == netlist.arrays + len(netlist.blocks)


def klayout_layout(folder: Path, name: str) -> Any:
    db = pytest.importorskip("klayout.db", reason="klayout is not installed (PyPI package klayout)")
    options, layout = db.LoadLayoutOptions(), db.Layout()
    options.lefdef_config.lef_files = [str(folder / f"{name}.lef")]
    options.lefdef_config.read_lef_with_def = False
    layout.read(str(folder / f"{name}.def"), options)
    return layout


def test_tools_take_what_the_command_line_emits(compiled: Path) -> None:
    accepted_by_all_tools(compiled, "digits")


# -- real networks -----------------------------------------------------------------------------------------


def random_inputs(model: Path, path: Path, count: int) -> Path:
    """Normal noise for a network of one input whose batch is open."""
    (given,) = onnx.load(model).graph.input
    shape = [count, *(d.dim_value for d in given.type.tensor_type.shape.dim[1:])]
    np.savez(path, **{given.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)})  # type: ignore[arg-type]
    return path


def computes_the_network(model: Path, out: Path, *options: object) -> None:
    """Compiled, accepted by the tools, and what the tiles compute is what onnxruntime computes."""
    report = done(model, "-o", out, "--target", "rram_45nm", "--emit", FORMATS, *options)
    assert report["chip"]["engine"]
    assert done("verify", out)["verified"]
    accepted_by_all_tools(out, Names(read_netlist(out / "netlist.json")).top)
    data = random_inputs(model, out.with_suffix(".npz"), 8)
    simulated = done("simulate", out, "--data", data, "--samples", 8, "--seeds", 1)
    assert simulated["difference"] < 1e-5
    assert simulated["nodes_rebuilt"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("lenet", 0.118), ("convnet", 0.80)])
def test_a_compressed_sample_is_built_and_computes_the_network(name: str, share: float, tmp_path: Path) -> None:
    """Ranks clipped without data, to an output error of 0.3 of the range: LeNet to 11.3 % of its cells, ConvNet, whose
    kernels are taken apart, to 24.5 %. On a batch of noise LeNet went to 8.4 %: pictures are a stricter judge."""
    computes_the_network(SAMPLES / f"{name}.onnx", tmp_path / "out", "--max-error", "0.3")
    report = read_report(tmp_path / "out")
    assert report.after.cells < share * report.before.cells


@pytest.mark.slow
def test_a_compressed_resnet_20_is_built_and_computes_the_network(shared: Path, tmp_path: Path) -> None:
    model = shared / "models" / "cifar10_resnet20.onnx"
    if not model.exists():
        pytest.skip(f"{model} is not there")
    computes_the_network(model, tmp_path / "out", "--max-error", "0.3")
    report = read_report(tmp_path / "out")
    assert report.after.cells < 0.88 * report.before.cells  # 87.65 % on pictures; 77 % on a batch of noise


def test_the_page_of_a_report_read_back_is_the_same_but_for_pictures(compiled: Path) -> None:
    report, netlist = read_report(compiled), read_netlist(compiled / "netlist.json")
    assert "Chip area" in html(report, netlist, netlist)
