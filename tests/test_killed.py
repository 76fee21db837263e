"""Killed at any write, a compile leaves nothing half-written, and the same command comes to the same end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gscompile.judging.verify import verify_again
from tests.small_data import DATA, SEARCH, write_inputs

# Python tells an audit hook of every file that is opened, renamed or removed. A process kills itself at the n-th of
# those in its folder that change something, before it happens. Processes are forked, since imports take seconds.
FORKED = """
import os, signal, sys
import gscompile.driver, gscompile.training.kfac_moments, gscompile.training.make_trainer, gscompile.write
from gscompile.cli import main

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}

def compile_until(moment, folder, arguments):
    left = moment
    def count(event, what):
        nonlocal left
        writes = event == "open" and (what[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        named = (writes or event in CHANGES) and isinstance(what[0], (str, os.PathLike))
        if named and os.path.abspath(what[0]).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    os.chdir(folder)
    sys.addaudithook(count)
    try:
        main(arguments)
    except SystemExit as end:
        os._exit(end.code or 0)  # a fork has none of the threads that libraries would wait for

for line in sys.stdin:
    moment, folder = line.split()
    child = os.fork()
    if not child:
        compile_until(int(moment), folder, sys.argv[1:])
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
FILES = ("model.onnx", "netlist.json", "tiles.npz")


class Compiler:
    """Compiles again and again, in processes of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, folder: Path, moment: int) -> int:
        """The exit code of a compile in `folder`, killed at the change of that number; 0: not at all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{moment} {folder}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def compiler() -> Iterator[Compiler]:
    command = [sys.executable, "-c", FORKED, "mlp.onnx", *DATA, *SEARCH, "-o", "out", "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Compiler(process)
        finally:
            process.kill()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system does not fork")
def test_a_compile_that_is_killed_again_and_again_comes_to_the_same_end(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
        write_inputs(folder)
    moments, kills = random.Random(1), 0
    with compiler() as process:
        assert process.run(whole, 0) == 0
        while not (cut / "out").exists():
            code = process.run(cut, moments.randrange(2, 16))
            assert code in (0, -signal.SIGKILL)
            kills += code != 0
            assert kills < 100, "no run gets further than the one before"
    assert kills >= 2
    assert verify_again(cut / "out")
    for name in FILES:
        assert (cut / "out" / name).read_bytes() == (whole / "out" / name).read_bytes(), name
