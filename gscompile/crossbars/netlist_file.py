"""Write `netlist.json` front to back, and read it so that every mistake is named by its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema

from gscompile.crossbars.netlist import SCHEMA_VERSION, Netlist, check
from gscompile.crossbars.pins import range_ends
from gscompile.errors import VerificationError
from gscompile.files.strict_json import read_json

MOST_WIRES = 1 << 27  # beyond, a short file would take more memory than a long one may
_RANGES = re.compile("[0-9]{1,10}:[0-9]{1,10}(?:,[0-9]{1,10}:[0-9]{1,10})*")


def write_netlist(netlist: Netlist, path: str | Path) -> None:
    """Write `netlist.json`, one line for each tile; no more than one matrix is in memory as text."""
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(netlist))


def _lines(netlist: Netlist) -> Iterator[str]:
    empty = replace(netlist, ports=(), buses=(), blocks=(), matrices=())
    yield "{\n"
    for key, value in empty.to_json().items():
        items = getattr(netlist, key) if isinstance(value, list) else None
        text = [_text(value)] if items is None else _list_lines(empty, key, items)
        yield f"{_text(key)}: "
        yield from text
        yield "\n}\n" if key == "matrices" else ",\n"


def _list_lines(empty: Netlist, key: str, items: Iterable[Any]) -> Iterator[str]:
    """Yield a list of the netlist one item at a time; the tiles of a matrix stand on lines of their own."""
    some = ""
    yield "["
    for item in items:
        alone: dict[str, Any] = {key: (item,)}
        (data,) = replace(empty, **alone).to_json()[key]
        tiles = _listed(data.pop("tiles")) if key == "matrices" else None
        text = _text(data) if tiles is None else f'{_text(data)[:-1]}, "tiles": {tiles}}}'
        yield f"{',' if some else ''}\n{'' if tiles else '  '}{text}"
        some = "\n"
    yield f"{some}]"


def _listed(items: list[Any]) -> str:
    return "[" + ",".join(f"\n  {_text(item)}" for item in items) + ("\n]" if items else "]")


_text = json.JSONEncoder(ensure_ascii=False).encode


def read_netlist(path: str | Path) -> Netlist:
    """Read `netlist.json`, checked against the schema and then as a netlist.

    Raises VerificationError, in one line that names the place, for what is not a well-formed netlist.
    """
    data = read_json(Path(path), fractions=False)
    _check_schema(data)
    _check_ranges(data["matrices"])
    netlist = Netlist.from_json(data)
    check(netlist)
    return netlist


@cache
def netlist_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `netlist.json`."""
    schema: dict[str, Any] = json.loads(files("gscompile.crossbars").joinpath("netlist.schema.json").read_text("utf-8"))
    return schema


@cache
def _validator() -> jsonschema.Draft202012Validator:
    """Return the schema's validator with definitions inlined, since a lookup for every tile takes half of the time."""
    schema = netlist_schema()
    return jsonschema.Draft202012Validator(_written_out(schema, schema["$defs"]))


def _written_out(part: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_written_out(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _written_out(definitions[part["$ref"].removeprefix("#/$defs/")], definitions)
    return {key: _written_out(value, definitions) for key, value in part.items() if key != "$defs"}


def _check_schema(data: Any) -> None:
    version = data.get("schema") if isinstance(data, dict) else None
    if version is not None and version != SCHEMA_VERSION:
        raise VerificationError(f"netlist: schema version {version!r}; this gscompile reads {SCHEMA_VERSION}")
    if next(_validator().iter_errors(_without_plain_tiles(data)), None) is not None:
        error = next(_validator().iter_errors(data))
        raise VerificationError(f"netlist: {_place(data, error.absolute_path)}{_short(error.message)}")


def _place(data: Any, path: Iterable[str | int]) -> str:
    """Return the path to a mistake, objects by their name: `matrices 'conv1' tiles 'conv1/0_0' rows: `."""
    words = []
    for step in path:
        data = data[step]
        name = data.get("name") if isinstance(data, dict) else None
        words.append(repr(name) if isinstance(name, str) else str(step))
    return " ".join(words) + ": " if words else ""


def _short(message: str) -> str:
    return message if len(message) <= 160 else f"{message[:60]} ... {message[-90:]}"


def _without_plain_tiles(data: Any) -> Any:
    """Return the data without the tiles that are plainly valid, for which the schema check is 100 times slower."""
    if not isinstance(data, dict) or not isinstance(data.get("matrices"), list):
        return data
    return data | {"matrices": [_without_plain(matrix) for matrix in data["matrices"]]}


def _without_plain(matrix: Any) -> Any:
    if not isinstance(matrix, dict) or not isinstance(matrix.get("tiles"), list):
        return matrix
    return matrix | {"tiles": [tile for tile in matrix["tiles"] if not is_plain_tile(tile)]}


def is_plain_tile(tile: Any) -> bool:
    """Return whether a tile conforms to the schema and has an array of its own."""
    if not isinstance(tile, dict) or tile.keys() != {"name", "rows", "cols"}:
        return False
    name, rows, cols = tile["name"], tile["rows"], tile["cols"]
    if not (isinstance(name, str) and isinstance(rows, str) and isinstance(cols, str)):
        return False
    return bool(name and _RANGES.fullmatch(rows) and _RANGES.fullmatch(cols))


def _check_ranges(matrices: Iterable[Mapping[str, Any]]) -> None:
    """Refuse ranges that leave their matrix before they are expanded: they may name billions of pins."""
    total = 0
    for matrix in matrices:
        for key, bound in (("rows", matrix["inputs"]), ("cols", matrix["outputs"])):
            starts, stops = range_ends(tile[key] for tile in matrix["tiles"])
            if not ((starts < stops) & (stops <= bound)).all():
                raise VerificationError(_outside(matrix["tiles"], key, bound))
            total += int((stops - starts).sum())
    if total > MOST_WIRES:
        raise VerificationError(f"netlist: {total:,} wires; this gscompile reads up to {MOST_WIRES:,}")


def _outside(tiles: Iterable[Mapping[str, Any]], key: str, bound: int) -> str:
    ends = ((tile, *range_ends([tile[key]])) for tile in tiles)
    tile = next(tile for tile, starts, stops in ends if not ((starts < stops) & (stops <= bound)).all())
    return f"tile {tile['name']!r}: {key} {_short(tile[key])!r} of {bound} in the matrix"
