"""The head of an .npy file, which says what the bytes after it are. A stranger's may be anything."""

from __future__ import annotations

import tokenize
from typing import IO, Any

import numpy as np

_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# numpy evaluates the head as a literal and looks at what that is: keys of two kinds, a hundred brackets, ...
_HEADER_ERRORS = (ValueError, TypeError, AttributeError, SyntaxError, tokenize.TokenError, MemoryError, RecursionError)

Head = tuple[tuple[int, ...], bool, np.dtype[Any]]  # shape, whether columns come first, type


def read_head(file: IO[bytes]) -> Head:
    """Shape, order and type of the array that follows; the file then stands at its bytes. Raises ValueError."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADER_READERS:
        raise ValueError(f"array format {version[0]}.{version[1]}")
    try:
        shape, fortran, dtype = _HEADER_READERS[version](file)
    except _HEADER_ERRORS as error:
        said = str(error).strip().split("\n")[0]
        raise ValueError(said or "the head of an array is none") from error
    return shape, fortran, dtype
