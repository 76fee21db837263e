"""Arrays of an .npz file, found without loading them: what is stored uncompressed is mapped into memory.

`numpy.load` reads a whole array before the first sample is used. Here only the headers are read; the samples
of a file made by `numpy.savez` come from the disk as they are asked for. Nothing is unpickled and nothing is
unpacked to the disk, so a file from elsewhere can at worst be refused.
"""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.errors import DataError

# Deflate cannot do better than 1032 : 1, so a size beyond that is a lie and nothing is allocated for it.
_DEFLATE_RATIO = 1032
_LOCAL_HEADER = 30
_ENCRYPTED = 1
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    SyntaxError,  # numpy reads a header as Python does
    tokenize.TokenError,
)


@dataclass(frozen=True)
class Stored:
    """An array known by shape and type; `read()` gives it, mapped read-only when it lies in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], NDArray[Any]]


def held(array: NDArray[Any]) -> Stored:
    """An array that is in memory already."""
    return Stored(array.shape, array.dtype, lambda: array)


def open_npz(path: Path) -> dict[str, Stored]:
    """The arrays of an .npz file by name; DataError when it is not one, is broken or holds Python objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [_array_name(path, member) for member in members]
            _refuse_twins(path, names)
            return {n: _open(path, archive, m) for n, m in zip(names, members, strict=True)}
    except _BROKEN as error:
        raise DataError(
            f"{path}: not a whole .npz file ({_line(error)}): write it with numpy.savez"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or _line(error)})") from error


def _array_name(path: Path, member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise DataError(f"{path}: '{member.filename}' in it is no array: write the file with numpy.savez")
    return member.filename.removesuffix(".npy")


def _refuse_twins(path: Path, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: holds array '{name}' twice: keep one")


def _open(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Stored:
    _check_sizes(path, member)
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        start = file.tell()
        _check_array(path, member, shape, dtype, start)
        if member.compress_type == zipfile.ZIP_STORED:
            offset = _data_offset(path, member) + start
            return Stored(shape, dtype, partial(_map, path, dtype, offset, shape, "F" if fortran else "C"))
        return _load(path, member, file)


def _check_sizes(path: Path, member: zipfile.ZipInfo) -> None:
    """Raise DataError when the archive promises more bytes than it can hold."""
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise DataError(
            f"{path}: '{member.filename}' is encrypted or oddly compressed: write it with numpy.savez"
        )
    ratio = 1 if member.compress_type == zipfile.ZIP_STORED else _DEFLATE_RATIO
    whole = path.stat().st_size
    if member.compress_size > whole or member.file_size > ratio * member.compress_size:
        raise DataError(f"{path}: '{member.filename}' declares {member.file_size} bytes in a file of {whole}")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"array format {version[0]}.{version[1]}")
    shape, fortran, dtype = readers[version](file)
    return shape, fortran, dtype


def _check_array(
    path: Path, member: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype[Any], start: int
) -> None:
    what = f"{path}: '{member.filename}'"
    if dtype.hasobject or dtype.names is not None:
        raise DataError(f"{what} holds Python objects or records: save plain numbers")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != member.file_size - start:
        found = member.file_size - start
        raise DataError(f"{what} declares {dtype} {list(shape)} but holds {found} bytes: save it again")


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin; the local header has lengths of its own."""
    with path.open("rb") as file:
        file.seek(member.header_offset + _LOCAL_HEADER - 4)
        name, extra = struct.unpack("<HH", file.read(4))
    offset: int = member.header_offset + _LOCAL_HEADER + name + extra
    if offset + member.file_size > path.stat().st_size:
        raise DataError(
            f"{path}: '{member.filename}' declares {member.file_size} bytes beyond the end of the file"
        )
    return offset


def _map(path: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    """The mapped array. Mapped anew at each use: a mapping keeps a file open, and folders may be long."""
    if 0 in shape or dtype.itemsize == 0:
        return np.zeros(shape, dtype)  # nothing to map
    try:
        return np.memmap(path, dtype, "r", offset, shape, order)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read any more ({_line(error)})") from error


def _load(path: Path, member: zipfile.ZipInfo, file: IO[bytes]) -> Stored:
    file.seek(0)
    try:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except MemoryError as error:
        size = f"{member.file_size / 2**30:.1f} GiB"
        raise DataError(f"{path}: '{member.filename}' takes {size}: numpy.savez would not need it") from error
    return held(array)


def _line(error: Exception) -> str:
    return os.fspath(str(error).strip().split("\n")[0] or type(error).__name__)
