"""The pipeline from end to end, in the order things happen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from gscompile.chip import Side, make_chip
from gscompile.emit import emit_design
from gscompile.errors import BudgetError
from gscompile.fold import fold
from gscompile.judge import Judge, make_judge
from gscompile.mapping import MapOptions, map_network
from gscompile.netlist import Netlist
from gscompile.network import Network
from gscompile.options import EFFORTS, Options
from gscompile.output import check_free, staged
from gscompile.passes import PASSES
from gscompile.pricing import pricing
from gscompile.progress import Progress
from gscompile.registry import create
from gscompile.report import CompileReport
from gscompile.summary import Story, summarise
from gscompile.target import Design
from gscompile.transform import Context, PassResult, run_passes
from gscompile.units import drop_dead_units
from gscompile.verify import verify_folder
from gscompile.weights import check_weights
from gscompile.write import write_design, write_model, write_report


@dataclass(frozen=True, eq=False)
class Result:
    """A compiled network, its netlist and report, and the folder they were written to."""

    network: Network
    netlist: Netlist
    report: CompileReport
    folder: Path


def compile_model(
    original: Network, name: str, out: Path, options: Options, force: bool = False, progress: Progress | None = None
) -> Result:
    """Compile `original` into the folder `out`. Raises a GscompileError; then `out` was not touched."""
    began, progress = time.perf_counter(), progress or Progress()
    passes = [create("pass", PASSES, spec) for spec in options.passes]
    mapping = MapOptions(options.hardware.size, options.tiling)
    check_free(out, force)
    check_weights(original)

    folded = original.copy()
    folds = fold(folded) if options.fold else []
    judge = make_judge(original, folded, options, progress)
    target = options.hardware if options.target else None
    base = Context(mapping, options.max_error, effort=EFFORTS[options.effort], price=pricing(options.minimize, target))
    result = run_passes(folded, passes, judge.context(base))
    result, messages = _within_budget(result, folded, judge, options)
    drop_dead_units(result.network)

    with staged(out, force) as folder:
        write_model(result.network, folder / "model.onnx")
        written = Network.load(folder / "model.onnx")
        written.adopt_origins(result.network)
        netlist = map_network(written, mapping, name)
        weights = write_design(written, netlist, folder)
        checks = verify_folder(folder, judge.probes, judge.runs)
        before = map_network(original, mapping, name)
        chip = make_chip(Side(original, before), Side(written, netlist), options, folder, judge.sample)
        with weights:
            emit_design(Design(netlist, weights, options.hardware, chip.floorplan), options.formats, folder)
        story = Story(original, written, netlist, result.changes, tuple(folds), tuple(messages), checks, chip.figures)
        report = summarise(story, before, judge.measure(folder / "model.onnx"), options, folder, began)
        write_report(report, before, netlist, folder, chip.plans)
    return Result(Network.load(out / "model.onnx"), netlist, report, out)


def _within_budget(result: PassResult, folded: Network, judge: Judge, options: Options) -> tuple[PassResult, list[str]]:
    """The passes' result where it fits the budget, else the network as it came."""
    messages = [*judge.messages]
    if not folded.layers:
        return result, [*messages, "the network has no weights that multiply: it compiles to itself"]
    if judge.fits(result.network) and result.changes:
        return result, messages
    if options.strict:
        raise BudgetError(f"nothing smaller fits {judge.budget}; raise it, give more data or a larger --effort")
    return PassResult(folded), [*messages, f"nothing smaller fits {judge.budget}: the original network is mapped"]


