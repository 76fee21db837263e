"""An interrupted compile goes on from where it was, and comes to the same end."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_array_equal

from gscompile.cli import main
from gscompile.data.dataset import Dataset, load_data
from gscompile.data.inputs import input_specs
from gscompile.errors import BudgetError, OutputError, UsageError
from gscompile.graph.network import Network
from gscompile.options import Options, parse_duration
from gscompile.progress import Progress
from gscompile.training.checkpoint import (
    Checkpoints,
    NamedArrays,
    checkpoints_of,
    code_digest,
    data_digest,
    digest,
    is_begun,
    resume_folder,
)
from gscompile.training.make_trainer import make_trainer
from gscompile.training.run_context import RunContext, deadline
from gscompile.training.run_spec import Shrink
from gscompile.training.training_options import TrainingOptions
from tests.small_networks import network

SAMPLES = Path(__file__).parents[2] / "samples"
MLP = """mlp (float[n,6] x) => (float[n,3] y) <float[6,8] a, float[8] b, float[8,3] c>
    { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"""
ONE = {"a": np.arange(3.0)}


class Said(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def begin(out: Path, arrays: NamedArrays = ONE) -> None:
    """A compile into `out` that is interrupted."""
    with suppress(KeyboardInterrupt), checkpoints_of(out) as journal:
        journal.claim("mine")
        if arrays:
            journal.save("0001-x", arrays)
        raise KeyboardInterrupt


# -- the folder -------------------------------------------------------------------------------------------------


def test_what_is_saved_is_there_for_the_next_run(tmp_path: Path) -> None:
    begin(tmp_path / "out")
    assert is_begun(tmp_path / "out")
    with checkpoints_of(tmp_path / "out") as journal:
        journal.claim("mine")
        assert_array_equal((journal.load("0001-x") or {})["a"], ONE["a"])
        assert journal.load("0002-y") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("problem", [BudgetError("nothing fits"), None])
def test_the_folder_goes_when_the_compile_came_to_an_end(tmp_path: Path, problem: Exception | None) -> None:
    try:
        with checkpoints_of(tmp_path / "out") as journal:
            journal.save("0001-x", ONE)
            if problem:
                raise problem
    except BudgetError:
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_folder_goes_when_there_is_nothing_in_it(tmp_path: Path) -> None:
    begin(tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []


def test_another_command_starts_over_and_says_so(tmp_path: Path) -> None:
    begin(tmp_path / "out")
    said = Said()
    with checkpoints_of(tmp_path / "out", progress=said) as journal:
        journal.claim("another")
        assert journal.names == []
    assert said.lines == [".out.resume is of another command, other data or another gscompile: starting over"]


def test_what_a_teacher_told_another_command_is_not_gone_on_with(tmp_path: Path) -> None:
    said = Said()
    for command in ("mine", "another"):
        journal = Checkpoints(tmp_path, progress=said)
        journal.claim(command)
        assert (journal.names, journal.load("lessons-0")) == ([], None)
        journal.save("lessons-0", ONE)
    assert said.lines == []  # no training run was kept


def test_no_resume_starts_over(tmp_path: Path) -> None:
    begin(tmp_path / "out")
    with checkpoints_of(tmp_path / "out", resume=False) as journal:
        assert journal.names == []


def test_two_compiles_into_one_folder_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with checkpoints_of(out):
        with pytest.raises(OutputError, match=f"process {os.getpid()} is compiling into it"), checkpoints_of(out):
            pass
        with checkpoints_of(tmp_path / "other"):
            pass
    with checkpoints_of(out):
        pass


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a zip at all"])
def test_a_broken_file_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0001-x.npz").write_bytes(content)
    assert Checkpoints(tmp_path).load("0001-x") is None


def test_a_full_disk_ends_the_journal_and_not_the_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gscompile.training.checkpoint._save", full)
    said = Said()
    journal = Checkpoints(tmp_path, said)
    journal.save("0001-x", ONE)
    journal.save("0002-x", ONE)
    assert len(said.lines) == 1
    assert "nothing more is kept there: No space left on device" in said.lines[0]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_compile_left_beside_its_output_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / ".out.4711.partial").mkdir()
    (tmp_path / ".out.4711.old").mkdir()
    (tmp_path / ".output.4711.partial").mkdir()  # somebody else's
    with checkpoints_of(tmp_path / "out"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".output.4711.partial", "out"]


def test_a_digest_tells_shapes_types_and_borders_apart() -> None:
    same = np.zeros(4, np.float32)
    parts = [(same,), (same.reshape(2, 2),), (same.view(np.int32),), ("a", "b"), ("ab",), (b"ab",), (None,), ()]
    assert len({digest(*each) for each in parts}) == len(parts)
    assert digest(same.copy()) == digest(same)


# -- training runs --------------------------------------------------------------------------------------


def samples(count: int = 300) -> Dataset:
    rng = np.random.default_rng(3)
    arrays = {"x": rng.standard_normal((count, 6)).astype(np.float32), "labels": rng.integers(0, 3, count)}
    return load_data(arrays, input_specs(network(MLP).model))


def tuned(run_context: RunContext | None = None, progress: Progress | None = None) -> NamedArrays:
    """Weights after two stretches, the first of which shrinks half of a layer to zero."""
    net, data = network(MLP), samples()
    trainer = make_trainer(net, data, data, TrainingOptions(threads=1, batch_size=64), progress, run_context)
    half = np.zeros((1, 6, 8), bool)
    half[:, :, 4:] = True
    net = trainer.tune(net, 0.2, Shrink({"n0": half}))
    return weights(trainer.tune(net, 0.1, anneal=True))


def weights(net: Network) -> NamedArrays:
    return {layer.name: layer.matrices.copy() for layer in net.layers}


class StopAt(Progress):
    """Interrupts the run before the step of that number, counted over all stretches, is kept."""

    def __init__(self, step: int) -> None:
        self.left = step

    def steps(self, done: int, total: int) -> None:  # noqa: ARG002
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 4, 5, 29, 31, 44])
def test_a_stretch_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path, step: int) -> None:
    journal = Checkpoints(tmp_path, every=0.0)
    with pytest.raises(KeyboardInterrupt):
        tuned(RunContext(checkpoints=journal), StopAt(step))
    for name, array in tuned(RunContext(checkpoints=journal)).items():
        assert_array_equal(array, UNINTERRUPTED()[name])


def _once() -> Callable[[], NamedArrays]:
    known: list[NamedArrays] = []

    def weights_of_one_run() -> NamedArrays:
        if not known:
            known.append(tuned())
        return known[0]

    return weights_of_one_run


UNINTERRUPTED = _once()


def test_a_finished_stretch_is_not_trained_again(tmp_path: Path) -> None:
    first = tuned(RunContext(checkpoints=Checkpoints(tmp_path)))
    again = tuned(RunContext(checkpoints=Checkpoints(tmp_path)), StopAt(1))  # which no step reaches
    for name, array in first.items():
        assert_array_equal(array, again[name])


@pytest.mark.parametrize(
    "stale",
    [
        {},
        {"over": np.array([True, False])},
        {"over": np.array(True), "weight0": np.zeros((6, 8), np.float32)},
        {"over": np.array(False), "place": np.array([3, 0, 0])},
    ],
)
def test_a_file_that_does_not_fit_is_ignored_and_that_is_said(tmp_path: Path, stale: NamedArrays) -> None:
    tuned(RunContext(checkpoints=Checkpoints(tmp_path)))
    first = min(tmp_path.iterdir())
    Checkpoints(tmp_path).save(first.stem, stale)
    said = Said()
    for name, array in tuned(RunContext(checkpoints=Checkpoints(tmp_path)), said).items():
        assert_array_equal(array, UNINTERRUPTED()[name])
    assert said.lines == [f"checkpoint {first.stem} does not fit this training run: trained again"]


def test_other_code_starts_over(tmp_path: Path) -> None:
    (tmp_path / "execute").mkdir()
    for name in ("tune.py", "execute/build.py"):
        (tmp_path / name).write_text("step = 1\n")
        first = code_digest(tmp_path)
        code_digest.cache_clear()
        (tmp_path / name).write_text("step = 2\n")
        assert first != code_digest(tmp_path)
    assert code_digest() == code_digest()


def test_a_stretch_ends_when_the_time_is_over_and_is_not_kept(tmp_path: Path) -> None:
    journal = Checkpoints(tmp_path)
    tuned(RunContext(checkpoints=journal, time_left=deadline(1e-9)))
    assert journal.names == []


def test_other_data_has_another_digest() -> None:
    assert data_digest(samples()) == data_digest(samples())
    assert data_digest(samples()) != data_digest(samples(301))
    changed = samples()
    changed.parts[0].arrays["x"].read()[17, 3] += 1
    assert data_digest(samples()) != data_digest(changed)


# -- the command line -------------------------------------------------------------------------------------------

COMMAND = ["--effort", "quick", "--epochs", "0.2", "--max-drop", "1", "--threads", "1", "--pass",
           "delete-groups:step=0.5,epochs=0.5,recovery_epochs=1,min_step=0.5"]  # fmt: skip
# Snapshots after every step, so that some of the interruptions hit one.
SCRIPT = "import gscompile.training.checkpoint as j; j.SNAPSHOT_SECONDS = 0.0; from gscompile.cli import main; main()"


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    data = ["--data", str(SAMPLES / "digits_train.npz"), "--eval", str(SAMPLES / "digits_val.npz")]
    command = [sys.executable, "-c", SCRIPT, str(SAMPLES / "digits.onnx"), *data, *COMMAND, *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kept(folder: Path) -> dict[str, int]:
    """Files of the journal and when they were last written."""
    found = {}
    for path in resume_folder(folder / "digits.gscompile").glob("*.npz"):
        try:
            found[path.name] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def wait_for_news(folder: Path, run: subprocess.Popen[str], count: int) -> None:
    """Until the journal was written to `count` times, or the run is over."""
    before, end = kept(folder), time.monotonic() + 300
    while count and run.poll() is None and time.monotonic() < end:
        now = kept(folder)
        count -= now != before
        before = now
        time.sleep(0.001)


def model_digest(folder: Path) -> str:
    return hashlib.sha256((folder / "digits.gscompile" / "model.onnx").read_bytes()).hexdigest()


def finished(folder: Path) -> str:
    """What a run says that nobody interrupts."""
    run = start(folder)
    _, said = run.communicate(timeout=600)
    assert run.returncode == 0, said
    return said


def test_a_run_that_is_stopped_again_and_again_ends_like_one_that_is_not(tmp_path: Path) -> None:
    moments = random.Random(5)
    for how, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        run = start(tmp_path)
        wait_for_news(tmp_path, run, moments.randrange(1, 15))
        run.send_signal(how)
        _, said = run.communicate(timeout=300)
        assert run.returncode == code, said
        assert [path.name for path in tmp_path.iterdir()] == [".digits.gscompile.resume"]
        if how != signal.SIGKILL:
            assert said.splitlines()[-1] == "gscompile: stopped; the same command goes on from where it was"
    assert "going on with .digits.gscompile.resume" in finished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["digits.gscompile"]
    (tmp_path / "whole").mkdir()
    finished(tmp_path / "whole")
    assert model_digest(tmp_path) == model_digest(tmp_path / "whole")


def test_a_second_compile_into_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with checkpoints_of(out):
        result = CliRunner().invoke(main, [str(SAMPLES / "digits.onnx"), "-o", str(out)])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"gscompile: {out}: process {os.getpid()} is compiling into it; choose another with -o, or wait"
    ]


# -- the time budget --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5 m", 90), (20, 20)])
def test_a_time_budget_is_seconds_or_a_text(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert Options(time_budget=text).seconds == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3s", "0", "5 days", "inf", "nan", "1e999", "9" * 400])
def test_any_other_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write a time, as in 90s, 30m or 2h"):
        Options(time_budget=text)


def test_a_run_out_of_time_ends_with_the_best_so_far(tmp_path: Path) -> None:
    data = ["--data", str(SAMPLES / "digits_train.npz"), "--eval", str(SAMPLES / "digits_val.npz")]
    out = tmp_path / "digits.gscompile"
    more = [*COMMAND, "--time-budget", "0.1s", "-o", str(out)]
    result = CliRunner().invoke(main, [str(SAMPLES / "digits.onnx"), *data, *more])
    assert result.exit_code == 0, result.stderr
    assert list(tmp_path.iterdir()) == [out]


def test_a_journal_that_is_a_link_is_refused_and_its_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / ".out.resume").symlink_to("mine")
    with pytest.raises(OutputError, match="is a symbolic link; expected a folder"), checkpoints_of(tmp_path / "out"):
        pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x" * 99)
    (tmp_path / ".out.resume").mkdir()
    (tmp_path / ".out.resume" / "lock").symlink_to("../thesis.tex")
    says = r"\.out\.resume/lock: is a symbolic link; expected a lock that gscompile made, or nothing$"
    with pytest.raises(OutputError, match=says), checkpoints_of(tmp_path / "out"):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "x" * 99


def test_a_disk_without_a_byte_of_room_is_one_line_and_no_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    says = "/out: cannot be written: No space left on device$"
    with pytest.raises(OutputError, match=says), checkpoints_of(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_only_names_of_a_journal_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".out.resume").mkdir()
    (tmp_path / ".out.resume" / "notes").write_text("mine")
    with checkpoints_of(tmp_path / "out"):
        pass
    assert [path.name for path in (tmp_path / ".out.resume").iterdir()] == ["notes"]
