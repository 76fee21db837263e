"""Make dataclasses of plain JSON data, with every value checked against the type of its field.

Written by hand because `verify` must see every change of a report: msgspec 0.23 takes dataclasses too, but accepts an
unknown key, a missing key whose field has a default, a key that comes twice, and integers of any length. It is faster
(0.03 ms instead of 0.9 ms for the report of a network of four layers), which a report does not need.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

INTEGER_LIMIT = 1 << 63  # integers beyond are no counts
_TYPE_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def typed(wanted: Any, value: Any, place: str = "") -> Any:
    """Return `value` as the type `wanted`: a dataclass from an object, a tuple from a list, a number, a text.

    `place` is the path of the value in the file. Raises ValueError, in one line that names the path, for a value of
    another type, a missing or unknown key, a float that is not finite, and an integer not below 2**63 in magnitude.
    """
    if dataclasses.is_dataclass(wanted):
        return _object(wanted, value, place)
    origin = get_origin(wanted)
    if origin in (Union, UnionType):
        return None if value is None else _one_of(get_args(wanted), value, place)
    if origin is Literal:
        return _literal(get_args(wanted), value, place)
    if origin is tuple:
        return _list(get_args(wanted)[0], value, place)
    if origin is dict:
        return _table(get_args(wanted)[1], value, place)
    return value if wanted in (object, Any) else _plain(wanted, value, place)


def _object(cls: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{_at(place)}expected an object, got {_shown(value)}")
    return cls(**fields_of(cls, value, place))


def fields_of(cls: Any, value: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Return the fields of a dataclass by name, none missing or unknown, without making one. Raises ValueError."""
    types = _hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for name in names:
        if name not in value:
            raise ValueError(f"{_at(place)}{name!r} is missing")
    for key in value:
        if key not in names:
            raise ValueError(f"{_at(place)}unknown key {_shown(key)}")
    return {name: typed(types[name], value[name], _below(place, name)) for name in names}


_hints = cache(get_type_hints)


def _one_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """The value as the first of several types that takes it; what the last says where none does."""
    *others, last = (kind for kind in kinds if kind is not type(None))
    for kind in others:
        with suppress(ValueError):
            return typed(kind, value, place)
    return typed(last, value, place)


def _literal(known: tuple[Any, ...], value: Any, place: str) -> Any:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{_at(place)}expected one of {', '.join(map(str, known))}, got {_shown(value)}")
    return value


def _list(item: Any, value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{_at(place)}expected a list, got {_shown(value)}")
    return tuple(typed(item, each, f"{place}[{number}]") for number, each in enumerate(value))


def _table(item: Any, value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{_at(place)}expected an object, got {_shown(value)}")
    return {str(key): typed(item, each, _below(place, str(key))) for key, each in value.items()}


def _plain(wanted: type, value: Any, place: str) -> Any:
    if wanted is float and type(value) is int and abs(value) < INTEGER_LIMIT:
        return float(value)
    too_large = isinstance(value, int) and not abs(value) < INTEGER_LIMIT
    if type(value) is not wanted or too_large or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{_at(place)}expected {_TYPE_WORDS[wanted]}, got {_shown(value)}")
    return value


def _at(place: str) -> str:
    return f"{place}: " if place else ""


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _shown(value: Any) -> str:
    """A short form of a value; an integer of thousands of digits has no decimal form in Python."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= INTEGER_LIMIT:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]} ... {text[-16:]}"
