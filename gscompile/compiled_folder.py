"""The facts about a compilation in an output folder's report: target, origins of layers, input shapes, steps."""

from __future__ import annotations

import os
from pathlib import Path

from gscompile.command_options import DEFAULT_TARGET
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.data.synthetic import parse_input_shape
from gscompile.errors import OutputError, VerificationError
from gscompile.hardware.target import Target, load_target
from gscompile.judging.report_check import check_report
from gscompile.reporting.explanation import Explanation, explain_report
from gscompile.reporting.report import CompileReport
from gscompile.reporting.report_file import read_report


def explain_folder(out: Path, matrix: str | None = None) -> Explanation:
    """Return what each step of the compilation did to each matrix, or to the one that `matrix` names.

    Raises OutputError if there is no such folder, VerificationError if its report is missing or contradicts the
    netlist, UsageError for an unknown matrix.
    """
    _check_folder(out)
    report = read_report(out)
    check_report(report, read_netlist(out / "netlist.json"))
    return explain_report(report, matrix)


def _check_folder(out: Path) -> None:
    if not os.path.isdir(out):
        raise OutputError(f"{out}: no such folder")


def target_of(out: Path, name: str | None = None) -> Target:
    """Return the target of that name, by default the target of the compilation, with arrays of the netlist's size.

    Raises OutputError if there is no such folder, VerificationError for an incomplete folder.
    """
    _check_folder(out)
    report = _report(out)
    compiled = report.options.get("target") if report else None
    if not isinstance(compiled, str | None):
        raise VerificationError(f"{out / 'report.json'}: options.target: expected a name or a file")
    return load_target(name or compiled or DEFAULT_TARGET).with_crossbar(read_netlist(out / "netlist.json").crossbar)


def origins_of(out: Path) -> dict[str, str]:
    """Return the layer of the original network for each layer of the compressed network."""
    report = _report(out)
    return {matrix.layer: matrix.origin for matrix in report.matrices} if report else {}


def shapes_of(out: Path) -> dict[str, tuple[int, ...]]:
    """Return the sizes that `--input-shape` gave to inputs, by name."""
    report = _report(out)
    given = report.options.get("input_shape") if report else None
    texts = given if isinstance(given, list | tuple) else []
    return dict(parse_input_shape(text) for text in texts if isinstance(text, str))


def _report(out: Path) -> CompileReport | None:
    """Return the report of a folder, or None without one. Raises VerificationError for a file that is not a report."""
    return read_report(out) if os.path.lexists(out / "report.json") else None
