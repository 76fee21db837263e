"""Check the files of an output folder against the names and digests in report.json."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gscompile.errors import VerificationError

ALWAYS = ("model.onnx", "netlist.json", "tiles.npz", "report.html")
_DIGEST = re.compile("[0-9a-f]{64}")


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_listed(files: Mapping[str, str], wanted: Iterable[str] = ALWAYS) -> None:
    """Raise VerificationError unless `files` has every name that is wanted, and only plain names with digests.

    A plain name leads to no other folder and to no terminal: no separator, not `.` or `..`, no control character.
    """
    for name, digest in files.items():
        if name in ("", ".", "..") or set("/\\") & set(name) or not name.isprintable():
            raise VerificationError(f"report.json: files: {name!r} is not the name of a file in the folder")
        if not _DIGEST.fullmatch(digest):
            raise VerificationError(f"report.json: files: the sha256 of {name!r} is not 64 hexadecimal digits")
    missing = next((name for name in wanted if name not in files), None)
    if missing is not None:
        raise VerificationError(f"report.json: files: {missing!r} is not listed")


def check_digests(folder: Path, digests: Mapping[str, str]) -> str:
    """Return a line that counts the files whose sha256 is the one in `digests`.

    Raises VerificationError for the first file that is missing, is a symbolic link or another kind of file, or changed.
    """
    for name, digest in digests.items():
        path = folder / name
        if os.path.islink(path):
            raise VerificationError(f"{path}: a symbolic link; expected the file that was written")
        if not os.path.isfile(path):
            raise VerificationError(f"{path}: missing")
        if _digest_of(path) != digest:
            raise VerificationError(f"{path}: not the file that was written (its sha256 changed)")
    return f"sha256 of {len(digests)} files as reported"


def _digest_of(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as problem:
        raise VerificationError(f"{path}: cannot be read ({problem.strerror})") from problem
