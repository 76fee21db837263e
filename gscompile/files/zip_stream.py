"""An uncompressed zip file written front to back: its directory waits in a temporary file and not in memory.

The standard library's writer keeps an object for every member until the end. Layout: PKWARE's APPNOTE 6.3, with the
64-bit fields where a file of 4 GiB or of 65,535 members needs them.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

_LARGE, _MANY = 0xFFFFFFFF, 0xFFFF  # say that the number stands in a 64-bit field
_PLAIN, _ZIP64 = 20, 45  # versions that can read a member
_FIRST_DAY = 1 << 5 | 1  # 1 January 1980, the oldest there is: equal content gives equal bytes
_UTF8 = 1 << 11
_BUFFER = 1 << 13  # bytes of the directory that are in memory while it is copied


def write_zip(members: Iterable[tuple[str, bytes]], path: str | Path) -> None:
    """Write (name, bytes) in their order, one in memory at a time. Raises OSError where a file cannot be written.

    The temporary file lies where the file does: there is room for it, whatever becomes of the system's own place.
    """
    path = Path(path)
    with path.open("wb") as file, TemporaryFile(dir=path.parent) as directory:
        count = 0
        for name, data in members:
            _write_member(file, directory, name.encode(), data)
            count += 1
        start, size = file.tell(), directory.tell()
        directory.seek(0)
        shutil.copyfileobj(directory, file, _BUFFER)
        file.write(_end(count, size, start))


def _write_member(file: IO[bytes], directory: IO[bytes], name: bytes, data: bytes) -> None:
    offset, size, crc = file.tell(), len(data), zlib.crc32(data)
    flags = 0 if name.isascii() else _UTF8
    file.write(local_header(name, flags, crc, size))
    file.write(name)
    file.write(_wide(size, size) if size >= _LARGE else b"")
    file.write(data)
    extra = _wide(size, size, offset) if max(size, offset) >= _LARGE else b""
    directory.write(central_header(name, flags, crc, size, offset, len(extra)) + name + extra)


def local_header(name: bytes, flags: int, crc: int, size: int) -> bytes:
    large = size >= _LARGE
    version, told = (_ZIP64, _LARGE) if large else (_PLAIN, size)
    lengths = len(name), 20 if large else 0
    return struct.pack("<4s5H3L2H", b"PK\3\4", version, flags, 0, 0, _FIRST_DAY, crc, told, told, *lengths)


def central_header(name: bytes, flags: int, crc: int, size: int, offset: int, extra: int) -> bytes:
    version, told, at = (_ZIP64, _LARGE, _LARGE) if extra else (_PLAIN, size, offset)
    made = version, version, flags, 0, 0, _FIRST_DAY
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", *made, crc, told, told, len(name), extra, 0, 0, 0, 0, at)


def _wide(*numbers: int) -> bytes:
    """The extra field of 64-bit numbers."""
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def _end(count: int, size: int, start: int) -> bytes:
    """The end of the directory; before it the 64-bit one and where that is, if a number asks for it."""
    told = min(count, _MANY), min(size, _LARGE), min(start, _LARGE)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, told[0], told[0], told[1], told[2], 0)
    if told == (count, size, start) and count < _MANY:
        return end
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, _ZIP64, _ZIP64, 0, 0, count, count, size, start)
    return wide + struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1) + end
