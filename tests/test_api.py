"""The commands as functions: the kinds of model they take, and one line for every wrong argument."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import gscompile
from gscompile import Crossbar, GscompileError, Network
from gscompile.errors import DataError, ModelError, OutputError, UsageError, VerificationError
from gscompile.options import COMMANDS, options_of
from tests import signatures
from tests.checkout import ROOT, environment
from tests.small_networks import model

# a matrix of rank 1: 4 x 1 and 1 x 3 cells instead of 4 x 3
TEXT = "g (float[n,4] x) => (float[n,3] y) <float[4,3] w> { y = MatMul (x, w) }"
PROTO = model(TEXT, w=np.outer([1, 2, 3, 4], [1, 2, 4]))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(PROTO, tmp_path / "m.onnx")
    return tmp_path


MODELS: dict[str, Callable[[], Any]] = {
    "str": lambda: "m.onnx",
    "Path": lambda: Path("m.onnx"),
    "bytes": PROTO.SerializeToString,
    "bytearray": lambda: bytearray(PROTO.SerializeToString()),
    "ModelProto": lambda: PROTO,
    "onnx_ir.Model": lambda: ir.from_proto(PROTO),
    "Network": lambda: Network.from_proto(PROTO),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_taken_in_every_form(kind: str) -> None:
    result = gscompile.compile(MODELS[kind](), crossbar="8x8", out="out", minimize="cells")
    assert result.netlist.cells == 4 + 3
    assert result.folder == Path("out")
    assert sum(row.cells for row in gscompile.inspect(MODELS[kind](), "8x8")) == 12


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("crossbar", ["2x4", (2, 4), Crossbar(2, 4), [np.int64(2), 4]])
def test_a_crossbar_is_taken_in_every_form(crossbar: Any) -> None:
    assert gscompile.compile(PROTO, crossbar, out="out").report.crossbar == "2x4"
    assert [row.tiles for row in gscompile.inspect(PROTO, crossbar)] == [2]  # 4 x 3 on arrays of 2 x 4


def test_every_command_is_a_function(here: Path) -> None:
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((40, 4)).astype(np.float32)}
    gscompile.compile("m.onnx", "8x8", out="out")
    assert len(gscompile.verify("out")) >= 4
    assert gscompile.simulate("out", data, seeds=1).agrees
    assert gscompile.place("out", original="m.onnx", engine="shelves").sets.keys() == {"before", "after"}
    assert (here / "out" / "simulate").is_dir()
    assert (here / "out" / "place" / "place.json").is_file()


@pytest.mark.slow
def test_the_frontier_is_a_function(here: Path) -> None:
    data = {"x": np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)}
    points = gscompile.frontier("m.onnx", "8x8", "curve", points=3, data=data, effort="quick", epochs_per_round=0.1)
    assert (here / "curve" / points[0].file).is_file()
    assert callable(gscompile.frontier)  # and no module of that name


KINDS = "a path, bytes, an onnx.ModelProto, an onnx_ir.Model or a gscompile.Network"
WRONG: dict[str, tuple[Callable[[], Any], type[GscompileError], str]] = {
    "model": (lambda: gscompile.compile(object()), UsageError, f"model is of type object; expected {KINDS}"),  # type: ignore[arg-type]
    "no ONNX": (lambda: gscompile.compile(b"abc"), ModelError, "model of 3 bytes: not an ONNX file, or truncated"),
    "misspelt": (
        lambda: gscompile.compile(PROTO, maxdrop=1),  # type: ignore[call-arg]
        UsageError,
        "option 'maxdrop' is unknown (did you mean 'max_drop'?)",
    ),
    "unknown": (lambda: gscompile.compile(PROTO, zzz=1), UsageError, "option 'zzz' is unknown"),  # type: ignore[call-arg]
    "options": (
        lambda: gscompile.compile(PROTO, options={"seed": 1}),  # type: ignore[call-arg]
        UsageError,
        "option 'options' is unknown",
    ),
    "text": (
        lambda: gscompile.compile(PROTO, max_drop="1"),  # type: ignore[arg-type]
        UsageError,
        "option 'max_drop' is '1'; expected a number",
    ),
    "true": (
        lambda: gscompile.compile(PROTO, seed=True),
        UsageError,
        "option 'seed' is True; expected a whole number",
    ),
    "half": (
        lambda: gscompile.compile(PROTO, batch_size=1.5),  # type: ignore[arg-type]
        UsageError,
        "option 'batch_size' is 1.5; expected a whole number",
    ),
    "NaN": (
        lambda: gscompile.compile(PROTO, max_output_error=float("nan")),
        UsageError,
        "max-output-error nan: must be at least 0",
    ),
    "one text": (
        lambda: gscompile.compile(PROTO, passes="rank-clip"),  # type: ignore[arg-type]
        UsageError,
        "option 'passes' is 'rank-clip'; expected a list of texts",
    ),
    "crossbar": (
        lambda: gscompile.compile(PROTO, crossbar=(4,)),  # type: ignore[arg-type]
        UsageError,
        "option 'crossbar' is (4,); expected ROWSxCOLS, as in 64x64",
    ),
    "twice": (
        lambda: gscompile.compile(PROTO, max_output_error=0.1, max_error=0.1),  # type: ignore[call-arg]
        UsageError,
        "option 'max_error' is given twice, once as 'max_output_error'",
    ),
    "former name": (
        lambda: gscompile.compile(PROTO, epochs=0),  # type: ignore[call-arg]
        UsageError,
        "epochs-per-round 0: must be at least 1e-06",
    ),
    "empty crossbar": (
        lambda: gscompile.compile(PROTO, crossbar=(0, 4)),
        UsageError,
        "crossbar size 0x4: rows and columns must be at least 1",
    ),
    "out": (lambda: gscompile.compile(PROTO, out=5), UsageError, "option 'out' is 5; expected a path"),  # type: ignore[arg-type]
    "force": (
        lambda: gscompile.compile(PROTO, force="yes"),  # type: ignore[arg-type]
        UsageError,
        "option 'force' is 'yes'; expected true or false",
    ),
    "progress": (
        lambda: gscompile.compile(PROTO, progress=print),  # type: ignore[arg-type]
        UsageError,
        "progress is of type builtin_function_or_method; expected a gscompile.progress.Progress",
    ),
    "effort": (
        lambda: gscompile.compile(PROTO, effort="much"),  # type: ignore[arg-type]
        UsageError,
        "effort 'much': expected one of quick, standard, max",
    ),
    "data": (
        lambda: gscompile.compile(PROTO, data=5),
        DataError,
        "data of type int: give a path, a mapping of arrays, or batches",
    ),
    "points": (
        lambda: gscompile.frontier(PROTO, points=2),
        UsageError,
        "points 2: must be at least 3",
    ),
    "misspelt in frontier": (
        lambda: gscompile.frontier(PROTO, point=4),  # type: ignore[call-arg]
        UsageError,
        "option 'point' is unknown (did you mean 'points'?)",
    ),
    "tiling": (
        lambda: gscompile.inspect(PROTO, tiling="half"),  # type: ignore[arg-type]
        UsageError,
        "tiling 'half': expected one of full, equal",
    ),
    "crossbar of inspect": (
        lambda: gscompile.inspect(PROTO, 64),  # type: ignore[arg-type]
        UsageError,
        "option 'crossbar' is 64; expected ROWSxCOLS, as in 64x64",
    ),
    "folder of verify": (lambda: gscompile.verify(None), UsageError, "out is of type NoneType; expected a path"),  # type: ignore[arg-type]
    "folder of explain": (lambda: gscompile.explain("none"), OutputError, "none: no such folder"),
    "matrix": (
        lambda: gscompile.explain("none", 3),  # type: ignore[arg-type]
        UsageError,
        "option 'matrix' is 3; expected the name of a matrix",
    ),
    "no folder": (lambda: gscompile.verify("none"), OutputError, "none: no such folder"),
    "shape": (
        lambda: gscompile.verify("none", "x=1"),  # type: ignore[arg-type]
        UsageError,
        "option 'input_shape' is 'x=1'; expected a list of texts",
    ),
    "samples": (
        lambda: gscompile.simulate("none", {}, samples=0),
        UsageError,
        "samples 0: must be at least 1",
    ),
    "seeds": (
        lambda: gscompile.simulate("none", {}, seeds="3"),  # type: ignore[arg-type]
        UsageError,
        "option 'seeds' is '3'; expected a whole number",
    ),
    "target": (
        lambda: gscompile.place("none", target=5),  # type: ignore[arg-type]
        UsageError,
        "option 'target' is 5; expected the name of a target, or the path of a .toml file",
    ),
    "route_seconds": (
        lambda: gscompile.place("none", route_seconds=-1),
        UsageError,
        "route-seconds -1: must be at least 0",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_one_line_and_nothing_is_written(case: str, here: Path) -> None:
    call, kind, says = WRONG[case]
    with pytest.raises(kind) as refused:
        call()
    assert str(refused.value) == says
    assert [path.name for path in here.iterdir()] == ["m.onnx"]


@pytest.mark.usefixtures("here")
def test_an_engine_that_is_none_is_named() -> None:
    gscompile.compile("m.onnx", "8x8", out="out")
    with pytest.raises(UsageError) as refused:
        gscompile.place("out", engine="best")  # type: ignore[arg-type]
    assert str(refused.value) == "engine 'best': expected one of auto, coloquinte, shelves"


@pytest.mark.usefixtures("here")
def test_tiles_that_compute_something_else_are_an_error() -> None:
    gscompile.compile("m.onnx", "8x8", out="out", passes=[])
    with np.load("out/tiles.npz") as tiles:
        twice = {name: 2 * array for name, array in tiles.items()}
    np.savez("out/tiles.npz", **twice)
    with pytest.raises(VerificationError, match=r"^out: .*model\.onnx"):
        gscompile.simulate("out", {"x": np.ones((2, 4), np.float32)}, seeds=1)


def test_the_package_imports_nothing_heavy() -> None:
    """`gscompile --version` takes 0.05 s."""
    code = (
        "import sys, gscompile.cli; print(*sorted({'onnx', 'torch', 'numpy', 'onnxruntime', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# -- signatures -------------------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_declarations() -> None:
    """`python -m tests.signatures` writes them."""
    source = signatures.API.read_text("utf-8")
    assert signatures.written(source) == source


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "reduce"])
def test_a_signature_shows_every_option_with_its_default(command: str) -> None:
    shown = inspect.signature(getattr(gscompile, command)).parameters
    for name, declared in options_of(command).items():
        assert shown[name].default == (inspect.Parameter.empty if declared.is_required else declared.default), name


USER_SCRIPT = """
from pathlib import Path

import gscompile

result = gscompile.compile("m.onnx", crossbar=(16, 16), max_drop=0.5, passes=["rank-clip"], target=Path("t.toml"))
print(result.report.after.wires)
gscompile.compile("m.onnx", max_dorp=0.5)
gscompile.compile("m.onnx", effort="much")
gscompile.frontier("m.onnx", data="d.npz", points="8")
"""


@pytest.mark.slow
def test_mypy_checks_the_options_of_a_script(tmp_path: Path) -> None:
    """The package has `py.typed`: a misspelt option, an unknown choice and a wrong type are found without a run."""
    (tmp_path / "script.py").write_text(USER_SCRIPT, "utf-8")
    words = [sys.executable, "-m", "mypy", str(tmp_path / "script.py")]  # in the checkout: its cache saves 30 s
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in errors] == ["8", "9", "10"], done.stdout
    assert 'did you mean "max_drop"?' in errors[0]
    assert "expected \"Literal['quick', 'standard', 'max']\"" in errors[1]
    assert 'expected "int"' in errors[2]
