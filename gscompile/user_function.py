"""Functions of the user's own, given or named as `package.module:function`: found, and called; errors in one line."""

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

EXCEPTIONS = (Exception, SystemExit)  # whatever leaves `Theirs`, but for Ctrl-C


class UnusualError(Exception):
    """An error of the user's code that is no Exception, as asyncio's CancelledError; it is the cause of this one."""


class Theirs:
    """The surroundings in which code of the user's runs.

    A call of `os._exit` raises SystemExit instead of ending this process, where nothing would be said; so does a call
    of `_exit` of another module that took it from there. An error that is no Exception, and that nobody would catch for
    it, becomes one. The working folder is theirs while they run, from one entry to the next, and ours again afterwards.
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
            ends(status)  # a process of theirs

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
        """From a name, which is imported, or from a callable. Raises UsageError for anything else."""
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
        """The error that says what it did."""
        return UsageError(f"{self.option} {self.name}: {what}")

    def identity(self) -> tuple[object, ...]:
        """What tells this function from another, and from itself once its file has changed."""
        return self.option, self.name, repr(_inside(self.function)), _source(self.function)


def imported(name: str) -> Any:
    """What `package.module:name` names."""
    module, _, function = name.partition(":")
    with working_folder_importable(), Theirs():
        return getattr(import_module(module), function)


def called(function: Callable[..., Any]) -> str:
    """How a report names a callable: `module:function`, or its class where it has no name.

    >>> called(max), called(re.compile("a").match)
    ('builtins:max', 'Pattern.match')
    """
    name = getattr(function, "__qualname__", None)
    if name is None:
        return f"<{type(function).__name__}>"
    return f"{function.__module__}:{name}" if getattr(function, "__module__", None) else str(name)


@contextmanager
def working_folder_importable() -> Iterator[None]:
    """A module beside the user is found, as with `python -m`."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # their code may have changed the list
            sys.path.remove(here)


def _inside(function: Callable[..., Any]) -> object:
    """What distinguishes functions of one name and file: code, defaults and what they captured."""
    code = getattr(function, "__code__", None)
    if code is None:
        return function
    plain = [value for value in code.co_consts if not inspect.iscode(value)]
    captured = [cell.cell_contents for cell in function.__closure__ or ()]
    defaults = function.__defaults__, function.__kwdefaults__
    return code.co_firstlineno, code.co_code, plain, captured, defaults


def _source(function: Callable[..., Any]) -> bytes:
    """The file that a function is written in; empty where there is none."""
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
    except Exception:  # its own text raises an error, too
        return type(problem).__name__
