"""Reading of report.json, for `verify`, `simulate`, `place` and `explain`."""

from __future__ import annotations

from pathlib import Path

from gscompile.errors import VerificationError
from gscompile.files.strict_json import read_json
from gscompile.reporting.report import CompileReport


def read_report(folder: Path) -> CompileReport:
    """Return the report of an output folder, with every field checked against its type.

    Raises VerificationError, in one line that names the field.
    """
    path = folder / "report.json"
    try:
        return CompileReport.from_json(read_json(path))
    except ValueError as problem:
        raise VerificationError(f"{path}: not a report: {problem}") from problem
