"""Whatever happens to a compile: no folder that verifies but is wrong, no input lost, one clear line, a way on."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.errors import ModelError, OutputError
from gscompile.graph import shelved_network
from gscompile.graph import weight_store as shelf
from gscompile.graph.network import Network
from gscompile.hardware.target import load_target
from gscompile.judging.files_check import sha256
from gscompile.judging.verify import verify_again
from gscompile.onnx_files import loading
from gscompile.placement.place import PlaceOptions
from gscompile.placement.place_folder import place_folder
from gscompile.simulation.simulate import Figure, SimulationReport
from gscompile.simulation.simulation_files import write_simulation
from gscompile.training import checkpoint as journal
from gscompile.write import write_report
from tests.small_networks import model

TEXT = """g (float[n,12] x) => (float[n,8] y) <float[12,10] a, float[10] b, float[10,8] c>
    { h = Gemm (x, a, b)  i = Relu (h)  y = MatMul (i, c) }"""
KILLS, NEVER = 10, 10**9
FILES = ("model.onnx", "netlist.json", "tiles.npz")  # the same in every run, whatever the time


def digests(folder: Path) -> dict[str, str]:
    return {name: sha256(folder / name) for name in FILES}


def compile_small(folder: Path, **options: object) -> None:
    gscompile.compile(folder / "m.onnx", out=folder / "out", passes=("drop-dead-units",), **options)  # type: ignore[arg-type]


def write_small(folder: Path, factor: float = 1.0) -> None:
    folder.mkdir(exist_ok=True)
    onnx.save(model(TEXT, a=factor * np.eye(12, 10), c=np.ones((10, 8))), folder / "m.onnx")


def at_event(number: int, act: Callable[[], None]) -> list[int]:
    """Act at the event of that number among those that touch files, from now on; returns the count."""
    seen = [0]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        written = event == "open" and "w" in str(arguments[1])
        if written or event in ("os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.truncate"):
            seen[0] += 1
            if seen[0] == number:
                act()

    sys.addaudithook(hook)
    return seen


def in_child(work: Callable[[], int]) -> int:
    """The exit code of a process of its own that does the work; negative for a signal."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(number: int, folder: Path, force: bool) -> int:
    def work() -> int:
        seen = at_event(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        compile_small(folder, force=force)
        return min(seen[0], 255)

    return in_child(work)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("force", [False, True], ids=["new", "replacing"])
def test_a_compile_that_is_killed_leaves_what_was_there_or_all_of_the_new(force: bool, tmp_path: Path) -> None:
    before, here = tmp_path / "before", tmp_path / "here"
    write_small(before)
    if force:
        write_small(before, factor=2.0)
        assert killed_at(NEVER, before, False) > 8
    earlier = digests(before / "out") if force else None
    write_small(before)
    shutil.copytree(before, here)
    events = killed_at(NEVER, before, force)
    source, wanted = (here / "m.onnx").read_bytes(), digests(before / "out")
    assert events > 8
    for number in sorted(random.Random(0).sample(range(1, events), KILLS // 2)):
        assert killed_at(number, here, force) == -signal.SIGKILL
        assert (here / "m.onnx").read_bytes() == source
        with journal.checkpoints_of(here / "out"):  # what the next compile does first
            pass
        if (here / "out").exists():
            verify_again(here / "out")
            assert digests(here / "out") in (wanted, earlier)
        else:
            assert earlier is None
    assert killed_at(NEVER, here, True) > 8
    assert digests(here / "out") == wanted
    assert sorted(path.name for path in here.iterdir()) == ["m.onnx", "out"]


def test_a_model_that_changes_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small(tmp_path)

    def and_meanwhile(*arguments: object) -> None:
        write_report(*arguments)  # type: ignore[arg-type]
        write_small(tmp_path, factor=3.0)

    monkeypatch.setattr("gscompile.driver.write_report", and_meanwhile)
    with pytest.raises(ModelError, match=r"m\.onnx: changed while it was read; start again when it is complete"):
        compile_small(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_external_data_cut_short_after_it_was_read_does_no_harm(tmp_path: Path) -> None:
    write_small(tmp_path)
    onnx.save(
        onnx.load(tmp_path / "m.onnx"), tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    network = Network.load(tmp_path / "m.onnx")
    (tmp_path / "w").write_bytes(b"")
    assert network.layer("n0").matrix.sum() == 10
    with pytest.raises(ModelError, match="changed while it was read"):
        network.check_files()


def test_no_room_for_a_shelf_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelved_network, "MIN_SHELVED_BYTES", 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shelf.WeightStore, "put", full)
    write_small(tmp_path)
    with pytest.raises(OutputError, match=r"\.shelf: cannot be written: No space left on device"):
        compile_small(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_full_place_for_temporary_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkdtemp", full)
    write_small(tmp_path)
    with pytest.raises(OutputError, match=r"no temporary folder can be made \(No space left on device\); give out="):
        gscompile.compile(tmp_path / "m.onnx")


def test_a_model_of_several_names_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAPPED", 1)
    write_small(tmp_path)
    os.link(tmp_path / "m.onnx", tmp_path / "again.onnx")
    assert Network.load(tmp_path / "again.onnx").layer("n0").matrix.sum() == 10


# -- a disk that is full, or may not be written to, from any moment on ------------------------------------------------

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def full_from(number: int, folder: Path, code: int) -> list[int]:
    """From the write of that number on, counted below `folder`, none is possible; returns the count."""
    seen = [0]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if (opened or event in ("os.mkdir", "os.rename")) and str(arguments[0]).startswith(str(folder)):
            seen[0] += 1
            if seen[0] >= number:
                raise OSError(code, os.strerror(code))

    sys.addaudithook(hook)
    return seen


def end_of(work: Callable[[], None], seen: list[int]) -> int:
    """The number of writes where all is well, 200 for our own one line about the disk, 201 for any other end."""
    try:
        work()
    except OutputError as problem:
        told = "cannot be written: " in str(problem) and "\n" not in str(problem)
        return 200 if told else 201
    except BaseException:
        return 201
    return seen[0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("force", [False, True], ids=["new", "replacing"])
def test_a_disk_that_is_full_from_any_write_on_is_one_line_and_what_was_there_stays(
    force: bool, code: int, tmp_path: Path
) -> None:
    write_small(tmp_path, factor=2.0)
    if force:
        compile_small(tmp_path)
    earlier = digests(tmp_path / "out") if force else None
    write_small(tmp_path)

    def compile_until(number: int) -> int:
        return in_child(lambda: end_of(lambda: compile_small(tmp_path, force=force), full_from(number, tmp_path, code)))

    number = 1
    while (end := compile_until(number)) >= 200:
        assert end == 200, f"at write {number}"
        # what cannot be moved back lies beside it until the next compile
        with journal.checkpoints_of(tmp_path / "out"):
            pass
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["m.onnx", *(["out"] if force else [])]
        if force:
            assert verify_again(tmp_path / "out")
            assert digests(tmp_path / "out") == earlier
        number += 1
    assert number > 8
    assert end == number - 1
    assert digests(tmp_path / "out") != earlier


# -- what is written into an output folder later ---------------------------------------------------------------------


def placing(out: Path, target: str) -> None:
    place_folder(out, load_target(target), PlaceOptions("shelves"))


def simulating(out: Path, target: str) -> None:
    figures = Figure("target", 0, (50.0,)), Figure("adc_bits", 3, (25.0,))
    write_simulation(SimulationReport(1, 0.0, 1, 0, {}, "labels", None, 99.0, target, figures), out / "simulate")


LATER = pytest.mark.parametrize("later", [placing, simulating])


def contents(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.rglob("*") if path.is_file()}


def settled(folder: Path, later: Callable[[Path, str], None]) -> list[dict[str, str]]:
    """A compiled network with what is written later for one target; returns that, and the same for another target."""
    write_small(folder)
    compile_small(folder)
    wanted = []
    for target in ("macro_128", "rram_45nm", "macro_128"):
        later(folder / "out", target)
        wanted.append(contents(folder / "out"))
    assert wanted[0] == wanted[2] != wanted[1]
    return wanted[:2]


@LATER
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_while_it_is_written_what_comes_later_is_the_old_or_the_new(
    later: Callable[[Path, str], None], tmp_path: Path
) -> None:
    old, new = settled(tmp_path, later)
    out = tmp_path / "out"

    def killed(number: int) -> int:
        def work() -> int:
            seen = at_event(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
            later(out, "rram_45nm")
            return seen[0]

        return in_child(work)

    number = 1
    while (end := killed(number)) == -signal.SIGKILL:
        held = {path.name: sha256(path) for path in out.rglob("*") if ".partial" not in str(path) and path.is_file()}
        assert held in (old, new), f"at event {number}"
        assert verify_again(out)
        number += 1
    assert 5 < end < number  # on the way what the killed ones left was removed, too
    assert contents(out) == new
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@LATER
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_disk_that_is_full_meanwhile_is_one_line_and_what_was_there_stays(
    code: int, later: Callable[[Path, str], None], tmp_path: Path
) -> None:
    old, new = settled(tmp_path, later)
    out, number = tmp_path / "out", 1

    def written_until(number: int) -> int:
        return in_child(lambda: end_of(lambda: later(out, "rram_45nm"), full_from(number, out, code)))

    while (end := written_until(number)) >= 200:
        assert end == 200, f"at write {number}"
        assert contents(out) == old
        number += 1
    assert end == number - 1 > 5
    assert contents(out) == new
