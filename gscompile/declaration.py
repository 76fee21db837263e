"""Declare an option once, as a field of a dataclass; command line, TOML, Python signature and reference derive from it.

    @dataclass(frozen=True)
    class Shrink:
        share: float = option(0.25, "Share of the network deleted in a round.", minimum=0.001, maximum=1)

`declarations(Shrink)` then has one `Declaration`, with the name, type, default, bounds and help of `share`.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gscompile.errors import UsageError

_KEY = "about"  # of the metadata of a field
_WORDS_OF_TYPES = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    tuple: "a list of texts",
}


@dataclass(frozen=True)
class About:
    """Everything about an option beside its name, type and default.

    Bounds include their ends. `expected` describes a text of a special form, `computed` a default that depends on
    something else. `aliases` are former names, which are still accepted. `flags` are the names on the command line,
    where these are not `--name`. `is_path` options are given as text or as a path. Training that was interrupted
    continues only under equal values of options that have `affects_training`.
    """

    help: str = ""
    group: str = ""
    minimum: float = -math.inf
    maximum: float = math.inf
    unit: str = ""
    expected: str = ""
    computed: str = ""
    metavar: str | None = None
    aliases: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    is_path: bool = False
    affects_training: bool = True
    commands: tuple[str, ...] = ()


def option(default: Any = MISSING, help: str = "", **about: Any) -> Any:
    """Return a dataclass field that declares an option, required without `default`; `about` are fields of `About`."""
    return field(default=default, metadata={_KEY: About(help, **about)})


@dataclass(frozen=True)
class Declaration:
    """An option: its name, resolved type, the type as it is written, default (MISSING where required), and the rest."""

    name: str
    type: Any
    annotation: str
    default: Any
    about: About

    @property
    def key(self) -> str:
        """The name as the command line and TOML files spell it."""
        return self.name.replace("_", "-")

    @property
    def is_required(self) -> bool:
        """Return whether a value must be given."""
        return self.default is MISSING

    @property
    def plain_type(self) -> Any:
        """The type without None; the first of several."""
        return next(each for each in _members(self.type) if each is not NoneType)

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that are allowed; empty where the option is no choice."""
        return get_args(self.plain_type) if get_origin(self.plain_type) is Literal else ()

    @property
    def is_a_number(self) -> bool:
        """Return whether a value is a number, and not one of several types."""
        return self.plain_type in (int, float) and not self.about.expected

    @property
    def is_list(self) -> bool:
        """Return whether the option takes several values."""
        return get_origin(self.plain_type) is tuple and get_args(self.plain_type)[-1] is Ellipsis

    @property
    def expected(self) -> str:
        """What a value of the right type is, in words: "a whole number", "one of full, equal"."""
        if self.about.expected or self.choices:
            return self.about.expected or f"one of {', '.join(self.choices)}"
        if self.about.is_path:
            return "a path"
        return _WORDS_OF_TYPES.get(get_origin(self.plain_type) or self.plain_type, "a text")

    @property
    def bounds(self) -> str:
        """The bounds in words: "at least 1", "from 0 to 1"; empty where there are none."""
        low, high = self.about.minimum, self.about.maximum
        if low == -math.inf:
            return "" if high == math.inf else f"at most {high:g}"
        return f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"

    def accepts(self, value: object, from_file: bool = False) -> bool:
        """Return whether a value has the type; `from_file` also that a file can hold it: objects are named by texts."""
        if self.about.is_path and isinstance(value, os.PathLike):
            return not from_file
        return any(_is_a(each, value, from_file) for each in _members(self.type))

    def is_within_bounds(self, value: Any) -> bool:
        """Return whether a number is finite and within the bounds; anything else is."""
        if isinstance(value, bool) or not isinstance(value, Real) or not self.bounds:
            return True
        return bool(self.about.minimum <= value <= self.about.maximum and value < math.inf)  # type: ignore[operator]

    def check(self, value: Any, from_file: str = "") -> None:
        """Raise UsageError, in one line, for a value of a wrong type or out of bounds.

        `from_file` is the name by which a TOML file gives the value.
        """
        if self.choices and isinstance(value, str) and value not in self.choices:
            raise UsageError(f"{self.key} {value!r}: expected {self.expected}")
        if not self.accepts(value, bool(from_file)):
            raise UsageError(f"option {from_file or self.name!r} is {_shown(value)}; expected {self.expected}")
        if not self.is_within_bounds(value):
            finite = "finite and " if value == math.inf else ""
            raise UsageError(f"{self.key} {value}: must be {finite}{self.bounds}")


def declarations(cls: Any) -> Mapping[str, Declaration]:
    """Return the options that a dataclass declares, by name, in order."""
    return _declarations(cls)


def with_aliases(declared: Mapping[str, Declaration]) -> dict[str, Declaration]:
    """Return options by name and by former name."""
    return {name: each for each in declared.values() for name in (each.name, *each.about.aliases)}


@cache
def _declarations(cls: Any) -> Mapping[str, Declaration]:
    types = get_type_hints(cls)
    return {each.name: _declaration(each, types[each.name]) for each in fields(cls)}


def _declaration(each: Field[Any], resolved: Any) -> Declaration:
    return Declaration(each.name, resolved, str(each.type), each.default, each.metadata.get(_KEY, About()))


def _members(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


def _is_a(wanted: Any, value: object, from_file: bool) -> bool:
    if wanted is Any:
        return isinstance(value, str) or not from_file
    if get_origin(wanted) is Literal:
        return isinstance(value, str) and value in get_args(wanted)
    if get_origin(wanted) is tuple:
        return _is_list_of(get_args(wanted), value, from_file)
    if wanted in (float, int):
        return isinstance(value, Real if wanted is float else Integral) and not isinstance(value, bool)
    return isinstance(value, wanted)


def _is_list_of(items: tuple[Any, ...], value: object, from_file: bool) -> bool:
    if not isinstance(value, list if from_file else (tuple, list)):
        return False
    wanted = (items[0],) * len(value) if items[-1] is Ellipsis else items
    return len(wanted) == len(value) and all(map(_is_a, wanted, value, (from_file,) * len(value)))


def _shown(value: Any) -> str:
    """A value in an error: as it is written, or its type where that is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"of type {type(value).__name__}"


def did_you_mean(name: str, known: Iterable[str], spelt: Callable[[str], str] = str) -> str:
    """Return a hint at the name that was meant, in brackets; empty where none is close."""
    close = difflib.get_close_matches(name, [*known], n=1)
    return f" (did you mean {spelt(close[0])!r}?)" if close else ""
