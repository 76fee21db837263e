"""Command lines in copies of one process that has imported everything, each with a fault in its surroundings.

Starting Python, onnxruntime and torch takes seconds, a copy takes none. A copy ends with the code that an interpreter
ends with: 1 and a traceback for an exception that nobody catches, 120 for streams that cannot be flushed. The rest of
an interpreter's end is left out, since onnxruntime waits there for threads that a copy does not have.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.checkout import ROOT, environment

WARM = ("driver", "curve", "training.kfac_moments", "simulation.simulate", "placement.place_folder", "reduction.reduce")


@dataclass(frozen=True)
class Ended:
    """The exit code of a command, and what it wrote."""

    code: int
    stdout: str
    stderr: str


class Commands:
    """The process that is copied; `run` gives it one command line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, arguments: Sequence[str], folder: Path, fault: str = "") -> Ended:
        """Run `gscompile ARGUMENTS` in a folder, with one of the faults of `_FAULTS`, and wait for its end."""
        return self._ended({"arguments": [*arguments], "folder": str(folder), "fault": fault})

    def run_script(self, name: str, folder: Path) -> Ended:
        """Run `python NAME` in a folder and wait for its end."""
        return self._ended({"script": name, "folder": str(folder), "fault": ""})

    def _ended(self, order: dict[str, Any]) -> Ended:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


@contextmanager
def commands() -> Iterator[Commands]:
    """Start the process; it ends with the block."""
    words = [sys.executable, "-m", "tests.forked_commands"]
    surroundings = environment(OMP_NUM_THREADS="1")
    with subprocess.Popen(
        words, cwd=ROOT, env=surroundings, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Commands(process)
        assert process.stdin
        process.stdin.close()


# -- in the process that is copied --------------------------------------------------------------------------------


def _serve() -> None:
    for name in WARM:
        import_module(f"gscompile.{name}")
    for line in sys.stdin:
        order = json.loads(line)
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            _become(out_end, err_end, order["folder"], order["fault"])
            os._exit(_code(partial(_run_script, order["script"]) if "script" in order else partial(_main, order)))
        os.close(out_end)
        os.close(err_end)
        said = [_read(out), _read(err)]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code, "stdout": said[0], "stderr": said[1]}), flush=True)


def _main(order: dict[str, Any]) -> None:
    from gscompile.cli import main

    main(order["arguments"])


def _run_script(name: str) -> None:
    sys.path.insert(0, os.getcwd())
    runpy.run_path(name, run_name="__main__")


def _code(work: Callable[[], object]) -> int:
    """Return the exit code of an interpreter that does the work."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        return 120
    return code


def _read(end: int) -> str:
    with os.fdopen(end, "rb") as stream:
        return stream.read().decode(errors="backslashreplace")


def _become(out: int, err: int, folder: str, fault: str) -> None:
    """Take the streams and the folder of a command, and meet the fault."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, 64)
    os.chdir(folder)
    if fault:
        _FAULTS[fault]()


def _closed_stdout() -> None:
    os.close(1)
    sys.stdout = sys.__stdout__ = None  # type: ignore[misc]  # as Python finds it then


def _closed_stderr() -> None:
    os.close(2)
    sys.stderr = sys.__stderr__ = None  # type: ignore[misc]


def _reader_gone() -> None:
    nobody, end = os.pipe()
    os.close(nobody)
    os.dup2(end, 1)


def _no_room_in_a_file() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _working_folder_gone() -> None:
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")


_FAULTS = {
    "closed stdout": _closed_stdout,
    "closed stderr": _closed_stderr,
    "full stdout": lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 1),
    "full stderr": lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 2),
    "reader gone": _reader_gone,
    "no home": lambda: os.environ.pop("HOME", None),
    "no room in a file": _no_room_in_a_file,
    "working folder gone": _working_folder_gone,
}

if __name__ == "__main__":
    _serve()
