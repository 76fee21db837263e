"""An output folder that was touched is refused, and the line says where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import gscompile
from gscompile.compiled_folder import target_of
from gscompile.crossbars.tile_file import TileFile, write_tiles
from gscompile.data.dataset import Batch
from gscompile.errors import VerificationError
from gscompile.judging.files_check import sha256
from gscompile.judging.verify import verify_again, verify_folder
from gscompile.scoring.runner import max_output_error, ulp_difference
from tests.small_networks import model

MLP = """mlp (float[n,6] x) => (float[n,3] y) <float[6,5] a, float[5] b, float[5,3] c>
    { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verify") / "mlp.gscompile"
    gscompile.compile(model(MLP), crossbar="4x4", out=out)
    return out


@pytest.fixture
def folder(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compiled, tmp_path / "out"))


def test_an_untouched_folder_verifies(folder: Path) -> None:
    lines = verify_again(folder)
    assert lines[0] == "sha256 of 4 files as reported"
    assert lines[-1] == "netlist and tiles rebuild all 2 matrices bit for bit"


def edit_tile(folder: Path) -> None:
    tiles = TileFile(folder / "tiles.npz")
    arrays = {name: tiles[name].copy() for name in tiles}
    arrays["n0/0_0"][1, 2] = np.nextafter(arrays["n0/0_0"][1, 2], np.float32(9))  # one bit
    write_tiles(iter(arrays.items()), folder / "tiles.npz")


def edit_netlist(folder: Path) -> None:
    data = json.loads((folder / "netlist.json").read_text())
    tiles = data["matrices"][0]["tiles"]
    tiles[0]["rows"], tiles[0]["cols"] = tiles[0]["rows"], tiles[1]["cols"]
    (folder / "netlist.json").write_text(json.dumps(data))


def drop_matrix(folder: Path) -> None:
    data = json.loads((folder / "netlist.json").read_text())
    gone = data["matrices"].pop()
    data["blocks"].append({"name": "ghost", "nodes": [], "inputs": [], "outputs": [gone["output_bus"]]})
    (folder / "netlist.json").write_text(json.dumps(data))
    tiles = TileFile(folder / "tiles.npz")
    arrays = {name: tiles[name].copy() for name in tiles if not name.startswith("n2")}
    write_tiles(iter(arrays.items()), folder / "tiles.npz")


def edit_weight(folder: Path) -> None:
    proto = onnx.load(folder / "model.onnx")
    (weight,) = (t for t in proto.graph.initializer if t.name == "c")
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), "c"))
    onnx.save(proto, folder / "model.onnx")


def rename_node(folder: Path) -> None:
    proto = onnx.load(folder / "model.onnx")
    proto.graph.node[0].name = "other"
    onnx.save(proto, folder / "model.onnx")


def truncate_model(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:100])


def overwrite(path: Path) -> None:
    path.write_text("x")


EDITS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a tile's weight": (edit_tile, "matrix 'n0': netlist and tiles do not rebuild the weight in model.onnx"),
    "the netlist": (edit_netlist, "tile 'n0/0_"),
    "a matrix dropped": (drop_matrix, "layer 'n2' of model.onnx is not in the netlist"),
    "a weight of the model": (edit_weight, "matrix 'n2': netlist and tiles do not rebuild"),
    "a node's name": (rename_node, "matrix 'n0': model.onnx has no layer 'n0'"),
    "a model cut short": (truncate_model, "model.onnx: "),
    "no tiles": (lambda folder: (folder / "tiles.npz").unlink(), "tiles.npz: missing"),
    "no netlist": (lambda folder: (folder / "netlist.json").unlink(), "netlist.json: missing"),
    "tiles that are none": (lambda folder: overwrite(folder / "tiles.npz"), "tiles.npz: not an .npz file"),
    "a netlist that is none": (lambda folder: overwrite(folder / "netlist.json"), "netlist.json: not JSON"),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_is_refused_with_the_place(what: str, folder: Path) -> None:
    edit, message = EDITS[what]
    edit(folder)
    with pytest.raises(VerificationError, match=message) as caught:
        verify_folder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_shows_in_the_digests_too(what: str, folder: Path) -> None:
    EDITS[what][0](folder)
    with pytest.raises(VerificationError, match=r"(its sha256 changed|missing)"):
        verify_again(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1}', "null"])
def test_a_report_that_is_none_is_named(text: str, folder: Path) -> None:
    (folder / "report.json").write_text(text)
    with pytest.raises(VerificationError, match=r"report\.json: not (a report|JSON)") as caught:
        verify_again(folder)
    assert "\n" not in str(caught.value)


def test_the_report_has_the_digests_of_what_is_there(folder: Path) -> None:
    files = json.loads((folder / "report.json").read_text())["files"]
    assert files == {name: sha256(folder / name) for name in ("model.onnx", "netlist.json", "report.html", "tiles.npz")}


def test_outputs_that_hardly_move_may_differ_in_their_last_places() -> None:
    one, above = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    batch = Batch({"x": np.zeros((2, 1), np.float32)}, None)

    def giving(*numbers: np.float32) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda _: {"y": np.array(numbers)}

    assert max_output_error(giving(above, above), giving(one, above), [batch]) == 1  # the whole range
    assert ulp_difference(giving(above, above), giving(one, above), [batch]) == 1
    assert ulp_difference(giving(above - one), giving(np.float32(0)), [batch]) == 1  # next to nothing, as next to one


def test_names_do_not_reach_a_terminal_as_they_are(tmp_path: Path) -> None:
    """What ONNX's checker says of a node has its name; escape sequences in it are shown, not obeyed."""
    proto = model(MLP)
    proto.graph.node[0].name = "\x1b]0;x\x07"
    out = tmp_path / "mlp.gscompile"
    gscompile.compile(proto, crossbar="4x4", out=out)
    assert all(line.isprintable() for line in verify_again(out))
    written = onnx.load(out / "model.onnx")
    written.graph.node[0].op_type = "Nonsense"
    onnx.save(written, out / "model.onnx")
    with pytest.raises(VerificationError) as caught:
        verify_again(out)
    assert str(caught.value).isprintable()
    assert r"\x1b]0;x" in str(caught.value)


@pytest.mark.parametrize("target", [5, ["rram_45nm"], {}])
def test_a_target_that_is_no_text_is_refused_by_place_and_simulate(target: object, folder: Path) -> None:
    report = json.loads((folder / "report.json").read_text("utf-8"))
    report["options"]["target"] = target
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    with pytest.raises(VerificationError, match=r"report\.json: options\.target: expected a name or a file"):
        target_of(folder)


def test_a_report_that_is_none_is_refused_by_place_and_simulate(folder: Path) -> None:
    (folder / "report.json").write_text("[]", "utf-8")
    with pytest.raises(VerificationError, match=r"report\.json: not a report: expected an object, got a list"):
        target_of(folder)
    (folder / "report.json").unlink()
    assert target_of(folder).name == "group_scissor"
