"""Every command in every fault of its surroundings: the exit code that is right, no internal error, no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.forked_commands import Commands
from tests.small_networks import model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="faults as Linux makes them"),
]
TEXT = "g (float[n,4] x) => (float[n,3] y) <float[4,3] w> { y = MatMul (x, w) }"
SEARCH = "--data d.npz --effort quick --epochs 0.1"
COMMANDS = {
    "compile": "m.onnx -o new",
    "inspect": "inspect m.onnx",
    "verify": "verify out",
    "simulate": "simulate out --data d.npz --seeds 1",
    "place": "place out --engine shelves",
    "frontier": f"frontier m.onnx -o curve --points 3 {SEARCH}",
    "reduce": "reduce m.onnx -o less.onnx -- false {}",
    "help": "--help",
    "version": "--version",
}
WRITING = {"compile", "simulate", "place", "frontier", "reduce"}  # the others only print
PRINTING = COMMANDS.keys() - WRITING
# The commands that end in exit 2, by the fault; all others end in exit 0.
REFUSED = {
    "closed stdout": set[str](),
    "closed stderr": set[str](),
    "full stdout": PRINTING,  # what the others wrote is there, and stderr says so
    "full stderr": set[str](),
    "reader gone": set[str](),
    "no home": set[str](),
    "no room in a file": WRITING,
    "working folder gone": COMMANDS.keys() - {"help", "version"},
}
# The same for faults of the folder that the command runs in
REFUSED_THERE = {"read-only": WRITING, "full disk": WRITING, "name in Latin-1": set[str]()}


@pytest.fixture(scope="module")
def gscompile(forked: Commands) -> Commands:
    return forked


@pytest.fixture(scope="module")
def ready(gscompile: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data and an output."""
    folder = tmp_path_factory.mktemp("ready")
    onnx.save(model(TEXT), folder / "m.onnx")
    np.savez(folder / "d.npz", x=np.ones((40, 4), np.float32))
    assert gscompile.run(["m.onnx", "-q", "-o", "out"], folder).code == 0
    return folder


@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_fault_of_the_process(command: str, fault: str, gscompile: Commands, ready: Path, tmp_path: Path) -> None:
    here = shutil.copytree(ready, tmp_path / "here")
    check(gscompile, command, here, fault, command in REFUSED[fault])
    if fault == "full stdout" and command in WRITING:
        assert result_of(command, here).exists()


@pytest.mark.parametrize("fault", REFUSED_THERE)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_fault_of_the_folder(command: str, fault: str, gscompile: Commands, ready: Path, tmp_path: Path) -> None:
    with made(fault, ready, tmp_path) as here:
        check(gscompile, command, here, "", command in REFUSED_THERE[fault])
        assert result_of(command, here).exists() == (command in WRITING - REFUSED_THERE[fault])


def check(gscompile: Commands, command: str, here: Path, fault: str, refused: bool) -> None:
    before = sorted(here.iterdir())
    ended = gscompile.run(COMMANDS[command].split(), here, fault)
    assert ended.code == (2 if refused else 0), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "internal error" not in ended.stderr
    if refused:
        assert ended.stderr.splitlines()[-1].startswith("gscompile: ")
        assert sorted(here.iterdir()) == before


def result_of(command: str, here: Path) -> Path:
    """What a command writes."""
    names = {"compile": "new", "frontier": "curve", "reduce": "less.onnx"}
    return here / names.get(command, f"out/{command}")


@contextmanager
def made(fault: str, ready: Path, place: Path) -> Iterator[Path]:
    """A copy of the folder `ready` with a fault of its own."""
    if fault == "name in Latin-1":
        yield shutil.copytree(ready, place / os.fsdecode(b"g\xe4be"))
        return
    with mounted(place / "disk") as disk:
        here = shutil.copytree(ready, disk / "here")
        if fault == "read-only":
            run("mount", "-o", "remount,ro", str(disk))
        else:
            fill(disk)
        yield here


@contextmanager
def mounted(disk: Path) -> Iterator[Path]:
    """A disk of 1 MB, which only root can mount."""
    disk.mkdir()
    if os.getuid() or run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)):
        pytest.skip("only root mounts a disk, outside of containers that forbid it")
    try:
        yield disk
    finally:
        run("umount", "-l", str(disk))


def fill(disk: Path) -> None:
    with (disk / "full").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def run(*words: str) -> int:
    return subprocess.run(words, capture_output=True, check=False).returncode
