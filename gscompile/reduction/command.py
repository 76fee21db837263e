"""A command that fails on a model: run on a part of it, and compared with the first failure."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from gscompile.errors import UsageError

_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|\d[\d.,e+-]*")  # quoted names, paths and numbers


@dataclass(frozen=True)
class Failure:
    """The exit code of a command, and its last line on stderr without names, paths and numbers."""

    exit_code: int
    message: str


@dataclass(frozen=True)
class FailingCommand:
    """A command line in which `model`, or {}, stands for the model file.

    `seconds` is the time after which a run counts as hung, which is a failure of its own kind. `compare_messages` also
    asks for the same message, beside the same exit code.
    """

    words: tuple[str, ...]
    model: str
    seconds: float = 600.0
    compare_messages: bool = True

    def run(self, model: onnx.ModelProto | Path) -> Failure | None:
        """Return how the command fails on `model`; None where it ends with exit code 0. Raises UsageError."""
        with tempfile.TemporaryDirectory(prefix="gscompile-") as folder:
            path = model if isinstance(model, Path) else Path(folder, "model.onnx")
            if not isinstance(model, Path):
                onnx.save(model, path)
            return self._run(path.resolve(), Path(folder))

    def _run(self, path: Path, folder: Path) -> Failure | None:
        words = [str(path) if word in (self.model, "{}") else word for word in self.words]
        try:
            ended = subprocess.run(
                words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return Failure(-1, "timed out")
        except OSError as problem:
            raise UsageError(f"{self.words[0]}: cannot be run: {problem.strerror}") from problem
        if ended.returncode == 0:
            return None
        lines = ended.stderr.decode("utf-8", "replace").strip().splitlines() or [""]
        return Failure(ended.returncode, _VARIES.sub("*", lines[-1]) if self.compare_messages else "")


def placed(words: Sequence[str], model: str) -> tuple[str, ...]:
    """Return the command with its model; UsageError where neither {} nor the model is among its words."""
    if not words:
        raise UsageError("reduce: no command given; write it after --, as in -- gscompile {} --crossbar 64x64")
    if model not in words and "{}" not in words:
        raise UsageError(f"reduce: the command does not name the model; expected {model!r} or {{}} among its words")
    return tuple(words)
