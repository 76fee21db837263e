"""The output folder: written beside its place and renamed at the end, so that a half-written one never exists."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gscompile.errors import OutputError


def check_free(out: Path, force: bool) -> None:
    """Raise OutputError unless `out` can be created (or, with `force`, replaced: an earlier output, nothing else)."""
    if out.exists() and not force:
        raise OutputError(f"{out}: exists; choose another with -o, or replace it with --force")
    if out.exists() and not any((out / name).is_file() for name in ("netlist.json", "frontier.json")):
        raise OutputError(f"{out}: not an output folder of gscompile; --force replaces nothing else")
    parent = out.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"{parent}: no such folder to write {out.name} in")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent}: cannot be written")


@contextmanager
def staged(out: Path, force: bool) -> Iterator[Path]:
    """A folder to fill; it becomes `out` when the block ends well and is removed when it does not."""
    check_free(out, force)
    stage = out.absolute().with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        stage.mkdir()
        yield stage
        _move(stage, out)
    except OSError as problem:
        raise OutputError(f"{out}: cannot be written: {problem.strerror or problem}") from problem
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, out: Path) -> None:
    """Put the new folder in place; an old one moves aside first and is only then removed."""
    old = stage.with_suffix(".old")
    if out.exists():
        out.rename(old)
    try:
        stage.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
