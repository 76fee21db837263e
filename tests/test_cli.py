"""The command line: what it writes, what it prints, and one clear line for everything that is wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from gscompile.cli import main
from gscompile.graph.network import Network
from tests.small_networks import model

SAMPLES = Path(__file__).parents[1] / "samples"
MLP = """mlp (float[n,20] x) => (float[n,4] y) <float[20,30] a, float[30] b, float[30,4] c>
    { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"""
FILES = ["model.onnx", "netlist.json", "report.html", "report.json", "tiles.npz"]
SHORT = ["--threads", "1", "--effort", "quick", "--epochs", "0.1", "--pass", "rank-clip:method=pca,clip_every_steps=4,epochs=0.5",
         "--pass", "delete-groups:step=0.6,epochs=0.2,recovery_epochs=0.2", "--pass", "drop-dead-units"]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `mlp.onnx`."""
    monkeypatch.chdir(tmp_path)
    onnx.save(model(MLP), tmp_path / "mlp.onnx")
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_refused(result: Result, message: str, code: int = 2) -> None:
    """One line on stderr, nothing on stdout, no traceback."""
    assert result.exit_code == code, (result.exit_code, result.stderr, result.exception)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("gscompile: ")
    assert message in lines[0]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- what works -------------------------------------------------------------------------------------------------


def test_a_network_is_compiled_and_verified_without_data(here: Path) -> None:
    before = digest(here / "mlp.onnx")
    result = run("mlp.onnx", "--crossbar", "16x16")
    assert result.exit_code == 0, result.stderr
    assert names(here / "mlp.gscompile") == FILES
    assert "no accuracy is claimed" in " ".join(result.stdout.split())
    assert digest(here / "mlp.onnx") == before
    again = run("verify", "mlp.gscompile")
    assert again.exit_code == 0
    assert "rebuild all" in again.stdout


def test_quiet_says_nothing(here: Path) -> None:
    result = run("mlp.onnx", "--quiet", "-o", "out")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert names(here) == ["mlp.onnx", "out"]


def test_json_is_the_report(here: Path) -> None:
    result = run("mlp.onnx", "--json", "--quiet")
    report = json.loads(result.stdout)
    assert report == json.loads((here / "mlp.gscompile" / "report.json").read_text())
    assert report["before"]["cells"] == 20 * 30 + 30 * 4
    assert report["accuracy"] == []


def test_a_config_file_is_read_and_the_command_line_wins(here: Path) -> None:
    (here / "c.toml").write_text('crossbar = "8x8"\nseed = 5\n')
    report = json.loads(run("mlp.onnx", "--config", "c.toml", "--seed", "7", "--json", "-q").stdout)
    assert (report["crossbar"], report["seed"]) == ("8x8", 7)


def test_inspect_counts_without_writing(here: Path) -> None:
    result = run("inspect", "mlp.onnx", "--crossbar", "16x16", "--json")
    rows = json.loads(result.stdout)
    assert [(row["cells"], row["tiles"], row["wires"]) for row in rows] == [(600, 4, 100), (120, 2, 38)]
    table = run("inspect", "mlp.onnx", "--crossbar", "16x16").stdout
    assert "720" in table.strip().splitlines()[-1]
    assert names(here) == ["mlp.onnx"]


def test_no_weights_compile_to_the_network_itself(here: Path) -> None:
    onnx.save(model("g (float[n,4] x) => (float[n,4] y) { y = Relu (x) }"), here / "relu.onnx")
    result = run("relu.onnx")
    assert result.exit_code == 0
    assert "compiles to itself" in result.stdout
    assert onnx.load(here / "relu.gscompile" / "model.onnx") == onnx.load(here / "relu.onnx")
    assert "nothing to map" in run("inspect", "relu.onnx").stdout


def test_force_replaces_an_earlier_output_and_only_that(here: Path) -> None:
    assert run("mlp.onnx", "-q").exit_code == 0
    assert_refused(run("mlp.onnx", "-q"), "mlp.gscompile: exists; choose another with -o, or replace it with --force")
    assert run("mlp.onnx", "-q", "--force").exit_code == 0
    assert_refused(run("mlp.onnx", "-q", "--force", "-o", here), "--force replaces nothing else")
    assert_refused(run("mlp.onnx", "-q", "--force", "-o", "mlp.onnx"), "--force replaces nothing else")
    assert names(here) == ["mlp.gscompile", "mlp.onnx"]


def test_the_module_is_a_command_and_help_is_quick(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gscompile", "--help"],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Compile ONNX networks" in done.stdout
    assert not any(f"| {heavy}\n" in done.stderr.replace("  ", "") for heavy in ("torch", "onnx", "onnxruntime"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the digits."""
    folder = tmp_path_factory.mktemp("digits")
    for part, count in (("train", 128), ("val", 128)):
        with np.load(SAMPLES / f"digits_{part}.npz") as arrays:
            np.savez(folder / f"{part}.npz", **{name: arrays[name][:count] for name in arrays})
    return folder


def test_with_data_the_accuracy_stays_in_the_budget_and_equal_seeds_give_equal_files(digits: Path, here: Path) -> None:
    common = [SAMPLES / "digits.onnx", "--data", digits / "train.npz", "--eval", digits / "val.npz", "--max-drop", 5,
              "--crossbar", "16x16", *SHORT]  # fmt: skip
    first = run(*common, "-o", "first", "--json", "-q")
    assert first.exit_code == 0, first.stderr
    report = json.loads(first.stdout)
    (accuracy,) = report["accuracy"]
    assert accuracy["after"] >= accuracy["before"] - 5
    assert report["after"]["cells"] < report["before"]["cells"]
    assert run("verify", "first").exit_code == 0
    assert run(*common, "-o", "second", "-q").exit_code == 0
    for name in ("model.onnx", "netlist.json", "tiles.npz"):
        assert digest(here / "first" / name) == digest(here / "second" / name), name


def test_without_eval_a_part_is_held_out_and_said_so(digits: Path, here: Path) -> None:
    result = run(SAMPLES / "digits.onnx", "--data", digits / "train.npz", "--pass", "drop-dead-units", "--threads", 1)
    assert result.exit_code == 0, result.stderr
    assert "may have been trained" in " ".join(result.stdout.split())
    assert names(here / "digits.gscompile") == FILES


def test_equal_commands_without_data_give_equal_files(here: Path) -> None:
    for out in ("first", "second"):
        assert run("mlp.onnx", "-q", "-o", out, "--max-error", 0.2).exit_code == 0
    for name in ("model.onnx", "netlist.json", "tiles.npz"):
        assert digest(here / "first" / name) == digest(here / "second" / name), name


# -- what is wrong with an option -------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[list[str], str]] = {
    "crossbar 64": (["--crossbar", "64"], "crossbar size '64': write ROWSxCOLS, as in 64x64"),
    "crossbar 0x64": (["--crossbar", "0x64"], "crossbar size 0x64"),
    "crossbar 64x-1": (["--crossbar", "64x-1"], "crossbar size '64x-1'"),
    "tiling": (["--tiling", "round"], "tiling 'round': expected one of full, equal"),
    "pass": (["--pass", "rank-klip"], "pass 'rank-klip': unknown (did you mean 'rank-clip'?)"),
    "pass option": (["--pass", "rank-clip:epsilon=x"], "option 'epsilon': 'x' is not a number"),
    "format": (["--emit", "pdf"], "format 'pdf': unknown; there are"),
    "unknown option": (["--colour", "red"], "No such option '--colour'"),
    "no number": (["--seed", "x"], "'x' is not a valid integer"),
    "threads": (["--threads", "0"], "threads 0: must be at least 1"),
    "eval alone": (["--eval", "x.npz"], "--eval needs --data"),
    "no data": (["--data", "none.npz"], "data 'none.npz': no such file"),
    "no function": (["--data", "no_such_module:f"], "cannot be imported"),
    "config": (["--config", "none.toml"], "none.toml: cannot be read"),
    "input shape": (["--input-shape", "x=0"], "write NAME=SIZE,SIZE"),
    "no such input": (["--input-shape", "z=1,20"], "no such input, the inputs are 'x'"),
    "shape that contradicts": (
        ["--input-shape", "x=1,21"],
        "[1, 21] given, the network takes float32 [n, 20]",
    ),
    "no parent": (["-o", "none/out"], "no such folder to write out in"),
    "a file as parent": (["-o", "mlp.onnx/out"], "mlp.onnx: no such folder to write out in"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_a_wrong_option_is_one_line_and_nothing_is_written(case: str, here: Path) -> None:
    arguments, message = OPTIONS[case]
    assert_refused(run("mlp.onnx", "-q", *arguments), message)
    assert names(here) == ["mlp.onnx"]


def test_inspect_and_verify_refuse_in_one_line_too(here: Path) -> None:
    assert_refused(run("inspect", "none.onnx"), "none.onnx: no such file")
    assert_refused(run("inspect", "mlp.onnx", "--crossbar", "64"), "crossbar size '64'")
    assert_refused(run("verify", "none"), "none: no such folder")
    (here / "empty").mkdir()
    assert_refused(run("verify", "empty"), "report.json: cannot be read", 4)


def test_what_was_touched_does_not_verify(here: Path) -> None:
    run("mlp.onnx", "-q", "-o", "out")
    (here / "out" / "netlist.json").write_text("{}")
    assert_refused(run("verify", "out"), "netlist.json: not the file that was written", 4)


# -- what is wrong with a model ---------------------------------------------------------------------------------


def broken(change: Callable[[onnx.ModelProto], object], text: str = MLP, **options: Any) -> bytes:
    proto = model(text, **options)
    change(proto)
    content: bytes = proto.SerializeToString()
    return content


def external(location: str, *, keep: bool = False, **more: str) -> Callable[[onnx.ModelProto], object]:
    def change(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        if keep:
            tensor.dims[:] = [50_000, 50_000]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=value)

    return change


def set_field(target: Callable[[onnx.ModelProto], Any], value: Any) -> Callable[[onnx.ModelProto], object]:
    def change(proto: onnx.ModelProto) -> None:
        target(proto)[0] = value

    return change


def nothing(proto: onnx.ModelProto) -> None:
    del proto


def declare_10_gb(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[:] = [50_000, 50_000]


def sparse_10_gb(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    values = onnx.helper.make_tensor("a", 1, [1], [1.0])
    sparse = onnx.helper.make_sparse_tensor(values, onnx.helper.make_tensor("i", 7, [1], [5]), [50_000, 50_000])
    proto.graph.initializer.remove(tensor)
    proto.graph.sparse_initializer.append(sparse)


def same_names(proto: onnx.ModelProto) -> None:
    for node in proto.graph.node:
        node.name = "twin"


def ten_gb_of_nothing(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([50_000, 50_000]), "sizes"))
    proto.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["sizes"], ["zeros"], "none"))


def many_sparse(proto: onnx.ModelProto) -> None:
    for name in "pq":
        values = onnx.helper.make_tensor(name, 1, [1], [1.0])
        place = onnx.helper.make_tensor(f"{name}_at", 7, [1], [5])
        proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, place, [6_000, 6_000]))


def sparse_outside(proto: onnx.ModelProto) -> None:
    values, places = onnx.helper.make_tensor("s", 1, [1], [1.0]), onnx.helper.make_tensor("at", 7, [1], [5])
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [30, 4]))
    kept = proto.graph.sparse_initializer[0].values
    kept.ClearField("float_data")
    kept.data_location = onnx.TensorProto.EXTERNAL
    kept.external_data.add(key="location", value="mlp.onnx")


def functions_of_functions(proto: onnx.ModelProto) -> None:
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("my", 1)]
    proto.opset_import.append(imports[1])
    for depth in range(30):
        op, domain = ("Relu", "") if depth == 29 else (f"F{depth + 1}", "my")
        ways = zip(("a", "b"), ("b", "c"), strict=True)
        body = [onnx.helper.make_node(op, [before], [after], domain=domain) for before, after in ways]
        proto.functions.append(onnx.helper.make_function("my", f"F{depth}", ["a"], ["c"], body, imports))
    proto.graph.node[1].op_type, proto.graph.node[1].domain = "F0", "my"


NAN = np.where(np.arange(30) == 3, np.nan, np.ones((20, 30)))
WHOLE = model(MLP).SerializeToString()
MODELS: dict[str, tuple[bytes, str]] = {
    "text": (b"this is no model", "not an ONNX file, or truncated (16 bytes)"),
    "empty": (b"", "not an ONNX file: it has no graph or no opset"),
    "truncated": (WHOLE[:-700], "not an ONNX file, or truncated"),
    "unknown value": (broken(set_field(lambda p: p.graph.node[0].input, "nowhere")), "input 'nowhere'"),
    "cycle": (broken(set_field(lambda p: p.graph.node[0].input, "y")), "topologically sorted"),
    "value twice": (broken(set_field(lambda p: p.graph.node[1].output, "h")), "'h' has been used as output names multiple times"),
    "weight twice": (broken(lambda p: p.graph.initializer.append(p.graph.initializer[0])), "not unique"),
    "node names twice": (broken(same_names), "two nodes are named 'twin'"),
    "sizes that do not fit": (broken(nothing, MLP.replace("[30,4] c", "[31,4] c")), "onnxruntime cannot run the network"),
    "no outputs": (broken(lambda p: p.graph.ClearField("output")), "it has no outputs"),
    "no type": (broken(lambda p: setattr(p.graph.initializer[0], "data_type", 999)), "tensor 'a' of [20, 30] is of no known type (999)"),
    "old opset": (broken(lambda p: setattr(p.opset_import[0], "version", 6)), "opset 6; 7 to"),
    "opset of the future": (broken(lambda p: setattr(p.opset_import[0], "version", 999)), "opset 999; 7 to"),
    "NaN": (broken(nothing, a=NAN), "weight 'a' of Gemm 'n0': 20 of 600 values are NaN or infinite"),
    "10 GB declared": (broken(declare_10_gb), "tensor 'a' of [50000, 50000] takes 10000000000 bytes and has 2400"),
    "10 GB declared outside": (broken(external("mlp.onnx", keep=True)), "10000000000 bytes at 0 of mlp.onnx declared, the file has"),
    "10 GB sparse": (broken(sparse_10_gb), "sparse tensor 'a' of [50000, 50000] takes 10000000000 bytes"),
    "10 GB of nothing": (broken(ten_gb_of_nothing), "ConstantOfShape 'none': makes a tensor of 2500000000 elements"),
    "288 MB in two sparse tensors": (broken(many_sparse), "sparse tensor 'q' of [6000, 6000] takes 288000000 bytes"),
    "sparse in a file of another size": (broken(sparse_outside), "sparse tensor 's': its data is not what was declared"),
    "functions that are 2^30 nodes": (broken(functions_of_functions), "its functions are 1073741826 nodes"),
    "an input of 12 GB": (
        broken(nothing, "g (float[100000,30000] x) => (float[a,b] y) { y = Relu (x) }"),
        "input 'x' takes float32 [100000, 30000]: too large to try out",
    ),
    "external file missing": (broken(external("gone.bin")), "gone.bin"),
    "external file elsewhere": (broken(external("../secret.bin")), "points outside the directory"),
    "external file absolute": (broken(external("/etc/hostname")), "absolute path"),
    "external file short": (broken(external("mlp.onnx", offset="3000")), "2400 bytes at 3000 of mlp.onnx declared"),
    "external file by a link": (broken(external("link.bin")), "symbolic link"),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_broken_model_is_one_line_and_stays_as_it_is(case: str, here: Path) -> None:
    content, message = MODELS[case]
    (here / "m.onnx").write_bytes(content)
    (here / "link.bin").symlink_to(Path(__file__))
    assert_refused(run("m.onnx", "-q"), message)
    assert names(here) == ["link.bin", "m.onnx", "mlp.onnx"]
    assert (here / "m.onnx").read_bytes() == content


@pytest.mark.usefixtures("here")
def test_a_missing_model_and_a_folder_are_named() -> None:
    assert_refused(run("none.onnx"), "none.onnx: no such file")
    assert_refused(run("."), ".: a folder, not an ONNX file")


CUSTOM = """g (float[n,20] x) => (float[n,4] y) <float[20,30] a, float[30,4] c>
    { h = MatMul (x, a)  r = my.own.Wobble (h)  y = MatMul (r, c) }"""


def test_an_output_may_be_there_twice_and_a_name_endless(here: Path) -> None:
    proto = model(MLP)
    proto.graph.output.append(proto.graph.output[0])
    proto.graph.node[0].name = "n" * 100_000
    onnx.save(proto, here / "m.onnx")
    assert run("m.onnx", "-q").exit_code == 0
    assert len(onnx.load(here / "m.gscompile" / "model.onnx").graph.output) == 2


def test_an_op_that_nobody_knows_is_compiled_around_without_data(here: Path) -> None:
    onnx.save(model(CUSTOM, imports=', "my.own" : 1'), here / "custom.onnx")
    result = run("custom.onnx")
    assert result.exit_code == 0, result.stderr
    assert "my.own:Wobble" in result.stdout
    assert len(Network.load(here / "custom.gscompile" / "model.onnx").layers) == 2
    assert run("verify", "custom.gscompile").exit_code == 0


def test_an_op_that_nobody_knows_is_named_with_data(here: Path) -> None:
    onnx.save(model(CUSTOM, imports=', "my.own" : 1'), here / "custom.onnx")
    np.savez("data.npz", x=np.zeros((30, 20), np.float32))
    assert_refused(run("custom.onnx", "-q", "--data", "data.npz"), "my.own:Wobble")
    assert names(here) == ["custom.onnx", "data.npz", "mlp.onnx"]


# -- what is wrong with data ------------------------------------------------------------------------------------

X = np.zeros((40, 20), np.float32)
Y = np.arange(40) % 4
DATA: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"z": X}, "no array for input 'x', found 'z'"),
    "shape": ({"x": X[:, :7]}, "axis 1 is 7, not 20"),
    "type": ({"x": X.astype(str)}, "save it as float32"),
    "NaN": ({"x": np.where(np.arange(20) == 3, np.nan, X).astype(np.float32)}, "holds nan"),
    "label range": ({"x": X, "labels": Y + 1}, "label 4 of sample 3"),
    "negative label": ({"x": X, "labels": -Y}, "label -1 of sample 1"),
    "labels with fractions": (
        {"x": X, "labels": Y + 0.5},
        "'labels' is float64 [40], expected one whole number for each sample",
    ),
    "count": ({"x": X, "labels": Y[:7]}, "'x' has 40 samples and 'labels' 7"),
    "nothing": ({"x": X[:0]}, "'x' has no samples"),
}


@pytest.mark.parametrize("case", DATA)
def test_data_that_does_not_fit_is_one_line(case: str, here: Path) -> None:
    arrays, message = DATA[case]
    np.savez(here / "d.npz", **arrays)
    assert_refused(run("mlp.onnx", "-q", "--threads", 1, "--data", "d.npz"), message)
    assert names(here) == ["d.npz", "mlp.onnx"]


def test_labels_must_be_in_both_parts_of_the_data(here: Path) -> None:
    np.savez(here / "with.npz", x=X, labels=Y)
    np.savez(here / "without.npz", x=X)
    assert_refused(run("mlp.onnx", "-q", "--data", "with.npz", "--eval", "without.npz"), "give both or neither")


LONG = 300 * "x"  # no system takes a name of so many bytes


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ([LONG], "no such file"),
        (["mlp.onnx", "-o", LONG], "its name is too long; expected at most 220 bytes"),
        (["mlp.onnx", "--data", LONG], "no such file"),
        (["mlp.onnx", "--test", LONG], "no such file"),
        (["mlp.onnx", "--target", f"{LONG}.toml"], "name too long"),
        (["mlp.onnx", "--config", LONG], "name too long"),
        (["inspect", LONG], "no such file"),
        (["verify", LONG], "no such folder"),
        (["place", LONG], "no such folder"),
        (["simulate", LONG, "--data", LONG], "no such folder"),
    ],
)
def test_a_name_that_is_too_long_is_said_to_be_so(here: Path, command: list[str], says: str) -> None:
    assert here.is_dir()
    assert_refused(run(*command), says)


def test_a_device_that_is_none_is_named(here: Path) -> None:
    np.savez(here / "d.npz", x=X, labels=Y)
    assert_refused(run("mlp.onnx", "-q", "--data", "d.npz", "--device", "gpu0"), "device 'gpu0'")


# -- what goes wrong on the way ---------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write_model", "write_design", "write_report"):
        with monkeypatch.context() as patch:
            patch.setattr(f"gscompile.driver.{name}", full)
            assert_refused(run("mlp.onnx", "-q"), "mlp.gscompile: cannot be written: No space left on device")
        assert names(here) == ["mlp.onnx"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("limit", [10, 1000, 4000])
def test_files_that_may_not_grow_are_one_line_too(limit: int, here: Path) -> None:
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from gscompile.cli import main; main(['mlp.onnx', '-q'])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "gscompile: mlp.gscompile: cannot be written: File too large\n",
    )
    assert names(here) == ["mlp.onnx"]


def test_a_failing_verification_is_exit_4_and_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gscompile import write

    monkeypatch.setattr(write, "tile_weights", lambda *_: iter(()))
    assert_refused(run("mlp.onnx", "-q"), "has no weights", 4)
    assert names(here) == ["mlp.onnx"]


@pytest.mark.usefixtures("here")
def test_strict_is_exit_3_when_nothing_smaller_fits() -> None:
    assert_refused(
        run("mlp.onnx", "-q", "--strict", "--max-error", "0"), "nothing smaller fits an output error of 0", 3
    )
    lenient = run("mlp.onnx", "--max-error", "0")
    assert lenient.exit_code == 0
    assert "the original network is mapped" in " ".join(lenient.stdout.split())


def test_a_mistake_of_ours_is_one_line_with_a_way_to_see_more(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("gscompile.driver.map_network", fail)
    monkeypatch.delenv("GSCOMPILE_DEBUG", raising=False)
    assert_refused(run("mlp.onnx", "-q"), "internal error: KeyError: 'lost' (GSCOMPILE_DEBUG=1 shows where)", 1)
    assert names(here) == ["mlp.onnx"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "words", [["mlp.onnx"], ["inspect", "mlp.onnx"], ["verify", "mlp.gscompile"]], ids=lambda w: w[0]
)
def test_a_listing_that_cannot_be_written_is_one_line(words: list[str], here: Path) -> None:
    if words[0] == "verify":
        run("mlp.onnx", "-q")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "gscompile", *words]
        done = subprocess.run(command, cwd=here, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    wanted = "gscompile: standard output cannot be written: No space left on device"
    kept = words[0] == "mlp.onnx"  # the folder is written all the same, which is what was asked for
    assert done.returncode == (0 if kept else 2)
    assert done.stderr.splitlines()[-1] == (f"{wanted}; written to mlp.gscompile" if kept else wanted)
    assert (here / "mlp.gscompile").exists() == (words[0] != "inspect")
