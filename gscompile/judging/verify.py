"""Does the folder hold what it should? Answered from the files alone, one line a check that passed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from gscompile.crossbars.netlist import Matrix, TileWeights, rebuild
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.tile_file import TileFile, check_names, checked_tiles
from gscompile.crossbars.wiring_check import check_wiring
from gscompile.data.dataset import Batch
from gscompile.data.inputs import has_tensor_inputs
from gscompile.errors import ModelError, OutputError, VerificationError, one_line
from gscompile.files.native import native
from gscompile.graph.network import Layer, Network
from gscompile.onnx_files.loading import is_mapped, read_proto
from gscompile.onnx_files.sparse import write_out_sparse
from gscompile.onnx_files.unsaid import says_ranks, with_ranks
from gscompile.onnx_files.wire import without_data
from gscompile.reporting.report import CompileReport
from gscompile.scoring.evaluate import Runner, drift, is_large, last_places, unrest

NOT_RUN = "onnxruntime: not run, it does not know all ops of the original"
# Of the output range: onnxruntime with and without its optimisations. These may round half precision elsewhere,
# and compute a product with dequantised weights in integers.
SAME, SAME_HALF, SAME_QUANTISED = 1e-4, 1e-2, 5e-2
PLACES = 2  # units in the last place of an output that hardly moves
ROUNDING = 10  # times what a millionth of the inputs does: some networks make much of every rounding


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_folder(folder: Path, batches: Sequence[Batch] = (), runs: bool = True) -> tuple[str, ...]:
    """Check the model, the netlist and the tiles of an output folder against each other.

    With `batches`, onnxruntime runs the model with its optimisations off and on; `runs` is False where it knows not
    all of the original's ops. Raises VerificationError naming the first thing that is wrong.
    """
    for name in ("model.onnx", "netlist.json", "tiles.npz"):
        if not (folder / name).is_file():
            raise VerificationError(f"{folder / name}: missing")
    return tuple(_checks(folder, batches, runs))


def _checks(folder: Path, batches: Sequence[Batch], runs: bool) -> Iterator[str]:
    yield _check_model(folder / "model.onnx")
    yield _check_runs(folder / "model.onnx", batches) if runs else NOT_RUN
    yield _check_netlist(folder)


def _check_model(path: Path) -> str:
    try:
        proto = read_proto(path)
        if not says_ranks(proto):
            onnx.checker.check_model(with_ranks(without_data(proto)))
            return f"{path.name}: accepted by the ONNX checker, which checks no shapes where an output has none"
        model = without_data(proto) if is_mapped(path) else native(path)
        onnx.checker.check_model(model)
        sparse = write_out_sparse(path.name, proto, path.parent)  # ONNX's inference takes a sparse tensor for a scalar
        if sparse:
            model = without_data(proto) if is_mapped(path) else proto
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as problem:
        raise VerificationError(f"{path.name}: the ONNX checker refuses it: {one_line(problem)}") from problem
    except onnx.shape_inference.InferenceError as problem:
        raise VerificationError(f"{path.name}: shapes disagree: {one_line(problem)}") from problem
    except (DecodeError, ValueError) as problem:
        raise VerificationError(f"{path.name}: not an ONNX file, or truncated") from problem
    return f"{path.name}: accepted by the ONNX checker, full check"


def _check_runs(path: Path, batches: Sequence[Batch]) -> str:
    if is_large(path):
        return _check_runs_as_it_is(path, batches)
    try:
        plain, optimised = Runner(path, optimise=False), Runner(path, optimise=True)
        gap = drift(optimised, plain, batches) if batches else None
    except RuntimeError as problem:
        raise VerificationError(f"{path.name}: onnxruntime refuses it: {problem}") from problem
    if gap is None:
        return "onnxruntime: loads, optimisation off and on"
    if not gap <= _tolerance(path) and not _is_rounding(gap, optimised, plain, batches):
        raise VerificationError(
            f"{path.name}: onnxruntime with and without optimisation differ by {gap:.1e} of the range"
        )
    return f"onnxruntime: optimisation off and on differ by {gap:.1e} of the output range"


def _is_rounding(gap: float, optimised: Runner, plain: Runner, batches: Sequence[Batch]) -> bool:
    """Whether a difference is what rounding makes: of the size of its effect, or of the last places of a number."""
    return gap <= min(ROUNDING * unrest(plain, batches), SAME_HALF) or last_places(optimised, plain, batches) <= PLACES


def _check_runs_as_it_is(path: Path, batches: Sequence[Batch]) -> str:
    """Once, its weights where they are: optimised, onnxruntime would hold a copy of all of them."""
    try:
        runner = Runner(path, optimise=False)
        for batch in batches:
            runner(batch.inputs)
    except RuntimeError as problem:
        raise VerificationError(f"{path.name}: onnxruntime refuses it: {problem}") from problem
    return "onnxruntime: runs it, optimisation off (large: on, it would copy all weights)"


def _tolerance(path: Path) -> float:
    """How far the two may be apart, by what the model computes with."""
    model = read_proto(path)
    graphs = [model.graph, *(a.g for n in model.graph.node for a in n.attribute if a.HasField("g"))]
    if any(_QUANTISED.search(node.op_type) for graph in graphs for node in graph.node):
        return SAME_QUANTISED
    held = {tensor.data_type for graph in graphs for tensor in graph.initializer}
    held |= {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    casts = {a.i for graph in graphs for n in graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"}
    half = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    return SAME_HALF if half & (held | casts) else SAME


_QUANTISED = re.compile("[Qq]uantize|Integer|QLinear|^Q[A-Z]|NBits")


def _check_netlist(folder: Path) -> str:
    netlist = read_netlist(folder / "netlist.json")
    try:
        network = Network.load(folder / "model.onnx")
        layers = {layer.name: layer for layer in network.layers}
    except ModelError as problem:
        raise VerificationError(str(problem)) from problem
    weights = TileFile(folder / "tiles.npz")
    check_names(netlist, weights)
    for matrix in netlist.matrices:
        _check_matrix(matrix, layers.get(matrix.layer), checked_tiles(matrix, weights))
    mapped = {matrix.layer for matrix in netlist.matrices}
    missing = next((name for name in layers if name not in mapped), None)
    if missing is not None:
        raise VerificationError(f"layer {missing!r} of model.onnx is not in the netlist")
    check_wiring(network, netlist)
    return f"netlist and tiles rebuild all {len(netlist.matrices)} matrices bit for bit"


def _check_matrix(matrix: Matrix, layer: Layer | None, weights: TileWeights) -> None:
    if layer is None or matrix.part >= layer.layout.parts:
        raise VerificationError(f"matrix {matrix.name!r}: model.onnx has no layer {matrix.layer!r}")
    if (matrix.inputs, matrix.outputs) != (layer.layout.inputs, layer.layout.outputs):
        wanted = f"{layer.layout.inputs} x {layer.layout.outputs}"
        raise VerificationError(f"matrix {matrix.name!r}: {matrix.inputs} x {matrix.outputs}, {wanted} in model.onnx")
    if not np.array_equal(rebuild(matrix, weights), layer.matrices[matrix.part]):
        raise VerificationError(f"matrix {matrix.name!r}: netlist and tiles do not rebuild the weight in model.onnx")


def read_report(folder: Path) -> CompileReport:
    """The report of an output folder. Raises VerificationError."""
    try:
        return CompileReport.from_json(json.loads((folder / "report.json").read_text("utf-8")))
    except OSError as problem:
        raise VerificationError(f"{folder / 'report.json'}: cannot be read: {problem.strerror}") from problem
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise VerificationError(f"{folder / 'report.json'}: not a report: {one_line(problem)}") from problem


def verify_digests(folder: Path, digests: Mapping[str, str]) -> str:
    """The files are those the report tells of. Raises VerificationError for one that changed or is missing."""
    for name, digest in digests.items():
        path = folder / name
        if not os.path.isfile(path):
            raise VerificationError(f"{path}: missing")
        if sha256(path) != digest:
            raise VerificationError(f"{path}: not the file that was written (its sha256 changed)")
    return f"sha256 of {len(digests)} files as reported"


def verify_again(folder: Path, input_shapes: Sequence[str] = ()) -> tuple[str, ...]:
    """The verification of an existing output folder, with a synthetic batch for onnxruntime."""
    from gscompile.data.synthetic import parse_input_shape, synthetic_batch

    if not os.path.isdir(folder):
        raise OutputError(f"{folder}: no such folder")
    shapes, report = dict(parse_input_shape(text) for text in input_shapes), read_report(folder)
    try:
        digests = verify_digests(folder, report.files)
    except VerificationError as changed:
        raise VerificationError(f"{changed}{_where(folder)}") from changed
    _check_model(folder / "model.onnx")
    network, runs = Network.load(folder / "model.onnx"), NOT_RUN not in report.verification
    fed = runs and has_tensor_inputs(network.model)
    batches = [Batch(synthetic_batch(network.model, shapes), None)] if fed else []
    return (digests, *verify_folder(folder, batches, runs))


def _where(folder: Path) -> str:
    """What a change did: the first thing that no longer fits together, if any."""
    try:
        verify_folder(folder)
    except VerificationError as wrong:
        return f": {wrong}"
    return ""
