"""Where samples come from: files, folders, functions and readers, all as a row of parts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.errors import DataError
from gscompile.files.npz import Stored, held, open_npz
from gscompile.user_function import EXCEPTIONS, Theirs, imported, said, working_folder_importable

LABELS = "labels"
_DEEPEST = 8  # functions that return functions, or names of functions


@dataclass(frozen=True)
class SamplePart:
    """The arrays of one file or of one yielded mapping, and what to call it in a message."""

    name: str
    arrays: Mapping[str, Stored]


def parts_of(source: Any, name: str, depth: int = 0) -> Iterator[SamplePart]:
    """The parts of whatever `load_data` takes but a Dataset; DataError when they cannot be had."""
    if depth > _DEEPEST:
        raise DataError(f"data '{name}': is a function that returns a function, and so on; expected batches")
    if isinstance(source, str | os.PathLike):
        yield from _named_parts(os.fspath(source), depth)
    elif isinstance(source, Mapping):
        yield _held_part(source, name)
    elif hasattr(source, "get_next") and not isinstance(source, type):
        yield from _batch_parts(iter(source.get_next, None), name)
    elif callable(source):
        yield from parts_of(_called_safely(source, name), name, depth + 1)
    elif isinstance(source, Iterable):
        yield from _batch_parts(source, name)
    else:
        raise DataError(f"data {_called(source)}: give a path, a mapping of arrays, or batches")


def _named_parts(source: str | bytes, depth: int) -> Iterator[SamplePart]:
    source = os.fsdecode(source)
    path = Path(source)
    if os.path.isdir(path):
        yield from _folder_parts(path)
    elif os.path.exists(path):
        yield SamplePart(source, open_npz(path))
    elif re.fullmatch(r"[\w.]+:\w+", source):
        with working_folder_importable():
            yield from parts_of(_function(source), source, depth)
    else:
        raise DataError(f"data '{source}': no such file: give an .npz, a folder of them, or module:function")


def _folder_parts(folder: Path) -> Iterator[SamplePart]:
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise DataError(f"data '{folder}': no .npz file in this folder")
    for path in paths:
        yield SamplePart(str(path), open_npz(path))


def _function(source: str) -> Callable[[], Any]:
    try:
        function = imported(source)
    except EXCEPTIONS as error:
        raise _failed(source, "cannot be imported", error) from error
    if not callable(function):
        raise DataError(f"data '{source}': is a {type(function).__name__}: name a function that returns batches")
    return function  # type: ignore[no-any-return]


def _called_safely(function: Callable[[], Any], name: str) -> Any:
    try:
        with Theirs():
            return function()
    except DataError:
        raise
    except EXCEPTIONS as error:
        raise _failed(name, "raised an error", error) from error


def _failed(name: str, what: str, error: BaseException) -> DataError:
    return DataError(f"data '{name}': {what} ({said(error)})")


def _batch_parts(batches: Iterable[Any], name: str) -> Iterator[SamplePart]:
    for number, batch in enumerate(_each(batches, name)):
        try:
            yield _held_part(_as_mapping(batch, f"{name}, batch {number}"), f"{name}, batch {number}")
        except DataError:
            raise
        except EXCEPTIONS as error:
            raise _failed(name, "raised an error", error) from error


def _each(batches: Iterable[Any], name: str) -> Iterator[Any]:
    """The batches one by one; only while the next one is made the user's code runs."""
    theirs, end = Theirs(), object()
    try:
        with theirs:
            following = iter(batches)
        while True:
            with theirs:
                batch = next(following, end)
            if batch is end:
                return
            yield batch
    except DataError:
        raise
    except EXCEPTIONS as error:
        raise _failed(name, "raised an error", error) from error


def _as_mapping(batch: Any, name: str) -> Mapping[str, Any]:
    if isinstance(batch, tuple) and len(batch) == 2 and isinstance(batch[0], Mapping):
        return {**batch[0], LABELS: batch[1]}
    if isinstance(batch, Mapping):
        return batch
    raise DataError(
        f"{name}: is a {type(batch).__name__}: give a mapping of arrays by input name, or (mapping, labels)"
    )


def _held_part(arrays: Mapping[str, Any], name: str) -> SamplePart:
    try:
        with Theirs():
            items = [*arrays.items()]
    except EXCEPTIONS as error:
        raise _failed(name, "raised an error", error) from error
    return SamplePart(name, {key: held(_as_array(value, key, name)) for key, value in items})


def _as_array(value: Any, key: str, name: str) -> NDArray[Any]:
    try:
        with Theirs():
            return np.asarray(value)
    except EXCEPTIONS as error:
        raise DataError(f"{name}: '{key}' is no array ({said(error)})") from error


def _called(source: Any) -> str:
    return f"'{source}'" if isinstance(source, str | os.PathLike) else f"of type {type(source).__name__}"
