"""Standard streams that may be closed, full or unread: writing to them never raises, and the failure is kept."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

_STREAM_MODES = {0: os.O_RDONLY, 1: os.O_WRONLY, 2: os.O_WRONLY}  # descriptors of the standard streams


class _Kept(io.FileIO):
    """A file that takes whatever is written to it; `failure` is the first error of the system."""

    failure: OSError | None = None
    told = False  # whether somebody has taken the failure

    def write(self, data: object) -> int:
        """Write all of `data`, or keep the error."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        done = 0
        try:
            while self.failure is None and done < len(view):
                done += super().write(view[done:]) or 0
        except OSError as problem:
            self.failure = problem
        return len(view)


class _GuardedText(io.TextIOWrapper):
    """A standard stream of this process that never raises."""


def guard_streams() -> None:
    """Replace the streams of this process by ones that never raise; closed ones lead to the null device.

    A descriptor that is closed would be given to the next file that is opened, and what a library prints would land
    in that file. Streams that somebody else has replaced already (a test, a notebook) stay.
    """
    for number, flags in _STREAM_MODES.items():
        _open_if_closed(number, flags)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(sys.stderr, 2)


def reopen_streams() -> None:
    """Replace standard streams that somebody closed, of those that `guard_streams` made."""
    if _is_closed_guard(sys.stdout):
        sys.stdout = _guarded(None, 1)
    if _is_closed_guard(sys.stderr):
        sys.stderr = _guarded(None, 2)


def _is_closed_guard(stream: TextIO | None) -> bool:
    return isinstance(stream, _GuardedText) and stream.closed


def _open_if_closed(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError as problem:
        if problem.errno == errno.EBADF:
            null = os.open(os.devnull, flags)
            if null != number:
                os.dup2(null, number)
                os.close(null)


def _guarded(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()
    encoding = getattr(stream, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(_Kept(number, "w", closefd=False))
    lines = number == 2 or os.isatty(number)
    return _GuardedText(buffer, encoding=encoding, errors="backslashreplace", line_buffering=lines)


def take_failure(stream: TextIO) -> OSError | None:
    """Return the error that a guarded stream met, once; None for other streams, and where its reader went away."""
    with suppress(OSError, ValueError):
        stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    if not isinstance(raw, _Kept) or raw.failure is None or raw.told:
        return None
    raw.told = True
    return None if is_gone(raw.failure) else raw.failure


def is_gone(problem: OSError) -> bool:
    """Return whether the error says that nobody reads any more."""
    return isinstance(problem, BrokenPipeError)
