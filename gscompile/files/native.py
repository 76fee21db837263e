"""Names of files for libraries that take text in UTF-8 only, as ONNX's checker and onnxruntime do."""

from __future__ import annotations

import os
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

_numbers = count()


def is_native(path: str | Path) -> bool:
    """Return whether every library takes the path: its bytes are UTF-8."""
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def native(path: Path) -> str:
    """Return a path of the same file or folder in UTF-8: itself, or one below a link that lasts until the process ends.

    Raises OSError where no link can be made.
    """
    if is_native(path):
        return str(path)
    if is_native(path.name):
        return str(Path(_link(path.absolute().parent)) / path.name)
    return _link(path.absolute())


@cache
def _link(target: Path) -> str:
    link = Path(_links().name) / str(next(_numbers))
    link.symlink_to(target)
    return str(link)


@cache
def _links() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="gscompile-links-")
