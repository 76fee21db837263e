"""Every field of an output folder changed one at a time: refused, or in a table of what is harmless and why.

Whoever changes a file also puts its new digest into report.json: what is seen here is seen without it.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import gscompile
from gscompile.crossbars.tile_file import TileFile, write_tiles
from gscompile.errors import VerificationError
from gscompile.judging.files_check import sha256
from gscompile.judging.verify import verify_again
from tests.small_networks import model

NETWORK = """small (float[1,2,4,4] x) => (float[1,3] y, float[8,32] z)
    <float[2,1,3,3] k, float[8,3] w, float[3] b, float[8,32] t> {
        c = Conv <group = 2> (x, k)  r = Relu (c)  f = Flatten (r)  y = Gemm (f, w, b)
        g = Flatten (x)  z = Add (g, t)
    }"""
FORMATS = "verilog,yosys,spice,lefdef,dot"

# -- what may be changed ------------------------------------------------------------------------------------

ORIGINAL = "tells of the original network, which is not in the folder"
RECORD = "a record of what was done and said; no check looks at it"
DATA = "was measured on data or on the original, which are not in the folder"
OPTION = "an option of the compile: its type is checked, what it did cannot be seen"
CHECKED_OPTIONS = ("crossbar", "tiling", "seed", "emit", "target", "place")

HARMLESS = {
    r"layers\[\d+\]\.op": ORIGINAL,
    r"layers\[\d+\]\.note": RECORD,
    r"changes(\[\d+\](\.\w+)?)?": RECORD,
    r"untouched(\[\d+\](\.\w+)?)?": ORIGINAL,
    r"verification(\[\d+\])?": "verify says anew what it checks; only constants that are not finite are compared",
    r"messages(\[\d+\])?": RECORD,
    r"steps\[\d+\]\.(score|error)": DATA,
    r"steps\[\d+\]\.(name|stopped)": RECORD,
    r"steps\[[1-9]\](\.layers.*)?": "figures of networks between the original and the result, which are not kept",
    r"confirmation(\.(largest|percentile_99|samples|ranges(\[\d+\](\.\w+)?)?))?": DATA,
    r"accuracy(\[\d+\](\.\w+)?)?": DATA,
    rf"options\.(?!({'|'.join(CHECKED_OPTIONS)})$)\w+(\[\d+\])?": OPTION,
    r"options\.place": "is refused only where it contradicts what the report has of a chip",
    r"versions(\..+)?": "tells where the folder was made",
    r"seconds": "tells how long it took",
    r"chip\.(before|after)\.(energy_pj|latency_ns)": "depends on how often each matrix is used for a sample",
}

# -- changes ------------------------------------------------------------------------------------------------

Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every value below, whole lists and objects too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


def others(value: Any) -> Iterator[Any]:
    """What may stand in the place of a value."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
        yield str(value)
    elif isinstance(value, str):
        yield value + "x"
        yield 1
    elif value is None:
        yield 1
        yield "x"
    else:
        yield []
        yield {}
    if value is not None:
        yield None


def changed(data: Any, place: Place) -> Iterator[tuple[str, Any]]:
    """The data with one place changed in each way, or without it."""
    *way, last = place
    for number in range(5):
        twin = copy.deepcopy(data)
        holder = twin
        for key in way:
            holder = holder[key]
        values = [*others(holder[last])]
        if number == len(values):
            del holder[last]
            yield "removed", twin
            return
        if values[number] != holder[last]:
            holder[last] = values[number]
            yield repr(values[number]), twin


def spelt(place: Place) -> str:
    return re.sub(r"^\.", "", "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place))


OPTIONS: dict[str, Any] = {"crossbar": "20x4", "pack": True, "target": "rram_45nm", "place": False, "emit": (FORMATS,)}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two channels of nine inputs and one output on one array, a matrix of 8 x 3, every format, and a chip."""
    out = tmp_path_factory.mktemp("tampered") / "small.gscompile"
    gscompile.compile(model(NETWORK), out=out, max_output_error=0, **OPTIONS)
    return out


@pytest.fixture
def folder(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compiled, tmp_path / "out"))


@pytest.fixture
def clipped(tmp_path: Path) -> Path:
    """The same network with a matrix of rank 1, which becomes two, and an accuracy: no list of the report is empty."""
    test = {"x": np.ones((2, 2, 4, 4), np.float32), "labels": np.array([0, 1])}
    rank_1 = np.outer(np.arange(1, 9), np.arange(1, 4))
    asked = {"max_output_error": 1e-4, "test": test, "minimize": "cells", **OPTIONS}
    gscompile.compile(model(NETWORK, w=rank_1), out=tmp_path / "out", **asked)
    return tmp_path / "out"


def sign(folder: Path, name: str) -> None:
    """Put the digest of a changed file into the report."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    report["files"][name] = sha256(folder / name)
    (folder / "report.json").write_text(json.dumps(report), "utf-8")


def refusal(folder: Path) -> str | None:
    """What `verify` says against a folder, in one line; None where it passes."""
    try:
        verify_again(folder)
    except VerificationError as problem:
        said = str(problem)
    else:
        return None
    assert "\n" not in said
    return said


def passed(folder: Path, name: str) -> set[str]:
    """The places of a JSON file that can be changed unseen, each with the first change that is not seen."""
    data = json.loads((folder / name).read_text("utf-8"))
    found = set()
    for place in places(data):
        for what, twin in changed(data, place):
            (folder / name).write_text(json.dumps(twin), "utf-8")
            if name != "report.json":
                sign(folder, name)
            if refusal(folder) is None:
                found.add(f"{spelt(place)} -> {what}")
                break  # another change of this place says no more
    return found


def test_as_written_it_passes(folder: Path) -> None:
    assert refusal(folder) is None


@pytest.mark.slow
def test_every_field_of_the_report_is_checked_or_harmless(clipped: Path) -> None:
    unseen = {each.partition(" -> ")[0] for each in passed(clipped, "report.json")}
    assert {place for place in unseen if not any(re.fullmatch(pattern, place) for pattern in HARMLESS)} == set()
    for pattern in HARMLESS:  # a line that is needed no more goes
        assert any(re.fullmatch(pattern, place) for place in unseen), pattern


@pytest.mark.slow
def test_every_field_of_the_netlist_is_checked(clipped: Path) -> None:
    assert passed(clipped, "netlist.json") == set()


# -- the other files ----------------------------------------------------------------------------------------


def rewrite_tiles(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    tiles = TileFile(folder / "tiles.npz")
    arrays: dict[str, Any] = {name: tiles[name].copy() for name in tiles}
    edit(arrays)
    write_tiles(iter(arrays.items()), folder / "tiles.npz")


def one_ulp(arrays: dict[str, Any]) -> None:
    arrays["n3/0_0"][1, 2] = np.nextafter(arrays["n3/0_0"][1, 2], np.float32(9))


def recast(dtype: str) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({"n3/0_0": arrays["n3/0_0"].astype(dtype)})


def rewrite_model(folder: Path, edit: Callable[[onnx.ModelProto], None]) -> None:
    proto = onnx.load(folder / "model.onnx")
    edit(proto)
    onnx.save(proto, folder / "model.onnx")


def set_weight(name: str, make: Callable[[Any], Any]) -> Callable[[onnx.ModelProto], None]:
    def edit(proto: onnx.ModelProto) -> None:
        (tensor,) = (t for t in proto.graph.initializer if t.name == name)
        tensor.CopyFrom(onnx.numpy_helper.from_array(make(onnx.numpy_helper.to_array(tensor).copy()), name))

    return edit


def set_op(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].name = "c"


def set_alpha(proto: onnx.ModelProto) -> None:
    proto.graph.node[3].attribute.append(onnx.helper.make_attribute("beta", float("nan")))


TILES = "netlist and tiles do not rebuild the weight in model.onnx"
FILES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a weight by an ulp": ("tiles.npz", lambda out: rewrite_tiles(out, one_ulp), f"matrix 'n3': {TILES}"),
    "a wider type": (
        "tiles.npz",
        lambda out: rewrite_tiles(out, recast("f8")),
        "tile 'n3/0_0': weights of type float64; expected float32",
    ),
    "swapped bytes": (
        "tiles.npz",
        lambda out: rewrite_tiles(out, recast(">f4")),
        "tile 'n3/0_0': weights of type float32, bytes swapped; expected float32",
    ),
    "a tile gone": ("tiles.npz", lambda out: rewrite_tiles(out, lambda a: a.pop("n3/0_0")), "has no weights"),
    "a tile more": (
        "tiles.npz",
        lambda out: rewrite_tiles(out, lambda a: a.update(more=np.ones((1, 1), np.float32))),
        "tile 'more': has weights but is not in the netlist",
    ),
    "the model's weight by an ulp": (
        "model.onnx",
        lambda out: rewrite_model(out, set_weight("w", lambda w: np.nextafter(w, np.float32(9)))),
        f"matrix 'n3': {TILES}",
    ),
    "a NaN in the bias": (
        "model.onnx",
        lambda out: rewrite_model(out, set_weight("b", lambda b: b * np.float32(np.nan))),
        "model.onnx: constant 'b' (3 NaN of 3): Gemm computes with it; expected numbers",
    ),
    "an infinity in the bias": (
        "model.onnx",
        lambda out: rewrite_model(out, set_weight("b", lambda b: b + np.float32(np.inf))),
        "report.json: verification: constants that are not finite: expected 'b' (3 infinite of 3)",
    ),
    "a NaN in an attribute": (
        "model.onnx",
        lambda out: rewrite_model(out, set_alpha),
        "model.onnx: constant 'n3.beta' (1 NaN of 1): Gemm computes with it; expected numbers",
    ),
    "a node's name": ("model.onnx", lambda out: rewrite_model(out, set_op), "model.onnx has no layer 'n0'"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_changed_file_with_its_new_digest_is_refused(what: str, folder: Path) -> None:
    name, edit, message = FILES[what]
    edit(folder)
    sign(folder, name)
    assert message in (refusal(folder) or "")


EMITTED = {
    "nsmall.v": ("n3_in__1, n3_in__0", "n3_in__0, n3_in__1"),
    "nsmall.yosys.json": ('"row": [2, 3, 4', '"row": [3, 2, 4'),
    "matrix_n3.sp": ("n3_in__0 n3_in__1", "n3_in__1 n3_in__0"),
    "nsmall.def": ("row[0] )", "row[1] )"),
    "nsmall.lef": ("PIN row[0]", "PIN row[1]"),
    "nsmall.dot": ("-> matrix_n3 [", "-> matrix_n0_0 ["),
}


@pytest.mark.parametrize("name", EMITTED)
def test_one_connection_exchanged_in_an_emitted_netlist_is_refused(name: str, folder: Path) -> None:
    old, new = EMITTED[name]
    text = (folder / name).read_text("utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), "utf-8")
    sign(folder, name)
    assert "netlist.json has" in (refusal(folder) or "")


# -- odd reports --------------------------------------------------------------------------------------------

ODD = {
    "not UTF-8": (b'{"model": "\xff"}', "not JSON ('utf-8' codec can't decode byte 0xff"),
    "deep": (b"[" * 100_000, "not JSON (maximum recursion depth exceeded"),
    "a key twice": (b'{"model": "a", "model": "b"}', "not JSON (key 'model' twice in one object)"),
    "no number": (b'{"seconds": NaN}', "not JSON (NaN is not a number)"),
    "many digits": (b'{"seed": 1' + b"0" * 5000 + b"}", "not JSON (Exceeds the limit (4300 digits)"),
    "cut short": (b'{"model": "a"', "not JSON (Expecting ',' delimiter"),
    "nothing": (b"", "not JSON (Expecting value"),
    "a list": (b"[]", "not a report: expected an object, got a list"),
    "a field gone": (b"{}", "not a report: 'model' is missing"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_report_is_refused_in_one_line(what: str, folder: Path) -> None:
    data, message = ODD[what]
    (folder / "report.json").write_bytes(data)
    assert message in (refusal(folder) or "")


def edited(folder: Path, edit: Callable[[Any], object]) -> str:
    report = json.loads((folder / "report.json").read_text("utf-8"))
    edit(report)
    (folder / "report.json").write_text(json.dumps(report), "utf-8")
    return refusal(folder) or ""


WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "a huge count": (
        lambda r: r["after"].update(cells=10**4000),
        "after.cells: expected a whole number, got an integer",
    ),
    "a huge time": (lambda r: r.update(seconds=10**4000), "seconds: expected a number, got an integer of 13288 bits"),
    "an infinite time": (lambda r: r.update(seconds=1e308 * 10), "not JSON (Infinity is not a number)"),
    "true for a count": (lambda r: r["after"].update(cells=True), "after.cells: expected a whole number, got True"),
    "an unknown field": (lambda r: r.update(more=1), "unknown key 'more'"),
    "names that lead outside": (
        lambda r: r["files"].update({"../x": "0" * 64}),
        "report.json: files: '../x' is not the name of a file in the folder",
    ),
    "a name that a terminal obeys": (
        lambda r: r["files"].update({"\x1b]0;x\x07": "0" * 64}),
        r"report.json: files: '\x1b]0;x\x07' is not the name of a file in the folder",
    ),
    "half a character": (lambda r: r["files"].update({"\ud800": "0" * 64}), r"'\ud800' is not the name of a file"),
    "an absolute name": (lambda r: r["files"].update({"/x": "0" * 64}), "'/x' is not the name of a file in the folder"),
    "a digest that is none": (
        lambda r: r["files"].update({"model.onnx": "0"}),
        "the sha256 of 'model.onnx' is not 64 hexadecimal digits",
    ),
    "no files": (lambda r: r.update(files={}), "report.json: files: 'model.onnx' is not listed"),
    "a page not listed": (lambda r: r["files"].pop("report.html"), "report.json: files: 'report.html' is not listed"),
    "a sentence": (
        lambda r: r["verification"].append("onnxruntime: not run, it does not know all ops of the original"),
        "",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_field_is_named(what: str, folder: Path) -> None:
    edit, message = WRONG[what]
    said = edited(folder, edit)
    assert message in said
    assert bool(said) == bool(message)


def test_no_sentence_of_the_report_switches_a_check_off(folder: Path) -> None:
    edited(folder, WRONG["a sentence"][0])
    assert any(line.startswith("onnxruntime: optimisation off and on differ by") for line in verify_again(folder))


def test_a_file_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "report.html").rename(folder.parent / "elsewhere.html")
    (folder / "report.html").symlink_to("../elsewhere.html")
    assert "report.html: a symbolic link; expected the file that was written" in (refusal(folder) or "")


def test_several_changes_that_agree_with_each_other_are_seen(folder: Path) -> None:
    """Cells and ratios of a layer and of the whole, all of one lie."""

    def lie(report: Any) -> None:
        for figures in (report["matrices"][2], report["layers"][1]["after"], report["after"]):
            figures["cells"] -= 1

    assert "matrices[2].cells is 23; expected 24" in edited(folder, lie)
