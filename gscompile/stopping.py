"""Ctrl-C and SIGTERM end a run alike: as an exception, so that everything is tidied up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """The process was asked to end; `signal` says how."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Within, SIGINT and SIGTERM raise Stopped; only the main thread can have that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_late: list[int] | None = None  # signals that came within `unstopped`; None outside


@contextmanager
def unstopped() -> Iterator[None]:
    """Hold Stopped back to the end of the block, for code that an exception between two lines leaves half made.

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
