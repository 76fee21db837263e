"""Golden errors: read from the files of this folder, run on a desk, and written back."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from gscompile.cli import main

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.txt"))
PROGRESS = re.compile(r"\[ *\d+ s\]")  # seconds since the command began


@dataclass(frozen=True)
class Golden:
    """A command, as in `gscompile net.onnx --crossbar 0x8`, with its exit code and the whole text on stderr."""

    command: str
    exit_code: int
    text: str

    def __str__(self) -> str:
        return f"$ {self.command}\nexit {self.exit_code}\n{self.text}".rstrip()


def read(path: Path) -> Iterator[Golden]:
    """Yield the cases of a file: three parts each, with an empty line between two cases."""
    for case in re.split(r"\n\n+", path.read_text("utf-8").strip()):
        lines = [line for line in case.splitlines() if not line.startswith("#")]
        if lines:
            code = lines[1].removeprefix("exit ") if len(lines) > 1 else "-1"
            yield Golden(lines[0].removeprefix("$ "), int(code), "\n".join(lines[2:]))


def run(command: str, desk: Path) -> Golden:
    """Run a command in the folder `desk`, within this process."""
    program, *words = shlex.split(command)
    assert program == "gscompile", command
    before = Path.cwd()
    os.chdir(desk)
    try:
        done = CliRunner(env={"GSCOMPILE_DEBUG": ""}).invoke(main, words, prog_name="gscompile")
    finally:
        os.chdir(before)
    said = (line for line in done.stderr.replace(str(desk), "DESK").splitlines() if not PROGRESS.match(line))
    return Golden(command, done.exit_code, "\n".join(said).rstrip())
