"""Checkpoints of a compile, in a folder beside OUT, from which the same command resumes.

All results follow from the network, the data, the options and the seed, and only training takes long. The checkpoints
are therefore training runs: `0007-DIGEST.npz` holds the final weights of run 7 or a snapshot of it, where the digest is
that of all that the run depends on. The outputs of another teacher are saved too, an epoch a file. A file is written
completely or not at all. The folder is removed when OUT is written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.declaration import declarations
from gscompile.errors import BudgetError, OutputError
from gscompile.files.staging import is_aside, tidy
from gscompile.progress import Progress
from gscompile.stopping import unstopped
from gscompile.version import __version__

if TYPE_CHECKING:
    from gscompile.data.dataset import Dataset
    from gscompile.graph.network import Network
    from gscompile.options import Options

NamedArrays = dict[str, NDArray[Any]]
SNAPSHOT_SECONDS = 20.0  # seconds between snapshots within a training run, so that a kill loses less than a minute
_SHARE = 50  # times the duration of a snapshot, until the next one is taken: 2 % of the time at most
_SEEN_SAMPLES, _SEEN_BYTES = 4096, 64 << 20  # samples and bytes of the data that its digest reads
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_OURS = re.compile(r"lock|(key|[\w-]+\.npz)(\.part)?", re.ASCII)  # names of files that this module writes
_UNREADABLE_CHECKPOINT = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile)


class Checkpoints:
    """Named arrays in a folder; without a folder nothing is saved.

    When the folder cannot be written (a full disk), the compile continues without further checkpoints.
    """

    def __init__(
        self, folder: Path | None = None, progress: Progress | None = None, every: float | None = None
    ) -> None:
        self.folder, self.progress = folder, progress or Progress()
        self._every = SNAPSHOT_SECONDS if every is None else every
        self._next = time.monotonic() + self._every

    @property
    def names(self) -> list[str]:
        """Return the names of the saved training runs, in the order in which they were started."""
        return sorted(path.stem for path in self.folder.glob("[0-9]*.npz")) if self.folder else []

    @property
    def due(self) -> bool:
        """Return True if it is time for the next snapshot."""
        return self.folder is not None and time.monotonic() >= self._next

    def claim(self, key: str) -> None:
        """Resume from checkpoints of the same key, or remove those of another key; the user sees a message of it."""
        if self.folder is None:
            return
        names, is_same = self.names, (_read(self.folder / "key") == key)
        if not is_same:
            if names:
                self.progress.say(
                    f"{self.folder.name} is of another command, other data or another gscompile: starting over"
                )
            self.clear()
        elif names:
            self.progress.say(f"going on with {self.folder.name}, training runs in it: {len(names)}")
        self._write("key", lambda path: path.write_text(key, "utf-8"))

    def load(self, name: str) -> NamedArrays | None:
        """Return the arrays that were saved under a name; None if there are none or the file is broken."""
        if self.folder is None:
            return None
        try:
            path = self.folder / f"{name}.npz"
            with unstopped(), _opened(path) as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except _UNREADABLE_CHECKPOINT:
            return None

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Save arrays under a name and replace those saved before."""
        began = time.monotonic()
        self._write(f"{name}.npz", lambda path: _save(path, arrays))
        now = time.monotonic()
        self._next = now + max(self._every, _SHARE * (now - began) if self._every else 0.0)

    def clear(self) -> None:
        """Remove all checkpoints."""
        for path in self.folder.iterdir() if self.folder else ():
            if _OURS.fullmatch(path.name) and path.name != "lock" and (path.is_symlink() or path.is_file()):
                path.unlink(missing_ok=True)

    def _write(self, name: str, write: Any) -> None:
        if self.folder is None:
            return
        part = self.folder / f"{name}.part"
        try:
            with suppress(FileNotFoundError):
                part.unlink()  # a link that somebody put there is not written through
            write(part)
            part.replace(self.folder / name)
        except OSError as problem:
            self.progress.say(f"{self.folder.name}: nothing more is kept there: {problem.strerror or problem}")
            with suppress(OSError):
                part.unlink()
            self.folder = None


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with unstopped(), path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _opened(path: Path) -> IO[bytes]:
    """Open a file for reading. Raises OSError if it is a link or no plain file."""
    file = os.fdopen(os.open(path, os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a plain file")
    return file


def _read(path: Path) -> str | None:
    try:
        with _opened(path) as file:
            return file.read().decode("utf-8")
    except (OSError, ValueError):
        return None


# -- the folder -------------------------------------------------------------------------------------------------


def resume_folder(out: Path) -> Path:
    """Return the folder of the checkpoints of a compile into `out`."""
    return out.absolute().with_name(f".{out.name}.resume")


def is_begun(out: Path) -> bool:
    """Return True if there are checkpoints from which the next compile into `out` can continue."""
    return bool(Checkpoints(resume_folder(out)).names)


def bring_back(out: Path) -> None:
    """Restore an output that a killed process had moved aside. Raises OutputError."""
    if is_aside(out):
        folder = resume_folder(out)
        with _locked(folder, out):
            tidy(out)
            if not Checkpoints(folder).names:
                _remove(folder)


@contextmanager
def checkpoints_of(out: Path, resume: bool = True, progress: Progress | None = None) -> Iterator[Checkpoints]:
    """Lock and return the checkpoints of a compile into `out`; without `resume` earlier ones are removed.

    They are removed when the block ends, or raises BudgetError, since there is nothing to resume then. After any other
    exception they stay. Raises OutputError if another process compiles into `out`.
    """
    folder = resume_folder(out)
    with _locked(folder, out):
        tidy(out)
        checkpoints = Checkpoints(folder, progress)
        if not resume:
            checkpoints.clear()
        done = True
        try:
            yield checkpoints
        except BudgetError:
            raise
        except BaseException:
            done = not Checkpoints(folder).names
            raise
        finally:
            if done:
                _remove(folder)


@contextmanager
def _locked(folder: Path, out: Path) -> Iterator[None]:
    """Create a folder and hold its lock; the system releases the lock when the process ends, however it ends."""
    try:
        lock = _lock(folder, out)
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written: {problem.strerror or problem}") from problem
    try:
        _sign(lock, folder, out)
        yield
    finally:
        os.close(lock)


def _sign(lock: int, folder: Path, out: Path) -> None:
    """Write the number of this process into its lock. Raises OutputError if the disk is full."""
    try:
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except OSError as problem:
        if not Checkpoints(folder).names:
            _remove(folder)
        raise OutputError(f"{out}: cannot be written: {problem.strerror or problem}") from problem


def _remove(folder: Path) -> None:
    """Remove checkpoints, the lock after them, and the folder if it contains nothing else."""
    with suppress(OSError):
        Checkpoints(folder).clear()
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()


def _check_own(folder: Path) -> None:
    """Raise OutputError if the folder is a link, a file or another user's, before anything is changed there."""
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(about.st_mode) else "a file"
        raise OutputError(f"{folder}: is {kind}; expected a folder that gscompile made, or nothing")
    if hasattr(os, "getuid") and about.st_uid not in (os.getuid(), 0):
        raise OutputError(f"{folder}: belongs to user {about.st_uid}; expected a folder of one's own, or nothing")


def _lock(folder: Path, out: Path) -> int:
    path = folder / "lock"
    while True:
        with suppress(FileExistsError):
            folder.mkdir()
        try:
            _check_own(folder)
            _check_link(path)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o644)
            _check_lock(path, lock)
        except FileNotFoundError:  # its last holder has just removed the folder
            continue
        if not _take(lock):
            owner = _read(path)
            os.close(lock)
            raise OutputError(f"{out}: process {owner or '?'} is compiling into it; choose another with -o, or wait")
        if path.exists() and os.path.samestat(os.fstat(lock), path.lstat()):
            return lock
        os.close(lock)


def _check_link(path: Path) -> None:
    if path.is_symlink():
        raise OutputError(f"{path}: is a symbolic link; expected a lock that gscompile made, or nothing")


def _check_lock(path: Path, lock: int) -> None:
    about = os.fstat(lock)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        os.close(lock)
        raise OutputError(f"{path}: is no lock of gscompile; expected a plain file without other names, or nothing")


def _take(lock: int) -> bool:
    """Take the lock; return False if another process has it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# -- the key of a command ---------------------------------------------------------------------------------------


def key_of(networks: Iterable[Network | None], options: Options, datasets: Iterable[Dataset]) -> str:
    """Return a digest of all that the training of a command depends on: networks, data, code and options.

    `networks` are the original and another teacher. Options count that are declared with `affects_training`.
    """
    declared, plain = declarations(type(options)), options.plain()
    values = {name: value for name, value in plain.items() if declared[name].about.affects_training}
    functions = [part for function in options.functions for part in function.identity()]
    models = [network.to_proto().SerializeToString() for network in networks if network is not None]
    parts = (data_digest(data) for data in datasets)
    return digest(__version__, code_digest(), sorted(values.items()), *models, *functions, "data", *parts)


@cache
def code_digest(folder: Path = Path(__file__).parents[1]) -> str:
    """Return a digest of the sources of gscompile, since checkpoints of other code must not be resumed."""
    sources = sorted(path for pattern in ("*.py", "*/*.py") for path in folder.glob(pattern))
    return digest(*(part for path in sources for part in (path.name, path.read_bytes())))


def digest(*parts: object) -> str:
    """Return a digest of arrays, bytes and the text of other values, as 24 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=12)
    for part in parts:
        head = f"{part.dtype} {part.shape}" if isinstance(part, np.ndarray) else type(part).__name__
        body = _bytes(part)
        state.update(f"{head} {len(body)}\n".encode())
        state.update(body)
    return state.hexdigest()


def _bytes(part: object) -> bytes | memoryview:
    if isinstance(part, np.ndarray) and part.dtype != object:
        return np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
    return part if isinstance(part, bytes) else str(part).encode()


def data_digest(data: Dataset) -> str:
    """Return a digest of the samples, or of some thousands that are spread over the data."""
    first = data.batch(np.arange(1))
    size = sum(array.nbytes for array in first.inputs.values()) or 1
    count = max(1, min(len(data), _SEEN_SAMPLES, _SEEN_BYTES // size))
    rows = np.linspace(0, len(data) - 1, count).astype(np.int64)
    chunks = np.split(rows, count) if data.ready_made else [rows]
    return digest(len(data), *(part for chunk in chunks for part in _parts(data, chunk)))


def _parts(data: Dataset, rows: NDArray[np.int64]) -> Iterator[object]:
    batch = data.batch(rows)
    for name, array in batch.inputs.items():
        yield name
        yield array
    yield batch.labels
