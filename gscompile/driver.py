"""The pipeline from end to end, in the order things happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from gscompile.compression.pricing import pricing
from gscompile.compression.transform import Context, PassResult, run_passes, without_dead_units
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.tile_file import TileFile
from gscompile.emit import emit_design
from gscompile.errors import BudgetError
from gscompile.files.output import staged
from gscompile.graph.fold import fold
from gscompile.graph.network import Network
from gscompile.graph.shelf import on_shelf
from gscompile.graph.weights import check_weights
from gscompile.hardware.target import Design
from gscompile.judging.judge import Judge, make_judge
from gscompile.judging.verify import verify_folder
from gscompile.onnx_files.bounds import check_constants
from gscompile.onnx_files.linear_models import DOMAIN, IN_ATTRIBUTES
from gscompile.options import EFFORTS, Options
from gscompile.passes import PASSES
from gscompile.placement.chip import Side, make_chip
from gscompile.progress import Progress
from gscompile.registry import create
from gscompile.reporting.report import CompileReport
from gscompile.summary import Story, summarise
from gscompile.training.conduct import Conduct, conducted
from gscompile.training.parallel import LostError, World
from gscompile.write import write_design, write_model, write_report


@dataclass(frozen=True, eq=False)
class Result:
    """A compiled network, its netlist and report, and the folder they were written to."""

    network: Network
    netlist: Netlist
    report: CompileReport
    folder: Path


@dataclass(frozen=True, eq=False)
class Job:
    """A network ready to be compressed: as it came and folded, who judges, and what passes are told."""

    original: Network
    name: str
    folded: Network
    folds: tuple[str, ...]
    judge: Judge
    context: Context
    options: Options
    began: float

    @property
    def mapping(self) -> MapOptions:
        """How the final network is cut; the search, and the network as it came, are cut in order."""
        return replace(self.context.mapping, arrange=self.options.arrange)


def compile_model(
    original: Network,
    name: str,
    out: Path,
    options: Options,
    force: bool = False,
    progress: Progress | None = None,
    resume: bool = True,
) -> Result:
    """Compile `original` into the folder `out`. Raises a GscompileError; then `out` was not touched.

    Goes on from where the same compile was interrupted, unless `resume` is False.
    """
    passes = [create("pass", PASSES, spec) for spec in options.passes]
    with (
        conducted(out, options, force, resume, progress or Progress()) as conduct,
        on_shelf(original, out, wanted=options.data is None and conduct.world.size == 1) as network,
    ):
        job = prepare(network, name, options, progress or Progress(), conduct)
        if conduct.world.rank:
            return _taken_over(follow(job, conduct.world), out)
        result = run_passes(job.folded, passes, job.context)
        result, messages = _within_budget(result, job)
        tidied = without_dead_units(result.network)
        result = replace(result, changes=(*result.changes, *tidied.changes))
        done = finish(job, result, messages, out, force)
        tell(lambda: (done.network.to_proto().SerializeToString(), done.netlist, done.report), conduct.world)
    return done


def _taken_over(last: tuple[bytes, Netlist, CompileReport], out: Path) -> Result:
    model, netlist, report = last
    return Result(Network.from_proto(onnx.ModelProto.FromString(model)), netlist, report, out)


def follow(job: Job, world: World) -> Any:
    """Help the first process to train; returns what it tells in the end."""
    return job.context.tuner.follow() if job.context.tuner else world.share()


def tell(outcome: Callable[[], Any], world: World) -> None:
    """Tell the processes that helped what came out, if any; it is written whether or not they still listen."""
    if world.size > 1:
        with suppress(LostError):
            world.share(outcome())


def prepare(original: Network, name: str, options: Options, progress: Progress, conduct: Conduct | None = None) -> Job:
    """Check and fold the network, and find out what it may lose."""
    began, conduct = time.perf_counter(), conduct or Conduct()
    if original.shelf is None:  # what is mapped from a file that somebody cuts short ends the process
        original = original.in_memory()
    check_weights(original)
    check_constants(original.graph, original.constants, original.opset)
    folded = original.copy()
    folds = fold(folded) if options.fold else []
    judge = make_judge(original, folded, options, progress, conduct)
    mapping = MapOptions(options.hardware.size, options.tiling, options.pack)
    price = pricing(options.minimize, options.hardware if options.target else None)
    base = Context(mapping, options.max_error, effort=EFFORTS[options.effort], price=price)
    base = replace(base, time_left=conduct.time_left)
    return Job(original, name, folded, tuple(folds), judge, judge.context(base), options, began)


def finish(job: Job, result: PassResult, messages: list[str], out: Path, force: bool) -> Result:
    """Map the final network, write everything, verify what was written and report on it."""
    options, judge = job.options, job.judge
    with staged(out, force) as folder:
        write_model(result.network, folder / "model.onnx")
        written = Network.load(folder / "model.onnx")
        written.adopt_origins(result.network)
        netlist = map_network(written, job.mapping, job.name)
        if any(matrix.cells < matrix.inputs * matrix.outputs for matrix in netlist.matrices):  # else no order is better
            messages = [*messages, *_rearranged(netlist, map_network(written, job.context.mapping))]
        write_design(written, netlist, folder)
        checks = verify_folder(folder, judge.probes, judge.runs, job.original)
        before = map_network(job.original, job.context.mapping, job.name)
        chip = make_chip(Side(job.original, before), Side(written, netlist), options, folder, judge.sample)
        if options.formats:
            weights = TileFile(folder / "tiles.npz")
            emit_design(Design(netlist, weights, options.hardware, chip.floorplan), options.formats, folder)
        story = Story(job.original, written, netlist, result.changes, job.folds, tuple(messages), checks, chip.figures)
        report = summarise(story, before, judge.measure(folder / "model.onnx"), options, folder, job.began)
        write_report(report, before, netlist, folder, chip.plans)
        job.original.check_files()
    return Result(Network.load(out / "model.onnx"), netlist, report, out)


def _rearranged(netlist: Netlist, in_order: Netlist) -> Iterator[str]:
    """What it brought to let inputs and outputs change places among the tiles of a matrix."""
    pairs = zip(netlist.matrices, in_order.matrices, strict=True)
    moved = sum((m.wires, m.cells, len(m.tiles)) != (o.wires, o.cells, len(o.tiles)) for m, o in pairs)
    if moved:
        figures = ((n.wires, len([*n.tiles]), n.cells) for n in (in_order, netlist))
        before, after = ("{:,} wires, {:,} tiles, {:,} cells".format(*each) for each in figures)
        which = "1 matrix" if moved == 1 else f"{moved} matrices"
        yield f"inputs and outputs of {which} are rearranged among the tiles: {before} -> {after}"


def _within_budget(result: PassResult, job: Job) -> tuple[PassResult, list[str]]:
    """The passes' result where it fits the budget, else the network as it came."""
    judge, messages = job.judge, [*job.original.corrected, *job.judge.messages]
    if not job.folded.layers:
        ops = sorted({n.op_type for n in job.folded.graph if n.domain == DOMAIN and n.op_type in IN_ATTRIBUTES})
        if ops:
            return result, [
                *messages,
                f"weights in attributes of {', '.join(ops)} are not mapped: it compiles to itself",
            ]
        return result, [*messages, "the network has no weights that multiply: it compiles to itself"]
    if judge.fits(result.network) and result.changes:
        return result, messages
    if job.options.strict:
        raise BudgetError("; ".join(judge.refusal))
    folded = ", folded" if job.folds else ""
    return PassResult(job.folded), [*messages, f"{judge.refusal.why}: the original network is mapped{folded}"]
