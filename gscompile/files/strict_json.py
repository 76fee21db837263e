"""Read JSON that others may have written: text in UTF-8, numbers that are numbers, no key twice in one object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from gscompile.errors import VerificationError, one_line


def read_json(path: Path, fractions: bool = True) -> Any:
    """Return the value in a JSON file, which may hold numbers with a point or an exponent where `fractions` is True.

    Raises VerificationError, in one line, for a file that cannot be read, is not UTF-8, is not JSON, nests too deep for
    the parser, or holds NaN, an infinity or a key twice.
    """
    try:
        text = path.read_text("utf-8")
        number = float if fractions else _refuse_fraction
        return json.loads(text, parse_float=number, parse_constant=_refuse_constant, object_pairs_hook=no_twins)
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path}: not JSON ({one_line(error)})") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _refuse_fraction(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]}: expected a whole number")


def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of its pairs, as a hook of a JSON decoder. Raises ValueError for a key that comes twice."""
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} twice in one object")
    return data
