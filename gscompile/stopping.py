"""End a run on Ctrl-C or SIGTERM by an exception, so that everything is tidied up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """Raised when the process is asked to end; `signal` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Stopped for SIGINT and SIGTERM within the block; works in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_late: list[int] | None = None  # signals received within `unstopped`; None outside


@contextmanager
def unstopped() -> Iterator[None]:
    """Delay Stopped to the end of the block, for code that an exception between two lines would leave half done.

    `zipfile.ZipFile` is an example: interrupted in its constructor, it prints a traceback when it is collected.
    """
    global _late
    if _late is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    _late = late
    try:
        yield
    finally:
        _late = None
        if late:
            raise Stopped(late[0])


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    if _late is None:
        raise Stopped(number)
    _late.append(number)
