"""Run the whole pipeline in order: prepare, compress, map, write, verify, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from gscompile.compression.passes import UNITS, Context, Pass, PassResult, Stage, pass_results, without_dead_units
from gscompile.compression.pricing import Pricing
from gscompile.compression.size_budget import SizeBudget
from gscompile.compression.steps import FOLD
from gscompile.crossbars.mapping import Footprint, MapOptions, footprint, map_network
from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.tile_file import TileFile
from gscompile.emit import emit_design
from gscompile.errors import BudgetError, VerificationError
from gscompile.files.staging import staged
from gscompile.graph.fold import fold
from gscompile.graph.network import Network
from gscompile.graph.shelved_network import on_shelf
from gscompile.graph.weights import check_weights
from gscompile.hardware.cost import built_um2
from gscompile.hardware.target import Design
from gscompile.judging.budget import Budget
from gscompile.judging.constants_check import check_original
from gscompile.judging.make_budget import make_budget
from gscompile.judging.verify import verify_folder
from gscompile.onnx_files.bounds import check_constants
from gscompile.onnx_files.linear_models import unmapped_models
from gscompile.options import EFFORTS, Options
from gscompile.passes import PASSES
from gscompile.placement.chip import ChipSide, make_chip
from gscompile.progress import Progress
from gscompile.record import CompileRecord, summarise
from gscompile.registry import create
from gscompile.reporting.report import CompileReport, Figures
from gscompile.training.run_context import RunContext, open_run
from gscompile.training.world import LostError, World
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
    """A network ready to be compressed: the original, its folded copy, the budget, and the context of the passes."""

    original: Network
    name: str
    folded: Network
    folds: tuple[str, ...]
    judge: Budget
    context: Context
    options: Options
    began: float
    notes: Sequence[str] = ()  # lines from passes for the report

    @property
    def mapping(self) -> MapOptions:
        """Return how the final network is cut; the search and the original are cut without rearranging."""
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
    """Compile `original` into the folder `out`. Raises a GscompileError and leaves `out` untouched on failure.

    A compile that was interrupted is resumed, unless `resume` is False.
    """
    passes = [create("pass", PASSES, spec) for spec in options.passes]
    with (
        open_run(out, options, force, resume, progress or Progress()) as run_context,
        on_shelf(original, out, wanted=options.data is None and run_context.world.size == 1) as network,
    ):
        job = prepare(network, name, options, progress or Progress(), run_context)
        if run_context.world.rank:
            return _taken_over(follow(job, run_context.world), out)
        results = job.judge.search(lambda context: compress(job, passes, context), job.context)
        done = finish(job, partial(write_within_budget, job, results), out, force)
        tell(lambda: (done.network.to_proto().SerializeToString(), done.netlist, done.report), run_context.world)
    return done


def _taken_over(last: tuple[bytes, Netlist, CompileReport], out: Path) -> Result:
    model, netlist, report = last
    return Result(Network.from_proto(onnx.ModelProto.FromString(model)), netlist, report, out)


def follow(job: Job, world: World) -> Any:
    """Help the first process to train, and return what it shares at the end."""
    return job.context.trainer.run_worker() if job.context.trainer else world.share()


def tell(outcome: Callable[[], Any], world: World) -> None:
    """Share the outcome with the processes that helped, if any; one that is gone is no error: all files are written."""
    if world.size > 1:
        with suppress(LostError):
            world.share(outcome())


def prepare(
    original: Network, name: str, options: Options, progress: Progress, run_context: RunContext | None = None
) -> Job:
    """Check and fold the network, and set up its budget."""
    began, run_context = time.perf_counter(), run_context or RunContext()
    if original.shelf is None:  # a mapped file that is truncated meanwhile would kill the process
        original = original.in_memory()
    check_weights(original)
    check_constants(original.graph, original.constants, original.opset)
    check_original(original)
    folded = original.copy()
    folds = fold(folded) if options.fold else []
    judge = make_budget(original, folded, options, progress, run_context)
    area = partial(built_um2, target=options.hardware) if options.target else None
    mapping = MapOptions(options.hardware.size, options.tiling, options.pack, array_um2=area)
    price = Pricing(options.priced_by, options.hardware if options.target else None)
    base = Context(mapping, options.error, effort=EFFORTS[options.effort], price=price)
    size = SizeBudget.of(options.sizes, footprint(original, mapping)) if options.sizes else None
    notes: list[str] = []
    base = replace(base, time_left=run_context.time_left, size=size, note=notes.append)
    return Job(original, name, folded, tuple(folds), judge, judge.context(base), options, began, notes)


def compress(job: Job, passes: Sequence[Pass], context: Context) -> list[PassResult]:
    """Return candidates for writing, the smallest network first: after the last pass, after the one before, and so on.

    Dead units are removed before the first pass and after the last, if the network without them fits the budget.
    Candidates that take more than the original of what is minimised are left out; the list may be empty.
    """
    tidied, start = without_dead_units(job.folded.copy()), as_folded(job)
    if tidied.changes and job.judge.fits(tidied.network):
        start = tidied.after(start)
    results = [start, *(result.after(start) for result in pass_results(start.network, passes, context))]
    last = without_dead_units(results[-1].network.copy())
    if last.changes:
        results.append(last.after(results[-1]))
    return [result for result in reversed(results) if result.changes and not grown(job, result.network)]


def as_folded(job: Job) -> PassResult:
    """Return the network as it was folded, before any pass."""
    return PassResult(job.folded, stages=(Stage(FOLD, job.folded, True),) if job.folds else ())


def grown(job: Job, network: Network) -> bool:
    """Return whether a network takes more than the original of what `Options.minimize` names."""
    before, after = (footprint(each, job.context.mapping) for each in (job.original, network))
    if job.options.minimize == "area":
        return job.context.price(before).saved(before, after) < 0
    return bool(getattr(after, job.options.minimize) > getattr(before, job.options.minimize))


Written = tuple[PassResult, list[str]]  # the result, and messages for the report


def finish(job: Job, write: Callable[[Path], Written], out: Path, force: bool) -> Result:
    """Write the network that `write` chooses, map it, verify the written files and report on them."""
    options, judge = job.options, job.judge
    with staged(out, force) as folder:
        result, messages = write(folder / "model.onnx")
        written = Network.load(folder / "model.onnx")
        written.adopt_origins(result.network)
        netlist = map_network(written, job.mapping, job.name)
        if any(
            matrix.cells < matrix.inputs * matrix.outputs for matrix in netlist.matrices
        ):  # a dense matrix gains nothing from another order
            messages = [*messages, *_rearranged(netlist, map_network(written, job.context.mapping))]
        messages = [*messages, *_size_missed(job, netlist)]
        write_design(written, netlist, folder)
        checks = verify_folder(folder, judge.probes, judge.runs, job.original)
        before = map_network(job.original, job.context.mapping, job.name)
        chip = make_chip(ChipSide(job.original, before), ChipSide(written, netlist), options, folder, judge.sample)
        if options.formats:
            weights = TileFile(folder / "tiles.npz")
            emit_design(Design(netlist, weights, options.hardware, chip.floorplan), options.formats, folder)
        folds = () if result.network is job.original else job.folds
        record = CompileRecord(
            job.original, written, netlist, result, folds, tuple(messages), checks, job.context, chip.figures
        )
        report = summarise(record, before, judge.measure(folder / "model.onnx"), options, folder, job.began)
        report = write_report(report, before, netlist, folder, chip.plans)
        job.original.check_files()
    return Result(Network.load(out / "model.onnx"), netlist, report, out)


def _size_missed(job: Job, netlist: Netlist) -> list[str]:
    """Return by how much the sizes that were asked for are missed, and why. Raise BudgetError with `--strict`."""
    figures = Figures.of(netlist.matrices)
    taken = Footprint(cells=figures.cells, wires=figures.wires, tiles=figures.tiles)
    missed = [*job.context.size.missed(taken)] if job.context.size is not None else []
    if missed and job.options.strict:
        raise BudgetError("; ".join([*missed, *job.notes]))
    return [*missed, *job.notes]


def _rearranged(netlist: Netlist, in_order: Netlist) -> Iterator[str]:
    """Yield a line on what rearranging the inputs and outputs of matrices among tiles saved."""
    pairs = zip(netlist.matrices, in_order.matrices, strict=True)
    moved = sum((m.wires, m.cells, len(m.tiles)) != (o.wires, o.cells, len(o.tiles)) for m, o in pairs)
    if moved:
        figures = ((n.wires, len([*n.tiles]), n.cells) for n in (in_order, netlist))
        before, after = ("{:,} wires, {:,} tiles, {:,} cells".format(*each) for each in figures)
        which = "1 matrix" if moved == 1 else f"{moved} matrices"
        yield f"inputs and outputs of {which} are rearranged among the tiles: {before} -> {after}"


def first_fitting(results: Iterable[PassResult], judge: Budget, path: Path) -> PassResult | None:
    """Write one result after the other to `path`; return the first whose file fits the budget, None if none does."""
    for result in results:
        write_model(result.network, path)
        if judge.fits_written(path):
            return result
    return None


def write_within_budget(job: Job, results: Sequence[PassResult], path: Path) -> Written:
    """Write the first result that fits, else the original network; return it, and the messages of the report.

    Raise BudgetError if nothing smaller fits and the options are strict.
    """
    judge, messages = job.judge, [*job.original.corrected, *job.judge.messages]
    if ops := unmapped_models(job.original.graph):
        messages.append(f"weights in attributes of {', '.join(ops)} are not mapped")
    kept = first_fitting(results, judge, path)
    if kept is None and job.options.strict and job.folded.layers:
        raise BudgetError("; ".join(judge.refusal))
    if kept is None:
        kept = write_original(job, path)
        return kept, [*messages, *_nothing_smaller(job, kept)]
    if kept is not results[0]:
        messages.append("the smallest network is beyond the budget once it is written: a larger one is mapped")
    if all(change.what == UNITS for change in kept.changes):
        messages += _nothing_smaller(job, kept)
    return kept, messages


def write_original(job: Job, path: Path) -> PassResult:
    """Write the original network, folded if that stays within the budget."""
    original = PassResult(job.original)
    kept = first_fitting([as_folded(job), original] if job.folds else [original], job.judge, path)
    if kept is None and (wrong := job.judge.other_form(path)):
        raise VerificationError(f"{path.name}: {wrong}")
    return kept or original


def _nothing_smaller(job: Job, kept: PassResult) -> Iterator[str]:
    """Yield the lines for a network that no pass made smaller, apart from dead units."""
    is_folded = bool(job.folds) and kept.network is not job.original
    tidied = ", without its dead units" if kept.changes else ""
    if job.folded.layers:
        over = "the time budget was over before a smaller network was found that fits"
        why = over if job.context.out_of_time() else job.judge.refusal.why
        yield f"{why}: the original network is mapped{', folded' if is_folded else ''}{tidied}"
    else:
        yield "the network has no weights that multiply: it compiles to itself"
    if job.folds and not is_folded:
        yield "folded, the network is beyond the budget: it is written as it came"
