"""The report of a compilation, every figure recomputed from the files that were written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gscompile.compression.transform import Change
from gscompile.crossbars.netlist import Netlist
from gscompile.graph.network import Network
from gscompile.judging.files_check import sha256
from gscompile.judging.judge import Measured
from gscompile.options import Options
from gscompile.reporting.report import (
    Chip,
    CompileReport,
    Figures,
    layer_rows,
    matrix_figures,
    mean_routing_area,
)
from gscompile.reporting.untouched import untouched

_VERSIONS = ("gscompile", "onnx", "onnxruntime", "onnx-ir", "numpy", "torch")


@dataclass(frozen=True, eq=False)
class Story:
    """What happened: the two networks, the netlist, and what was said on the way."""

    original: Network
    written: Network
    netlist: Netlist
    changes: tuple[Change, ...]
    folds: tuple[str, ...]
    messages: tuple[str, ...]
    checks: tuple[str, ...]
    chip: Chip | None = None


def summarise(
    story: Story, before: Netlist, measured: Measured, options: Options, folder: Path, began: float
) -> CompileReport:
    """The report; `began` is the clock (`time.perf_counter`) when the compilation did."""
    origins = {layer.name: layer.origin for layer in story.written.layers}
    ops = {layer.name: layer.op for layer in story.original.layers}
    matrices = matrix_figures(story.netlist, origins, before)
    folds = tuple(Change("graph", "folded", line, "") for line in story.folds)
    return CompileReport(
        story.netlist.name,
        str(story.netlist.crossbar),
        options.tiling,
        Figures.of(before.matrices),
        Figures.of(story.netlist.matrices),
        layer_rows(before, story.netlist, origins, ops),
        matrices,
        (*folds, *story.changes),
        tuple(untouched(story.original, story.written)),
        measured.accuracy,
        measured.drift,
        story.checks,
        story.messages,
        mean_routing_area(matrices),
        options.plain(),
        options.seed,
        {name: version(name) for name in _VERSIONS},
        {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()},
        time.perf_counter() - began,
        story.chip,
        measured.confirmation,
    )
