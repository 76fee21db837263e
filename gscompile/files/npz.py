"""Arrays of an .npz file, found without loading them: rows of what is stored uncompressed are read when asked for.

`numpy.load` reads a whole array before the first sample is used. Here only the headers are read; the samples
of a file made by `numpy.savez` come from the disk as they are asked for. They are read and not mapped: a mapped file
that somebody cuts short ends the process. Nothing is unpickled and nothing is unpacked to the disk, so a file from
elsewhere can at worst be refused.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.errors import DataError
from gscompile.files.npy import read_head

# Deflate cannot do better than 1032 : 1, so a size beyond that is a lie and nothing is allocated for it.
_DEFLATE_RATIO = 1032
_LOCAL_HEADER = 30
_ENCRYPTED = 1
_UNREADABLE_NPZ = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True)
class Stored:
    """An array known by shape and type; `read()` gives all of it, `rows(indices)` those rows, in that order.

    Both raise DataError when its file is no longer what it was.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], NDArray[Any]]
    rows: Callable[[NDArray[np.int64]], NDArray[Any]]


def held(array: NDArray[Any]) -> Stored:
    """An array that is in memory already."""
    return Stored(array.shape, array.dtype, lambda: array, lambda indices: array[indices])


def open_npz(path: Path) -> dict[str, Stored]:
    """The arrays of an .npz file by name; DataError when it is not one, is broken or holds Python objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [_array_name(path, member) for member in members]
            _refuse_twins(path, names)
            return {n: _open(path, archive, m) for n, m in zip(names, members, strict=True)}
    except _UNREADABLE_NPZ as error:
        raise DataError(f"{path}: not a whole .npz file ({_line(error)}): write it with numpy.savez") from error
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
        shape, fortran, dtype = read_head(file)
        start = file.tell()
        _check_array(path, member, shape, dtype, start)
        if member.compress_type == zipfile.ZIP_STORED and not fortran:
            rows = _Rows(path, dtype, _data_offset(path, member) + start, shape)
            return Stored(shape, dtype, rows.read, rows.at)
        return _load(path, member, file)


def _check_sizes(path: Path, member: zipfile.ZipInfo) -> None:
    """Raise DataError when the archive promises more bytes than it can hold."""
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise DataError(f"{path}: '{member.filename}' is encrypted or oddly compressed: write it with numpy.savez")
    ratio = 1 if member.compress_type == zipfile.ZIP_STORED else _DEFLATE_RATIO
    whole = path.stat().st_size
    if member.compress_size > whole or member.file_size > ratio * member.compress_size:
        raise DataError(f"{path}: '{member.filename}' declares {member.file_size} bytes in a file of {whole}")


def _check_array(path: Path, member: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype[Any], start: int) -> None:
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
        raise DataError(f"{path}: '{member.filename}' declares {member.file_size} bytes beyond the end of the file")
    return offset


@dataclass(frozen=True)
class _Rows:
    """The rows of an array that lies in a file from `offset` on; the file is open only while it is read."""

    path: Path
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]

    def read(self) -> NDArray[Any]:
        whole = np.empty(self.shape, self.dtype)
        self._fill(whole, [(0, self.offset, whole.nbytes)])
        return whole

    def at(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        found = np.empty((len(indices), *self.shape[1:]), self.dtype)
        size = prod(self.shape[1:]) * self.dtype.itemsize
        begins = np.flatnonzero(np.diff(indices, prepend=-2) != 1)  # neighbours are read together
        places = (self.offset + size * indices[begins]).tolist()
        lengths = (size * np.diff(begins, append=len(indices))).tolist()
        self._fill(found, zip((size * begins).tolist(), places, lengths, strict=True))
        return found

    def _fill(self, array: NDArray[Any], pieces: Iterable[tuple[int, int, int]]) -> None:
        """Pieces of `array` from the file: where each begins in the one and in the other, and its bytes."""
        if not array.nbytes:
            return
        into = array.reshape(-1).view(np.uint8).data
        try:
            with self.path.open("rb", buffering=0) as file:
                for at, place, length in pieces:
                    file.seek(place)
                    if file.readinto(into[at : at + length]) < length:  # a read of up to 2 GiB is done at once
                        _read_on(self.path, file, into[at : at + length], place)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read any more ({_line(error)})") from error


def _read_on(path: Path, file: FileIO, into: memoryview, place: int) -> None:
    """All of a piece, in as many reads as it takes."""
    done = file.seek(0, os.SEEK_CUR) - place
    while done < len(into):
        count = file.readinto(into[done:])
        if not count:
            raise DataError(f"{path}: was cut short while it was read: give it whole, and run the same again")
        done += count


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
