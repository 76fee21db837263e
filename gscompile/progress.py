"""Report the progress of long work; the command line shows it, everything else is silent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from gscompile.printable import printable


class Progress:
    """A silent receiver of stages, steps and messages."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:  # noqa: ARG002
        """Enter a pass or another piece of work that takes a while."""
        yield

    def steps(self, done: int, total: int) -> None:
        """Receive `done` of `total` optimiser steps of a training run."""

    def figures(self, **figures: float) -> None:
        """Receive the state of the search: accuracy in percent, cells, wires."""

    def say(self, message: str) -> None:
        """Receive a line for the user."""


class TerminalProgress(Progress):
    """A bar on stderr: the stage, the training run with the time it has left, and the state of the search.

    If stderr is no terminal, it prints a line for every stage and every figure instead.
    """

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._began, self._shown = time.monotonic(), 0.0
        self._console = Console(stderr=True, highlight=False)
        columns = (
            TextColumn("{task.description:16}"),
            BarColumn(24),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}"),
        )
        self._bars = Bars(*columns, TimeElapsedColumn(), console=self._console, transient=True)
        self._task: Any = self._bars.add_task("reading", total=None, now="")
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()  # elsewhere it would print an empty line

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._bars.update(self._task, description=name, total=None, completed=0)
        self._line(name)
        yield

    def steps(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown > 0.2 or done == total:  # drawing costs more than a small step
            self._shown = now
            self._bars.update(self._task, total=total, completed=done)

    def figures(self, **figures: float) -> None:
        now = "  ".join(
            f"{name} {value:.2f} %" if name == "accuracy" else f"{name} {value:,.0f}" for name, value in figures.items()
        )
        self._bars.update(self._task, now=now)
        self._line(f"  {now}")

    def say(self, message: str) -> None:
        self._line(message)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            line = f"[{time.monotonic() - self._began:6.0f} s] {printable(text)}"
            self._console.print(line, markup=False, soft_wrap=True)
