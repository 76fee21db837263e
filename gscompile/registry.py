"""From `name:option=value,option=value` to a pass or an output format; nothing is imported before it is asked for."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from importlib import import_module
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gscompile.errors import UsageError


def create(kind: str, table: Mapping[str, str], spec: str) -> Any:
    """The object that `spec` describes, from a table of name -> `module:Class`; classes are dataclasses.

    Raises UsageError, in one line, for an unknown name, an unknown option or a value of the wrong type.
    """
    name, _, text = spec.partition(":")
    if name not in table:
        raise UsageError(f"{kind} {name!r}: unknown{_nearest(name, table)}; there are {', '.join(table)}")
    module, _, attribute = table[name].partition(":")
    cls = getattr(import_module(module), attribute)
    return cls(**_options(f"{kind} {name!r}", cls, text))


def _options(owner: str, cls: type, text: str) -> dict[str, Any]:
    types = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    options = {}
    for item in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        key = key.replace("-", "_")
        if key not in known or not equals:
            names = ", ".join(sorted(known))
            raise UsageError(f"{owner}: option {item!r}{_nearest(key, known)}; write one of {names} as option=value")
        options[key] = _convert(f"{owner}: option {key!r}", types[key], value)
    return options


def _convert(what: str, wanted: Any, text: str) -> Any:
    if get_origin(wanted) is Literal:
        if text not in get_args(wanted):
            raise UsageError(f"{what}: {text!r}; expected one of {', '.join(map(str, get_args(wanted)))}")
        return text
    if get_origin(wanted) in (Union, UnionType):
        wanted = next(t for t in get_args(wanted) if t is not type(None))
    if wanted is bool:
        return _boolean(what, text)
    try:
        return wanted(text)
    except ValueError:
        raise UsageError(f"{what}: {text!r} is not a {_NUMBER_WORDS.get(wanted, wanted.__name__)}") from None


_NUMBER_WORDS = {int: "whole number", float: "number"}


def _boolean(what: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no"):
        raise UsageError(f"{what}: {text!r}; expected true or false")
    return text.lower() in ("true", "yes")


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
