"""The output folder: written beside its place and renamed at the end, so that a half-written one never exists."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gscompile.errors import OutputError
from gscompile.files.exchange import exchange

_OUTPUT_FILES = re.compile(
    r"model\.onnx(\.data)?|netlist\.json|tiles\.npz|report\.(json|html)|frontier\.(json|csv|svg)|place\.json|cost\.csv"
    r"|(floorplan|congestion)_(before|after)\.(svg|png)|simulation\.json|accuracy\.csv|accuracy(_\w+)?\.svg"
)
_FOLDERS = re.compile(r"place|simulate|point-\d+")
MAX_FOLDER_NAME_BYTES = (
    220  # bytes of an output folder's name: systems take 255, and some stand beside it while it is made
)


def check_free(out: Path, force: bool) -> None:
    """Raise OutputError unless `out` can be created (or, with `force`, replaced: an earlier output, nothing else)."""
    if len(os.fsencode(out.name)) > MAX_FOLDER_NAME_BYTES:
        raise OutputError(f"{out}: its name is too long; expected at most {MAX_FOLDER_NAME_BYTES} bytes")
    if out.is_symlink():
        raise OutputError(f"{out}: is a symbolic link; expected a folder, or nothing: name the folder it leads to")
    if out.exists() and not force:
        raise OutputError(f"{out}: exists; choose another with -o, or replace it with --force")
    if out.exists() and not _is_output(out):
        raise OutputError(f"{out}: not an output folder of gscompile; --force replaces nothing else")
    _check_own(out)
    check_parent(out)


def _check_own(folder: Path) -> None:
    """Raise OutputError where a folder that is there holds anything that gscompile did not write."""
    with _told(folder):
        foreign = _foreign(folder) if folder.exists() else []
    if foreign:
        raise OutputError(f"{folder}: holds {foreign[0]}, which gscompile did not write; move it elsewhere first")


def check_parent(out: Path) -> None:
    """Raise OutputError unless there is a folder to write `out` in, and it can be written."""
    parent = out.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"{parent}: no such folder to write {out.name} in")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent}: cannot be written")


def write_file(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all. Raises OutputError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with _told(path):
        part.unlink(missing_ok=True)  # of a killed process with this number, or a link that leads elsewhere
        try:
            with part.open("xb") as file:
                file.write(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def check_apart(out: Path, inputs: Iterable[object]) -> None:
    """Raise OutputError where one of the inputs lies in `out`, which would be replaced; only paths are looked at."""
    for each in inputs if _is_output(out) else ():
        if isinstance(each, str | os.PathLike) and os.path.exists(each):
            path = Path(os.fsdecode(each))
            if out.resolve() in (path.resolve(), *path.resolve().parents):
                raise OutputError(f"{out}: holds {path}, which is read; choose another with -o")


def _is_output(out: Path) -> bool:
    return any(os.path.isfile(out / name) for name in ("netlist.json", "frontier.json"))  # False for a name too long


def _foreign(out: Path) -> list[str]:
    """Return the paths within an earlier output of all that gscompile did not write, in order.

    gscompile writes files and folders of certain names, and those that the report lists with the sha256 they have.
    """
    listed, found = _listed(out / "report.json"), list[str]()
    for path in sorted(out.iterdir()):
        if path.is_dir() and not path.is_symlink() and _FOLDERS.fullmatch(path.name):
            found += [f"{path.name}/{name}" for name in _foreign(path)]
        elif not (_is_regular(path) and (_OUTPUT_FILES.fullmatch(path.name) or _is_as_listed(path, listed))):
            found.append(path.name)
    return found


def _is_regular(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _is_as_listed(path: Path, listed: Mapping[str, object]) -> bool:
    if path.name not in listed:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == listed[path.name]


def _listed(report: Path) -> dict[str, object]:
    """Return the sha256 of each file that the report of an output lists; none where it cannot be read."""
    try:
        return {**json.loads(report.read_text("utf-8"))["files"]}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}


@contextmanager
def staged(out: Path, force: bool) -> Iterator[Path]:
    """A folder to fill; it becomes `out` when the block ends well and is removed when it does not."""
    check_free(out, force)
    with _told(out), _filled(out) as stage:
        yield stage


@contextmanager
def renewed(folder: Path, mark: str) -> Iterator[Path]:
    """The same for a folder within an output: an earlier one, known by its file `mark`, is replaced.

    Processes that write at once wait for each other; what a killed one left there is removed. Raises OutputError.
    """
    if folder.is_symlink() or (folder.exists() and not (folder / mark).is_file()):
        raise OutputError(f"{folder}: cannot be written: it is there without a {mark}, and stays as it is")
    _check_own(folder)
    with _told(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder.parent):
            tidy(folder)
            with _filled(folder) as stage:
                yield stage


@contextmanager
def _told(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise OutputError(f"{out}: cannot be written: {problem.strerror or problem}") from problem


@contextmanager
def _filled(out: Path) -> Iterator[Path]:
    stage = out.absolute().with_name(f".{out.name}.{os.getpid()}.partial")
    stage.mkdir()
    try:
        yield stage
        _move(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, out: Path) -> None:
    """Put the new folder in place; what is then in the place of the stage goes with it."""
    if not out.exists():
        stage.rename(out)
    elif not exchange(stage, out):
        _move_aside(stage, out)


def _move_aside(stage: Path, out: Path) -> None:
    old = stage.with_suffix(".old")
    out.rename(old)
    try:
        stage.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def tidy(out: Path) -> None:
    """Remove what a process that was killed left beside `out`; an output that it had moved aside comes back."""
    for path in _left(out):
        if path.suffix == ".old" and not os.path.lexists(out):
            path.rename(out)
        else:
            shutil.rmtree(path, ignore_errors=True)


def is_aside(out: Path) -> bool:
    """Return whether `out` is missing and a process that was killed had moved an earlier one aside."""
    return not os.path.lexists(out) and any(path.suffix == ".old" for path in _left(out))


def _left(out: Path) -> list[Path]:
    """Folders of one's own beside `out` that have the names of those that are made while it is written."""
    pattern = re.compile(rf"\.{re.escape(out.name)}\.\d+\.(partial|old|shelf)")
    parent = out.absolute().parent
    found = [path for path in sorted(parent.iterdir()) if pattern.fullmatch(path.name)] if parent.is_dir() else []
    return [path for path in found if _is_own_folder(path)]


def _is_own_folder(path: Path) -> bool:
    about = path.lstat()
    return stat.S_ISDIR(about.st_mode) and (not hasattr(os, "getuid") or about.st_uid == os.getuid())


@contextmanager
def _alone_in(place: Path) -> Iterator[None]:
    """Hold the lock of a folder, where folders can be locked; the system lets it go when the process ends."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    lock = os.open(place, os.O_RDONLY)
    try:
        with suppress(OSError):  # not on every network's file system
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
