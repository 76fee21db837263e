"""Write and read `tiles.npz`, the weights of every tile, one tile at a time.

The file is what `numpy.savez` writes and `numpy.load` reads. Both take ten times as long for thousands of small arrays:
here headers are made and parsed once for each shape, and a tile is one read.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.crossbars.pins import block
from gscompile.errors import VerificationError
from gscompile.files.npy import Head, read_head
from gscompile.files.zip_stream import write_zip

_UNREADABLE_TILES = (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError, struct.error)
_LOCAL_HEADER, _PREFIX = 30, 10  # bytes before a member's name, and before the text of an array's header
_UNSUPPORTED_FLAGS = 0x1 | 0x20 | 0x40  # encrypted, patched, encrypted


def write_tiles(tiles: Iterable[tuple[str, NDArray[Any]]], path: str | Path) -> None:
    """Write tile weights by name as an uncompressed .npz; one array is in memory at a time.

    Equal content gives equal bytes: the file holds no time stamps and no permissions.
    """
    write_zip(((f"{name}.npy", _header_of(a.shape, a.dtype) + a.tobytes()) for name, a in tiles), path)


@lru_cache(1 << 12)
def _header_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    file = BytesIO()
    empty: NDArray[Any] = np.broadcast_to(np.zeros((), dtype), shape)
    described = np.lib.format.header_data_from_array_1_0(empty) | {"fortran_order": False}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class _TileMember:
    """The position of a tile's array in the file, and the checksum of its bytes."""

    offset: int
    name_bytes: int
    size: int
    crc: int


class TileFile(Mapping[str, NDArray[Any]]):
    """The arrays of a `tiles.npz` by tile name, each read on access; nothing is unpickled.

    Raises VerificationError for a file that is not an .npz, and for an array that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._members = _members(self._path)

    def __getitem__(self, name: str) -> NDArray[Any]:
        member = self._members[name]
        try:
            with self._path.open("rb", buffering=0) as file:
                return _array(_bytes(file.fileno(), member))
        except _UNREADABLE_TILES as error:
            raise VerificationError(f"{self._path}: tile {name!r} cannot be read ({error})") from error
        except OSError as error:
            raise VerificationError(f"{self._path}: tile {name!r} cannot be read ({error.strerror})") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members


def _members(path: Path) -> dict[str, _TileMember]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read ({error.strerror})") from error
    except _UNREADABLE_TILES as error:
        raise VerificationError(f"{path}: not an .npz file ({error})") from error
    members = {info.filename.removesuffix(".npy"): _member(path, info) for info in infos}
    if len(members) < len(infos):
        raise VerificationError(f"{path}: holds two tiles of one name")
    return members


def _member(path: Path, info: zipfile.ZipInfo) -> _TileMember:
    if (
        info.flag_bits & _UNSUPPORTED_FLAGS
        or info.compress_type != zipfile.ZIP_STORED
        or info.compress_size != info.file_size
    ):
        raise VerificationError(f"{path}: {info.filename!r} is compressed or encrypted; numpy.savez does neither")
    return _TileMember(info.header_offset, len(info.orig_filename.encode()), info.file_size, info.CRC)


def _bytes(file: int, member: _TileMember) -> memoryview:
    """Return a member's bytes, by one read where its data follows its name directly. Raises BadZipFile."""
    known = _LOCAL_HEADER + member.name_bytes
    if member.offset < 0 or member.offset + known + member.size > os.fstat(file).st_size:
        raise zipfile.BadZipFile("it ends behind the end of the file")
    found = os.pread(file, known + member.size, member.offset)
    if found[:4] != b"PK\3\4":
        raise zipfile.BadZipFile("it does not begin where the directory says")
    skip = _LOCAL_HEADER + sum(struct.unpack_from("<HH", found, _LOCAL_HEADER - 4))
    data = memoryview(found)[skip:]
    if len(data) != member.size:
        data = memoryview(os.pread(file, member.size, member.offset + skip))
    if zlib.crc32(data) != member.crc:
        raise zipfile.BadZipFile("its checksum is another")
    return data


def _array(data: memoryview) -> NDArray[Any]:
    """Return a read-only array on the bytes of an .npy file. Raises ValueError."""
    start = _PREFIX + struct.unpack_from("<H", data, _PREFIX - 2)[0]
    shape, fortran, dtype = _described(bytes(data[:start]))
    if dtype.hasobject or min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"declares {dtype} {[*shape]}, has {len(data) - start} bytes")
    if 0 in shape or not dtype.itemsize:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C")


@lru_cache(1 << 12)
def _described(header: bytes) -> Head:
    if header[6:8] != b"\1\0":  # version 1.0, whose length field has two bytes
        raise ValueError("another array format than 1.0")
    return read_head(BytesIO(header))


def check_tiles(
    netlist: Netlist, weights: Mapping[str, NDArray[Any]], dtypes: Mapping[str, np.dtype[Any]] | None = None
) -> None:
    """Raise VerificationError unless every tile has finite weights of its size and each pin a nonzero weight.

    `dtypes` gives the type of a layer's weights by its name; without it any numeric type passes.
    """
    check_names(netlist, weights)
    for matrix in netlist.matrices:
        checked_tiles(matrix, weights, (dtypes or {}).get(matrix.layer))


def check_names(netlist: Netlist, weights: Mapping[str, NDArray[Any]]) -> None:
    """Raise VerificationError unless the file holds weights for every tile, and nothing else."""
    names = {tile.name for tile in netlist.tiles}
    for name in weights:
        if name not in names:
            raise VerificationError(f"tile {name!r}: has weights but is not in the netlist")
    for name in names:
        if name not in weights:
            raise VerificationError(f"tile {name!r}: has no weights")


def checked_tiles(
    matrix: Matrix, weights: Mapping[str, NDArray[Any]], dtype: np.dtype[Any] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the tiles of one matrix, read once, of type `dtype` if given. Raises VerificationError."""
    found = {tile.name: weights[tile.name] for tile in matrix.tiles}
    for tile in matrix.tiles:
        if dtype is not None and found[tile.name].dtype != dtype:
            got = found[tile.name].dtype
            raise VerificationError(f"tile {tile.name!r}: weights of type {_typed(got)}; expected {_typed(dtype)}")
        _check_weights(tile.name, found[tile.name], (len(tile.inputs), len(tile.outputs)))
    return found


def _typed(dtype: np.dtype[Any]) -> str:
    """Return the name of a type, with its byte order where that is not this machine's."""
    return str(dtype) if dtype.isnative else f"{dtype.newbyteorder('=')}, bytes swapped"


def holds(matrix: Matrix, tiles: Mapping[str, NDArray[Any]], dense: NDArray[Any]) -> bool:
    """Return whether the tiles of a matrix are the blocks of `dense` [inputs, outputs] bit for bit, the rest zero.

    The sign of a zero outside all tiles does not count: no cell holds it.
    """
    weights = 0
    for tile in matrix.tiles:
        array = tiles[tile.name]
        if array.tobytes() != dense[block(tile.inputs, tile.outputs)].tobytes():
            return False
        weights += int(np.count_nonzero(array))
    return weights == int(np.count_nonzero(dense))


def _check_weights(name: str, array: NDArray[Any], pins: tuple[int, int]) -> None:
    if array.shape != pins:
        raise VerificationError(f"tile {name!r}: {pins[0]} row and {pins[1]} column pins, weights {array.shape}")
    if array.dtype.kind not in "fiu":
        raise VerificationError(f"tile {name!r}: weights of type {array.dtype}")
    if not np.isfinite(array).all():
        row, col = np.argwhere(~np.isfinite(array))[0].tolist()
        raise VerificationError(f"tile {name!r}: weight {array[row, col]} at row {row}, column {col}")
    if array.all():
        return
    for axis, side in ((1, "row"), (0, "column")):
        empty = np.flatnonzero(~(array != 0).any(axis=axis))
        if len(empty):
            raise VerificationError(f"tile {name!r}: {side} {int(empty[0])} has a pin but no weight")
