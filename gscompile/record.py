"""The report of a compilation, with every figure recomputed from the files that were written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gscompile.compression.passes import Change, Context, PassResult
from gscompile.compression.steps import recorded_steps, state_of_matrices
from gscompile.crossbars.netlist import Netlist
from gscompile.graph.network import Network
from gscompile.judging.budget import Measured
from gscompile.judging.files_check import sha256
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
class CompileRecord:
    """The input of a report: both networks, the netlist, the result of the passes, messages and verification lines."""

    original: Network
    written: Network
    netlist: Netlist
    result: PassResult
    folds: tuple[str, ...]
    messages: tuple[str, ...]
    checks: tuple[str, ...]
    context: Context
    chip: Chip | None = None


def summarise(
    record: CompileRecord, before: Netlist, measured: Measured, options: Options, folder: Path, began: float
) -> CompileReport:
    """Return the report; `began` is the clock (`time.perf_counter`) at the start of the compilation."""
    origins = {layer.name: layer.origin for layer in record.written.layers}
    ops = {layer.name: layer.op for layer in record.original.layers}
    matrices = matrix_figures(record.netlist, origins, before)
    folds = tuple(Change("graph", "folded", line, "") for line in record.folds)
    return CompileReport(
        record.netlist.name,
        str(record.netlist.crossbar),
        options.tiling,
        Figures.of(before.matrices),
        Figures.of(record.netlist.matrices),
        layer_rows(before, record.netlist, origins, ops),
        matrices,
        (*folds, *record.result.changes),
        tuple(untouched(record.original, record.written)),
        measured.accuracy,
        measured.drift,
        record.checks,
        record.messages,
        mean_routing_area(matrices),
        options.plain(),
        options.seed,
        {name: version(name) for name in _VERSIONS},
        {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()},
        time.perf_counter() - began,
        record.chip,
        measured.confirmation,
        recorded_steps(
            state_of_matrices(before.matrices, {}),
            record.result.stages,
            state_of_matrices(record.netlist.matrices, origins),
            record.context,
        ),
    )
