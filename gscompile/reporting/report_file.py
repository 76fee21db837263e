"""Read report.json, as `verify`, `simulate` and `place` do."""

from __future__ import annotations

from pathlib import Path

from gscompile.errors import VerificationError
from gscompile.files.strict_json import read_json
from gscompile.reporting.report import CompileReport


def read_report(folder: Path) -> CompileReport:
    """Return the report of an output folder, every field of the type it is written with.

    Raises VerificationError, in one line that names the field.
    """
    path = folder / "report.json"
    try:
        return CompileReport.from_json(read_json(path))
    except ValueError as problem:
        raise VerificationError(f"{path}: not a report: {problem}") from problem
