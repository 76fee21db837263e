"""Find and call the user's functions, given as callables or as `package.module:function`; errors take one line."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from gscompile.errors import GscompileError, UsageError, one_line
from gscompile.streams import reopen_streams

EXCEPTIONS = (Exception, SystemExit)  # what `Theirs` lets out, apart from KeyboardInterrupt


class UnusualError(Exception):
    """Stands for an error of the user's code that is not an Exception, such as asyncio's CancelledError, its cause."""


class Theirs:
    """A context manager for the user's code.

    A call of `os._exit`, also under a name that another module took it by, raises SystemExit instead of ending this
    process silently. An error that is not an Exception, and that no caller would catch, becomes one. The user's code
    has a working folder of its own, from one entry to the next.
    """

    def __init__(self) -> None:
        self._there: str | None = None

    def __enter__(self) -> None:
        self._here, self._exit = os.getcwd(), os._exit
        self._streams = sys.stdin, sys.stdout, sys.stderr
        if self._there is not None:
            os.chdir(self._there)
        ours, ends = os.getpid(), self._exit

        def end(status: int) -> NoReturn:
            if os.getpid() == ours:
                raise SystemExit(status)
            ends(status)  # in a process that the user's code forked

        self._holders = [*_holders_of(ends)]
        for names in self._holders:
            names["_exit"] = end

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for names in self._holders:
            names["_exit"] = self._exit
        sys.stdin, sys.stdout, sys.stderr = self._streams
        reopen_streams()
        with suppress(OSError):
            self._there = os.getcwd()
        os.chdir(self._here)
        if error is not None and not isinstance(error, (*EXCEPTIONS, KeyboardInterrupt)):
            raise UnusualError from error


def _holders_of(function: object) -> Iterator[dict[str, Any]]:
    """Yield the names of each module in which `_exit` is that function: of os, and of modules that took it from os."""
    for module in [*sys.modules.values()]:
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict) and names.get("_exit") is function:
            yield names


@dataclass(frozen=True)
class UserFunction:
    """`function`, given for the option `option`; calling it raises UsageError for whatever it raises."""

    option: str
    name: str
    function: Callable[..., Any]

    @classmethod
    def of(cls, option: str, given: Any) -> UserFunction:
        """Return a user function from a callable, or import it by name. Raises UsageError for anything else."""
        if callable(given):
            return cls(option, called(given), given)
        if not re.fullmatch(r"[\w.]+:\w+", str(given), re.ASCII):
            raise UsageError(f"{option} {given!r}: write package.module:function")
        try:
            found = imported(given)
        except EXCEPTIONS as problem:
            raise UsageError(f"{option} {given}: cannot be imported ({said(problem)})") from problem
        if not callable(found):
            raise UsageError(f"{option} {given}: is of type {type(found).__name__}; name a function")
        return cls(option, given, found)

    def __call__(self, *arguments: Any) -> Any:
        try:
            with Theirs():
                return self.function(*arguments)
        except GscompileError:
            raise
        except EXCEPTIONS as problem:
            raise self.wrong(f"raised an error ({said(problem)})") from problem

    def wrong(self, what: str) -> UsageError:
        """Return the error that says what the function did."""
        return UsageError(f"{self.option} {self.name}: {what}")

    def identity(self) -> tuple[object, ...]:
        """Return a text that changes when the function or its file changes."""
        return self.option, self.name, repr(_inside(self.function)), _source(self.function)


def imported(name: str) -> Any:
    """Return the object that `package.module:name` names."""
    module, _, function = name.partition(":")
    with working_folder_importable(), Theirs():
        return getattr(import_module(module), function)


def called(function: Callable[..., Any]) -> str:
    """Return how a report names a callable: `module:function`, or its class if it has no name.

    >>> called(max), called(re.compile("a").match)
    ('builtins:max', 'Pattern.match')
    """
    name = getattr(function, "__qualname__", None)
    if name is None:
        return f"<{type(function).__name__}>"
    return f"{function.__module__}:{name}" if getattr(function, "__module__", None) else str(name)


@contextmanager
def working_folder_importable() -> Iterator[None]:
    """Make modules in the working folder importable, as `python -m` does."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have changed the list
            sys.path.remove(here)


def _inside(function: Callable[..., Any]) -> object:
    """Return what distinguishes functions of one name and file: code, defaults and captured values."""
    code = getattr(function, "__code__", None)
    if code is None:
        return function
    plain = [value for value in code.co_consts if not inspect.iscode(value)]
    captured = [cell.cell_contents for cell in function.__closure__ or ()]
    defaults = function.__defaults__, function.__kwdefaults__
    return code.co_firstlineno, code.co_code, plain, captured, defaults


def _source(function: Callable[..., Any]) -> bytes:
    """Return the file that a function is written in; empty where there is none."""
    try:
        return Path(inspect.getfile(function)).read_bytes()
    except (TypeError, OSError):
        return b""


def said(problem: BaseException) -> str:
    """Return what an error of the user's code says, in one line; of SystemExit, that the code ends the process."""
    if isinstance(problem, SystemExit):
        return f"SystemExit: {problem.code}, which would end the process"
    if isinstance(problem, UnusualError) and problem.__cause__ is not None:
        problem = problem.__cause__
    try:
        return f"{type(problem).__name__}: {one_line(problem)}"
    except Exception:  # str() of the error may raise as well
        return type(problem).__name__
