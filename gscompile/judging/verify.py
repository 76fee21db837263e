"""Does the folder hold what it should? Answered from the files alone, one line a check that passed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from gscompile.crossbars.netlist import Matrix, Netlist, TileWeights
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.tile_file import TileFile, check_names, checked_tiles, holds
from gscompile.crossbars.wiring_check import check_wiring
from gscompile.data.dataset import Batch
from gscompile.data.inputs import has_tensor_inputs
from gscompile.errors import ModelError, OutputError, UsageError, VerificationError, one_line
from gscompile.files.native import native
from gscompile.formats import parse_formats
from gscompile.graph.network import Layer, Network
from gscompile.judging.constants_check import NOT_FINITE, named_line, odd_constants, spoiled_line
from gscompile.judging.files_check import ALWAYS, check_digests, check_listed
from gscompile.judging.own_faults import OWN_GAPS, own_gap, rounding_gap, shares_complaints
from gscompile.judging.report_check import check_report, known_target
from gscompile.onnx_files.loading import is_mapped, read_proto
from gscompile.onnx_files.missing_types import says_ranks, with_ranks
from gscompile.onnx_files.op_names import QUANTISED_OPS
from gscompile.onnx_files.protobuf_stream import without_data
from gscompile.onnx_files.sparse import write_out_sparse
from gscompile.onnx_files.stale import inference_fails_anyway
from gscompile.printable import printable
from gscompile.readback.emitted import Emitted
from gscompile.reporting.report import CompileReport
from gscompile.reporting.report_file import read_report
from gscompile.scoring.runner import (
    RunBatch,
    Runner,
    is_large,
    is_unknown_op,
    max_output_error,
    rounding_sensitivity,
    ulp_difference,
)

Shapes = Mapping[str, tuple[int, ...]]

NOT_RUN = "onnxruntime: not run, it does not know all ops of the original"
# Of the output range: onnxruntime with and without its optimisations. These may round half precision elsewhere,
# and compute a product with dequantised weights in integers.
SAME, SAME_HALF, SAME_QUANTISED = 1e-4, 1e-2, 5e-2
PLACES = 2  # units in the last place of an output that hardly moves
ROUNDING = 10  # times what a millionth of the inputs does: some networks make much of every rounding


def verify_folder(
    folder: Path, batches: Sequence[Batch] = (), runs: bool = True, original: Network | None = None
) -> tuple[str, ...]:
    """Check the model, the netlist and the tiles of an output folder against each other.

    With `batches`, onnxruntime runs the model with its optimisations off and on; `runs` is False where it knows not
    all of the original's ops. With the `original`, twice its own gap between the two is allowed as well, and so is a
    complaint of shape inference that it shares. Raises VerificationError naming the first thing that is wrong.
    """
    for name in ("model.onnx", "netlist.json", "tiles.npz"):
        if not (folder / name).is_file():
            raise VerificationError(f"{folder / name}: missing")
    return tuple(_checks(folder, lambda _: batches, runs, original))


Feed = Callable[[RunBatch], Sequence[Batch]]


def _checks(folder: Path, feed: Feed, runs: bool, original: Network | None) -> Iterator[str]:
    yield _check_model(folder / "model.onnx", original)
    yield _check_runs(folder / "model.onnx", feed, False, original) if runs else NOT_RUN
    network = _load(folder / "model.onnx")
    yield from _check_constants(network)
    yield _check_netlist(network, read_netlist(folder / "netlist.json"), TileFile(folder / "tiles.npz"))


def _load(path: Path) -> Network:
    try:
        return Network.load(path)
    except ModelError as problem:
        raise VerificationError(printable(str(problem))) from problem


def _check_constants(network: Network) -> Iterator[str]:
    """Raise VerificationError for a NaN that something computes with; yield a line that names others, if any."""
    found = [*odd_constants(network)]
    spoiled = next((odd for odd in found if odd.spoils), None)
    if spoiled is not None:
        raise VerificationError(f"model.onnx: {spoiled_line(spoiled)}")
    if found:
        yield named_line(found)


def _check_model(path: Path, original: Network | None = None) -> str:
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
        raise VerificationError(
            f"{path.name}: the ONNX checker refuses it: {printable(one_line(problem))}"
        ) from problem
    except onnx.shape_inference.InferenceError as problem:
        if original is not None and shares_complaints(original, problem):
            return f"{path.name}: accepted by the ONNX checker; its shape inference refuses it, as it does the original"
        if original is None and inference_fails_anyway(proto):
            return f"{path.name}: accepted by the ONNX checker; its shape inference fails whatever shapes are declared"
        raise VerificationError(f"{path.name}: shapes disagree: {printable(one_line(problem))}") from problem
    except (DecodeError, ValueError) as problem:
        raise VerificationError(f"{path.name}: not an ONNX file, or truncated") from problem
    return f"{path.name}: accepted by the ONNX checker, full check"


def _check_runs(path: Path, feed: Feed, may_be_unknown: bool, original: Network | None = None) -> str:
    """Run the model; where `may_be_unknown`, an op that onnxruntime does not have is said and not refused."""
    try:
        plain = Runner(path, optimise=False)
        if is_large(path):
            return _check_runs_as_it_is(plain, feed(plain))
        optimised, batches = Runner(path, optimise=True), feed(plain)
        gap = max_output_error(optimised, plain, batches) if batches else None
    except RuntimeError as problem:
        if may_be_unknown and is_unknown_op(problem):
            return NOT_RUN
        raise VerificationError(f"{path.name}: onnxruntime refuses it: {printable(str(problem))}") from problem
    if gap is None:
        return "onnxruntime: loads, optimisation off and on"
    allowed = gap <= _tolerance(path) or _is_rounding(gap, optimised, plain, batches)
    if not allowed and original is not None:
        allowed = gap <= OWN_GAPS * own_gap(original, batches)
    if not allowed and original is None:
        whole = max_output_error(
            Runner(path, integers=False), plain, batches
        )  # optimised, but for products made of integers
        allowed = whole <= SAME or gap <= OWN_GAPS * rounding_gap(path, plain, batches)
    if not allowed:
        raise VerificationError(
            f"{path.name}: onnxruntime with and without optimisation differ by {gap:.1e} of the range"
        )
    return f"onnxruntime: optimisation off and on differ by {gap:.1e} of the output range"


def _is_rounding(gap: float, optimised: Runner, plain: Runner, batches: Sequence[Batch]) -> bool:
    """Whether a difference is what rounding makes: of the size of its effect, or of the last places of a number."""
    return (
        gap <= min(ROUNDING * rounding_sensitivity(plain, batches), SAME_HALF)
        or ulp_difference(optimised, plain, batches) <= PLACES
    )


def _check_runs_as_it_is(runner: Runner, batches: Sequence[Batch]) -> str:
    """Once, its weights where they are: optimised, onnxruntime would hold a copy of all of them."""
    for batch in batches:
        runner(batch.inputs)
    return "onnxruntime: runs it, optimisation off (large: on, it would copy all weights)"


def _tolerance(path: Path) -> float:
    """How far the two may be apart, by what the model computes with."""
    model = read_proto(path)
    graphs = [model.graph, *(a.g for n in model.graph.node for a in n.attribute if a.HasField("g"))]
    if any(QUANTISED_OPS.search(node.op_type) for graph in graphs for node in graph.node):
        return SAME_QUANTISED
    held = {tensor.data_type for graph in graphs for tensor in graph.initializer}
    held |= {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    casts = {a.i for graph in graphs for n in graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"}
    half = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    return SAME_HALF if half & (held | casts) else SAME


def _check_netlist(network: Network, netlist: Netlist, weights: TileFile) -> str:
    try:
        layers = {layer.name: layer for layer in network.layers}
    except ModelError as problem:
        raise VerificationError(printable(str(problem))) from problem
    check_names(netlist, weights)
    for matrix in netlist.matrices:
        _check_matrix(matrix, layers.get(matrix.layer), weights)
    parts = {(matrix.layer, matrix.part) for matrix in netlist.matrices}
    missing = next((n for n, layer in layers.items() for p in range(layer.layout.parts) if (n, p) not in parts), None)
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
    dense = layer.matrices[matrix.part]
    if not holds(matrix, checked_tiles(matrix, weights, dense.dtype), dense):
        raise VerificationError(f"matrix {matrix.name!r}: netlist and tiles do not rebuild the weight in model.onnx")


def verify_again(folder: Path, input_shapes: Sequence[str] = ()) -> tuple[str, ...]:
    """Verify an existing output folder: files, figures of the report, network, tiles and emitted netlists.

    onnxruntime runs the network on a synthetic batch. Returns a line for each check that passed; raises
    VerificationError naming the first thing that is wrong.
    """
    from gscompile.data.synthetic import parse_input_shape

    if not os.path.isdir(folder):
        raise OutputError(f"{folder}: no such folder")
    shapes, report = dict(parse_input_shape(text) for text in input_shapes), read_report(folder)
    try:
        check_listed(report.files)
        digests = check_digests(folder, report.files)
    except VerificationError as changed:
        raise VerificationError(f"{changed}{_where(folder, report)}") from changed
    return tuple(printable(line) for line in (digests, *verify_contents(folder, report, shapes)))


def verify_contents(folder: Path, report: CompileReport, shapes: Shapes | None = None) -> tuple[str, ...]:
    """Verify all that a folder holds but the digests of its files; `shapes` are sizes of inputs left open."""
    model = _check_model(folder / "model.onnx")
    network = _load(folder / "model.onnx")
    netlist, weights = read_netlist(folder / "netlist.json"), TileFile(folder / "tiles.npz")
    emitted = Emitted(folder, netlist, weights, known_target(report, netlist))
    check_listed(report.files, (*ALWAYS, *sorted(path.name for path in network.files), *_asked(report, emitted)))
    check_listed(report.files, _of_chip(report))
    figures = check_report(report, netlist)
    runs = _check_runs(folder / "model.onnx", lambda run: _synthetic(network, shapes or {}, run), True)
    constants = (*_check_constants(network),)
    _check_said(report, constants)
    return (model, figures, runs, *constants, _check_netlist(network, netlist, weights), *emitted.check())


def _of_chip(report: CompileReport) -> tuple[str, ...]:
    """Files that are there where the report tells of a chip."""
    if report.chip is None:
        return ()
    pictures = (f"{kind}_{side}" for kind in ("floorplan", "congestion") for side in ("before", "after"))
    drawn = (f"{name}.{end}" for name in pictures for end in ("svg", "png"))
    return ("cost.csv", *drawn) if report.chip.engine is not None else ("cost.csv",)


def _asked(report: CompileReport, emitted: Emitted) -> list[str]:
    """Files of the formats that the report says were asked for. Raises VerificationError where it says nonsense."""
    emit = report.options.get("emit")
    try:
        if not isinstance(emit, list):
            raise UsageError(f"expected a list, got {type(emit).__name__}")
        formats = [form.name for form in parse_formats(",".join(map(str, emit)))]
    except UsageError as problem:
        raise VerificationError(f"report.json: options.emit: {problem}") from problem
    if not formats and emitted.is_none:
        return []
    for name, files in emitted.files.items():
        if name not in formats and any(file in report.files for file in files):
            raise VerificationError(f"report.json: options.emit: {name!r} is missing; its files are listed")
    return [file for form in formats for file in emitted.files.get(form, [])]


def _synthetic(network: Network, shapes: Shapes, run: RunBatch) -> list[Batch]:
    """Return a batch that the network runs; none where no data can be made, or none that was made runs."""
    from gscompile.data.synthetic import running_batch

    batch = running_batch(network.model, run, dict(shapes)) if has_tensor_inputs(network.model) else None
    return [] if batch is None else [Batch(batch, None)]


def _check_said(report: CompileReport, checks: Sequence[str]) -> None:
    """The report names the constants that are not finite, as they were when it was written."""
    said, found = ([line for line in lines if line.startswith(NOT_FINITE)] for lines in (report.verification, checks))
    if said != found:
        wanted = found[0] if found else "none"
        raise VerificationError(
            f"report.json: verification: {NOT_FINITE}: expected {wanted.removeprefix(NOT_FINITE + ': ')}"
        )


def _where(folder: Path, report: CompileReport) -> str:
    """What a change did: the first thing that no longer fits together, if any."""
    try:
        verify_folder(folder)
        check_report(report, read_netlist(folder / "netlist.json"))
    except VerificationError as wrong:
        return f": {wrong}"
    return ""
