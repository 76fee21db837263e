"""The report of a compilation, every figure recomputed from the files that were written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

from gscompile.constants import behind_identity, held_tensor
from gscompile.judge import Measured
from gscompile.netlist import Netlist
from gscompile.network import Network
from gscompile.options import Options
from gscompile.report import (
    Chip,
    CompileReport,
    Figures,
    Untouched,
    layer_rows,
    matrix_figures,
    mean_routing_area,
)
from gscompile.transform import Change
from gscompile.verify import sha256

_VERSIONS = ("gscompile", "onnx", "onnxruntime", "onnx-ir", "numpy", "torch")
LARGE = 256  # elements: a constant that the report accounts for


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
    )


def untouched(original: Network, written: Network) -> Iterator[Untouched]:
    """Every node of the original with a constant of 256 elements or more that no layer of the result took over."""
    taken = {layer.origin for layer in written.layers if layer.name not in _same(original, written)}
    layers = {(use.node, use.index): layer for layer in original.layers for use in layer.uses}
    for node in original.graph.all_nodes():
        for index, value in enumerate(node.inputs):
            held = held_tensor(behind_identity(value)) if value is not None else None
            if held is None or held.size < LARGE:
                continue
            layer = layers.get((node, index))
            if layer is None or layer.origin not in taken:
                why = _why(node, index, layer is not None, held)
                yield Untouched(node.name or str(node.outputs[0].name), node.op_type, str(held.name), int(held.size), why)


def _same(original: Network, written: Network) -> set[str]:
    """Layers whose weight did not change."""
    old = {layer.name: layer for layer in original.layers}
    return {
        layer.name
        for layer in written.layers
        if layer.name in old
        and layer.matrices.shape == old[layer.name].matrices.shape
        and bool((layer.matrices == old[layer.name].matrices).all())
    }


_DIGITAL = {
    "Gather": "an embedding lookup stays digital",
    "Add": "an element-wise constant stays digital",
    "Mul": "an element-wise constant stays digital",
    "Sub": "an element-wise constant stays digital",
    "Div": "an element-wise constant stays digital",
}


def _why(node: ir.Node, index: int, is_layer: bool, held: ir.TensorProtocol) -> str:
    if is_layer and not str(held.dtype).startswith(("FLOAT", "DOUBLE", "BFLOAT")):
        return "mapped as it is: a quantised weight is not compressed"
    if is_layer:
        return "mapped as it is: nothing smaller fitted the budget"
    return _DIGITAL.get(node.op_type, f"input {index} of {node.op_type} is not a matrix that multiplies")
