"""Facts of a netlist, such as one instance with its connections, and the comparison of two streams of them.

A reader yields the facts of a file in the order of the file, and the facts that netlist.json implies in the order in
which a writer writes them. The streams are compared side by side, with one fact of each in memory.

A reader yields the facts of a file in the order of the file, and those that netlist.json asks for in the order in which
they are written. The streams are compared side by side: a fact of each is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from numpy.typing import NDArray

from gscompile.errors import VerificationError
from gscompile.hardware.target import Target
from gscompile.targets.modules import Hierarchy

Fact = tuple[Any, ...]  # the kind, then names and their attributes


@dataclass(frozen=True, eq=False)
class Source:
    """The netlist that emitted files are compared with; `target` is None if its description is unknown."""

    folder: Path
    hierarchy: Hierarchy
    weights: Mapping[str, NDArray[Any]]
    target: Target | None = None


def compare(name: str, found: Iterable[Fact], wanted: Iterable[Fact]) -> int:
    """Return the number of facts that the file `name` and the netlist have in common.

    Raises VerificationError, in one line, for the first fact that differs.
    """
    count = 0
    for ours, theirs in zip_longest(found, wanted):
        if ours != theirs:
            raise VerificationError(f"{name}: {_difference(ours, theirs)}")
        count += 1
    return count


def _difference(found: Fact | None, wanted: Fact | None) -> str:
    if found is None or wanted is None:
        fact = wanted if found is None else found
        return f"{_words(fact)} is {'missing' if found is None else 'not in netlist.json'}"
    if found[:2] == wanted[:2]:
        for ours, theirs in zip_longest(found[2:], wanted[2:]):
            if ours != theirs:
                return f"{_words(found)}: {_first(ours, theirs)}"
    return f"{_words(found)}; netlist.json has {_words(wanted)}"


def _words(fact: Fact | None) -> str:
    assert fact is not None
    return " ".join((str(fact[0]), *(_short(name) for name in fact[1:2])))


def _first(found: Any, wanted: Any) -> str:
    """Return the first place where two values differ, also inside lists."""
    if isinstance(found, tuple) and isinstance(wanted, tuple):
        if len(found) != len(wanted):
            return f"{len(found)} items; netlist.json has {len(wanted)}"
        different = next((pair for pair in zip(found, wanted, strict=True) if pair[0] != pair[1]), (found, wanted))
        if isinstance(different[0], tuple):
            return _first(*different)
        found, wanted = different
    return f"{_short(found)}; netlist.json has {_short(wanted)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-16:]}"


def lines_of(path: Path, encoding: str = "ascii") -> Iterator[str]:
    """Yield the lines of a text file without their ends. Raises VerificationError for a file that cannot be read."""
    try:
        with opened(path, encoding) as file:
            for line in file:
                yield line.rstrip("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise VerificationError(f"{path.name}: cannot be read as {encoding} text") from problem


def opened(path: Path, encoding: str) -> TextIO:
    """Return the file opened for reading, with line ends unchanged."""
    return path.open(encoding=encoding, newline="\n")
