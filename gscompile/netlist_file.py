"""`netlist.json` and `tiles.npz`: written front to back, read back with every mistake named by its place."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import numpy as np
from numpy.typing import NDArray

from gscompile.errors import VerificationError
from gscompile.netlist import SCHEMA_VERSION, Netlist, check

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip file can hold: equal content gives equal bytes
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError)


# -- netlist.json ----------------------------------------------------------------


def write_netlist(netlist: Netlist, path: str | Path) -> None:
    """Write `netlist.json`, one line for each tile; no more than one matrix is in memory as text."""
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(netlist))


def _lines(netlist: Netlist) -> Iterator[str]:
    head = replace(netlist, matrices=()).to_json()
    head.pop("matrices")
    yield "{\n"
    for key, value in head.items():
        yield f"{_text(key)}: {_listed(value) if isinstance(value, list) else _text(value)},\n"
    yield '"matrices": ['
    for number, matrix in enumerate(netlist.matrices):
        (data,) = replace(netlist, matrices=(matrix,), buses=(), blocks=(), ports=()).to_json()["matrices"]
        tiles = _listed(data.pop("tiles"))
        yield f'{"," if number else ""}\n{_text(data)[:-1]}, "tiles": {tiles}}}'
    yield "\n]\n}\n"


def _listed(items: list[Any]) -> str:
    return "[" + ",".join(f"\n  {_text(item)}" for item in items) + ("\n]" if items else "]")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def read_netlist(path: str | Path) -> Netlist:
    """Read `netlist.json`, checked against the schema and then as a netlist.

    Raises VerificationError, in one line that names the place, for what is not a well-formed netlist.
    """
    data = _parse(Path(path))
    _check_schema(data)
    for matrix in data["matrices"]:
        _check_ranges(matrix)
    netlist = Netlist.from_json(data)
    check(netlist)
    return netlist


def _parse(path: Path) -> Any:
    try:
        return json.loads(
            path.read_text("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_no_twins
        )
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path}: not JSON ({str(error).splitlines()[0]})") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} twice in one object")
    return data


@cache
def netlist_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `netlist.json`."""
    schema: dict[str, Any] = json.loads(files("gscompile").joinpath("netlist.schema.json").read_text("utf-8"))
    return schema


@cache
def _validator() -> jsonschema.Draft202012Validator:
    """Definitions are written out where they are used: to look them up for every tile takes half of the time."""
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
    error = next(_validator().iter_errors(data), None)
    if error is not None:
        raise VerificationError(f"netlist: {_place(data, error.absolute_path)}{_short(error.message)}")


def _place(data: Any, path: Iterable[str | int]) -> str:
    """The way to a mistake, objects by their name: `matrices 'conv1' tiles 'conv1/0_0' rows: `."""
    words = []
    for step in path:
        data = data[step]
        name = data.get("name") if isinstance(data, dict) else None
        words.append(repr(name) if isinstance(name, str) else str(step))
    return " ".join(words) + ": " if words else ""


def _short(message: str) -> str:
    return message if len(message) <= 160 else f"{message[:60]} ... {message[-90:]}"


def _check_ranges(matrix: Mapping[str, Any]) -> None:
    """Refuse ranges that leave the matrix before they are spelled out: they may name billions of pins."""
    for tile in matrix["tiles"]:
        for key, bound in (("rows", matrix["inputs"]), ("cols", matrix["outputs"])):
            ends = [[int(end) for end in part.split(":")] for part in tile[key].split(",")]
            if any(not a < b <= bound for a, b in ends) or sum(b - a for a, b in ends) > bound:
                found = f"{key} {_short(tile[key])!r} of {bound} in the matrix"
                raise VerificationError(f"tile {tile['name']!r}: {found}")


# -- tiles.npz ----------------------------------------------------------------


def write_tiles(tiles: Iterable[tuple[str, NDArray[Any]]], path: str | Path) -> None:
    """Write tile weights by name as an uncompressed .npz; one array is in memory at a time.

    Equal content gives equal bytes: no times, no permissions of the moment.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in tiles:
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            with archive.open(member, "w", force_zip64=array.nbytes > 2**30) as file:
                np.lib.format.write_array(
                    file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
                )


class TileFile(Mapping[str, NDArray[Any]]):
    """The arrays of a `tiles.npz` by tile name, each read when it is asked for; nothing is unpickled.

    Raises VerificationError for a file that is none, and for an array that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._archive = _opened(self._path)
        self._members = {info.filename.removesuffix(".npy"): info for info in self._archive.infolist()}
        if len(self._members) < len(self._archive.infolist()):
            raise VerificationError(f"{self._path}: holds two tiles of one name")

    def __getitem__(self, name: str) -> NDArray[Any]:
        member = self._members[name]
        try:
            with self._archive.open(member) as file:
                array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except _BROKEN as error:
            raise VerificationError(f"{self._path}: tile {name!r} cannot be read ({error})") from error
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def close(self) -> None:
        self._archive.close()

    def __enter__(self) -> TileFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read ({error.strerror})") from error
    except _BROKEN as error:
        raise VerificationError(f"{path}: not an .npz file ({error})") from error


def check_tiles(netlist: Netlist, weights: Mapping[str, NDArray[Any]]) -> None:
    """Raise VerificationError unless every tile has finite weights of its size and each pin a weight."""
    names = {tile.name for tile in netlist.tiles}
    for name in weights:
        if name not in names:
            raise VerificationError(f"tile {name!r}: has weights but is not in the netlist")
    for tile in netlist.tiles:
        if tile.name not in weights:
            raise VerificationError(f"tile {tile.name!r}: has no weights")
        _check_weights(tile.name, weights[tile.name], (len(tile.inputs), len(tile.outputs)))


def _check_weights(name: str, array: NDArray[Any], pins: tuple[int, int]) -> None:
    if array.shape != pins:
        raise VerificationError(
            f"tile {name!r}: {pins[0]} row and {pins[1]} column pins, weights {array.shape}"
        )
    if not np.isfinite(array).all():
        row, col = np.argwhere(~np.isfinite(array))[0].tolist()
        raise VerificationError(f"tile {name!r}: weight {array[row, col]} at row {row}, column {col}")
    for axis, side in ((1, "row"), (0, "column")):
        empty = np.flatnonzero(~(array != 0).any(axis=axis))
        if len(empty):
            raise VerificationError(f"tile {name!r}: {side} {int(empty[0])} has a pin but no weight")
