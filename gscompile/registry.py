"""From `name:option=value,option=value` to a pass or an output format; nothing is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from gscompile.declaration import Declaration, declarations, did_you_mean, with_aliases
from gscompile.errors import UsageError


def create(kind: str, table: Mapping[str, str], spec: str) -> Any:
    """Return the object that `spec` describes, from a table of name -> `module:Class`; classes are dataclasses.

    Raises UsageError, in one line, for an unknown name or option, and a value of a wrong type or out of bounds.
    """
    name, _, text = spec.partition(":")
    cls = class_of(kind, table, name)
    return cls(**_options(f"{kind} {name!r}", declarations(cls), text))


def class_of(kind: str, table: Mapping[str, str], name: str) -> Any:
    """Return the class of a name, imported. Raises UsageError for an unknown name."""
    if name not in table:
        raise UsageError(f"{kind} {name!r}: unknown{did_you_mean(name, table)}; there are {', '.join(table)}")
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)


def _options(owner: str, known: Mapping[str, Declaration], text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    named = with_aliases(known)
    for item in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        key = key.replace("-", "_")
        if key not in named or not equals:
            names, hint = ", ".join(sorted(known)), did_you_mean(key, known)
            raise UsageError(f"{owner}: option {item!r}{hint}; write one of {names} as option=value")
        if named[key].name in options:
            raise UsageError(f"{owner}: option {item!r}: {named[key].name} is given twice")
        options[named[key].name] = _value(f"{owner}: option {key!r}", named[key], value)
    return options


def _value(what: str, declared: Declaration, text: str) -> Any:
    """Return the value that a text is, within the bounds of its option. Raises UsageError."""
    wanted = declared.plain_type
    if declared.choices:
        if text not in declared.choices:
            raise UsageError(f"{what}: {text!r}; expected {declared.expected}")
        return text
    if wanted is bool:
        return _boolean(what, text)
    try:
        value = wanted(text)
    except ValueError:
        raise UsageError(f"{what}: {text!r} is not {declared.expected}") from None
    if not declared.is_within_bounds(value):
        raise UsageError(f"{what}: {text!r} must be {declared.bounds}")
    return value


def _boolean(what: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no"):
        raise UsageError(f"{what}: {text!r}; expected true or false")
    return text.lower() in ("true", "yes")
