"""What an output folder remembers of its compilation, where its report is there to tell."""

from __future__ import annotations

import os
from pathlib import Path

from gscompile.crossbars.netlist_file import read_netlist
from gscompile.data.synthetic import parse_input_shape
from gscompile.errors import OutputError, VerificationError
from gscompile.hardware.target import DEFAULT_TARGET, Target, load_target
from gscompile.judging.verify import read_report
from gscompile.reporting.report import CompileReport


def target_of(out: Path, name: str | None = None) -> Target:
    """The target of that name, else the one compiled for; its arrays are of the size the netlist was cut to.

    Raises OutputError where there is no such folder, VerificationError for one that is not whole.
    """
    if not os.path.isdir(out):
        raise OutputError(f"{out}: no such folder")
    report = _report(out)
    compiled = report.options.get("target") if report else None
    return load_target(name or str(compiled or DEFAULT_TARGET)).with_crossbar(
        read_netlist(out / "netlist.json").crossbar
    )


def origins_of(out: Path) -> dict[str, str]:
    """Layer of the original network by layer of the compressed one."""
    report = _report(out)
    return {matrix.layer: matrix.origin for matrix in report.matrices} if report else {}


def shapes_of(out: Path) -> dict[str, tuple[int, ...]]:
    """Return the sizes that `--input-shape` gave to inputs, by name."""
    report = _report(out)
    given = report.options.get("input_shape") if report else None
    texts = given if isinstance(given, list | tuple) else []
    return dict(parse_input_shape(text) for text in texts if isinstance(text, str))


def _report(out: Path) -> CompileReport | None:
    try:
        return read_report(out)
    except VerificationError:
        return None
