"""The command line: options in, report out, an error as one line. Heavy imports wait until they are needed."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gscompile.errors import GscompileError, OutputError, UsageError
from gscompile.printable import printable
from gscompile.streams import guard_streams, is_gone, take_failure

if TYPE_CHECKING:
    from gscompile.curve import FrontierPoint
    from gscompile.options import Options
    from gscompile.progress import Progress
    from gscompile.reporting.report import CompileReport


TARGET_HELP = "Hardware description: group_scissor, rram_45nm, macro_128 or a .toml file."
COMPILED_FOR = f"{TARGET_HELP} [default: the one compiled for]"


class _Commands(click.Group):
    """`gscompile MODEL` is `gscompile compile MODEL`; errors of ours become one line and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; closed, full or unread streams of this process never raise within."""
        guard_streams()
        try:
            return super().main(*args, **kwargs)
        except SystemExit as end:
            problem = take_failure(sys.stdout)
            if problem and not end.code:
                _fail(_unwritable(problem), OutputError.exit_code)
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {"--help", "-h", "--version"}
        if args and args[0] not in self.commands and args[0] not in known:
            args = ["compile", *args]
        ctx.obj = [*args]  # as given, for processes that are started to help
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _check_working_folder()
            return super().invoke(ctx)
        except GscompileError as problem:
            _fail(problem, problem.exit_code)
        except KeyboardInterrupt:
            _fail("stopped", 130)
        except click.ClickException as problem:
            _fail(problem.format_message(), problem.exit_code)
        except (click.exceptions.Exit, click.Abort):
            raise
        except MemoryError:
            _fail("out of memory", 1)
        except OSError as problem:  # the system refused something that no stage of ours has a sentence for
            if problem.errno is None or _wants_traceback():
                raise
            where = f"{os.fsdecode(problem.filename)}: " if isinstance(problem.filename, str | bytes) else ""
            _fail(f"{where}{problem.strerror}", OutputError.exit_code)
        except Exception as problem:
            if _wants_traceback():
                raise
            _fail(f"internal error: {type(problem).__name__}: {problem} (GSCOMPILE_DEBUG=1 shows where)", 1)


def _fail(problem: object, code: int) -> None:
    text = str(problem) if isinstance(problem, GscompileError) else str(problem).split("\n")[0]
    if not _is_told_by_another(code):
        click.echo(printable(f"gscompile: {text}"), err=True)
    sys.exit(code)


def _check_working_folder() -> None:
    try:
        os.getcwd()
    except OSError as problem:
        raise UsageError("the working folder does not exist any more; expected one that does") from problem


def _is_told_by_another(code: int) -> bool:
    """Of several processes the first says what is wrong, and the launcher that one is lost, or was told to stop."""
    from gscompile.training.parallel import is_first, is_launched
    from gscompile.training.world import LostError

    return (not is_first() and code != 1) or (is_launched() and code in (LostError.exit_code, 130, 143))


def _say(text: str, nl: bool = True, written: Path | None = None) -> None:
    """Write to standard output. Where that fails, say so, and what is `written`; OutputError where nothing is.

    A reader that goes away has read what it wanted.
    """
    try:
        click.echo("\n".join(map(printable, text.split("\n"))), nl=nl)
        problem = take_failure(sys.stdout)
    except OSError as error:
        problem = None if is_gone(error) else error
    except ValueError as error:  # a function of the user's has closed it
        problem = OSError(errno.EBADF, str(error))
    if problem and written is None:
        raise OutputError(_unwritable(problem)) from problem
    if problem:
        click.echo(printable(f"gscompile: {_unwritable(problem)}; written to {written}"), err=True)


def _unwritable(problem: OSError) -> str:
    return f"standard output cannot be written: {problem.strerror}"


def _wants_traceback() -> bool:
    return os.environ.get("GSCOMPILE_DEBUG", "").strip().lower() not in ("", "0", "false", "no", "off")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gscompile")
def main() -> None:
    """Compile ONNX networks for crossbar hardware: `gscompile MODEL` shrinks, maps and verifies one."""


def _options_of_a_search(command: Callable[..., None]) -> Callable[..., None]:
    """Options of `compile` and `frontier` alike."""
    for option in reversed(_SEARCH):
        command = option(command)
    return command


_SEARCH = (
    click.option("--force", is_flag=True, help="Replace an output folder that is there already."),
    click.option("--crossbar", metavar="RxC", help="Largest crossbar: rows by columns. [default: the target's, 64x64]"),
    click.option("--data", help="Training data: .npz, a folder of them, or package.module:function."),
    click.option("--eval", "eval", help="Validation data, which all decisions look at."),
    click.option("--test", help="Test data, measured once, on the written file."),
    click.option("--tiling", help="full: whole crossbars and a remainder; equal: the paper's. [default: full]"),
    click.option("--pack/--no-pack", default=None, help="Let small tiles of a layer share an array. [default: on]"),
    click.option(
        "--arrange/--no-arrange", default=None, help="Rearrange inputs and outputs among tiles. [default: on]"
    ),
    click.option("--pass", "passes", multiple=True, metavar="NAME[:OPTION=VALUE,...]", help="Passes to run, in order."),
    click.option("--minimize", help="area (the target's own), cells, wires or tiles. [default: area]"),
    click.option("--finetune", help="full: train what is compressed; none: solve for its weights. [default: full]"),
    click.option("--effort", help="quick, standard or max: how much training the search may do."),
    click.option("--epochs", type=float, help="Length of one training run. [default: 1]"),
    click.option("--batch-size", type=int, help="[default: 128, or what the network fixes]"),
    click.option("--lr", type=float, help="Learning rate. [default: found]"),
    click.option("--seed", type=int, help="[default: 0]"),
    click.option("--threads", type=int, help="Threads for training. [default: all cores]"),
    click.option("--device", help="Where torch trains. [default: cpu]"),
    click.option("--precision", help="auto, float32 or bfloat16: what training multiplies. [default: auto]"),
    click.option(
        "--augment", multiple=True, metavar="NAME", help="Vary training images: crop, flip or module:function."
    ),
    click.option("--teacher", metavar="MODEL", help="A network to learn from instead, larger or better trained."),
    click.option("--loss", metavar="FUNCTION", help="What training minimises instead, as module:function."),
    click.option("--metric", metavar="FUNCTION", help="Percent of a batch, instead of accuracy: module:function."),
    click.option("--time-budget", metavar="TIME", help="90s, 30m or 2h: then the search ends with the best so far."),
    click.option("--nproc", type=int, help="Processes that train together on this machine. [default: 1]"),
    click.option(
        "--resume/--no-resume",
        default=True,
        help="Go on where the same command was interrupted. [default: on]",
    ),
    click.option(
        "--emit",
        multiple=True,
        metavar="FORMAT,...",
        help="Netlist formats: verilog, yosys, spice, lefdef, dot.",
    ),
    click.option("--target", metavar="NAME|FILE", help=TARGET_HELP),
    click.option("--place/--no-place", default=None, help="Place the tiles. [default: where small, with --target]"),
    click.option("--fold/--no-fold", default=None, help="Fold batch norm and constants first. [default: on]"),
    click.option("--config", type=click.Path(path_type=Path), help="Options from a TOML file; the command line wins."),
    click.option("--quiet", "-q", is_flag=True, help="No progress and no table."),
)


@main.command("compile")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Output folder. [default: MODEL's name + .gscompile]"
)
@click.option("--max-drop", type=float, help="Points of accuracy that may be lost on --eval. [default: 0]")
@click.option("--margin", type=float, help="Standard errors to stay within --max-drop by. [default: 0]")
@click.option("--max-error", type=float, help="Without data: output error, relative to the range. [default: 0.01]")
@click.option("--max-cells", metavar="N|P%", help="Cells that the network may take, or percent of the original's.")
@click.option("--max-tiles", metavar="N|P%", help="Tiles that it may take.")
@click.option("--max-wires", metavar="N|P%", help="Wires that it may take.")
@_options_of_a_search
@click.option(
    "--input-shape",
    multiple=True,
    metavar="NAME=D,D,...",
    help="Sizes of an input that the file leaves open.",
)
@click.option("--strict", is_flag=True, default=None, help="Exit 3 when nothing smaller fits the budget.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
def compile_command(
    model: Path,
    out: Path | None,
    force: bool,
    resume: bool,
    config: Path | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Compress MODEL, map it to crossbars, verify and write it."""
    folder = out or Path(f"{model.stem}.gscompile")
    with _stoppable(folder):
        options = _options(config, given)
        _check_apart(folder, model, config, options)
        _launch(options.nproc)
        report = _compile(model, folder, options, force, quiet or not _is_first(), resume)
    if as_json and _is_first():
        _say(json.dumps(report.to_json()), written=folder)
    elif not quiet and _is_first():
        from gscompile.reporting.report import text

        _say(f"{text(report, _width())}written to {folder}", written=folder)


def _options(config: Path | None, given: Mapping[str, Any], **default: Any) -> Options:
    from gscompile.options import Options, read_config

    settings = read_config(config) if config else {}
    return Options(
        **default | settings | {key: value for key, value in given.items() if value is not None and value != ()}
    )


def _check_apart(folder: Path, model: Path, config: Path | None, options: Options) -> None:
    from gscompile.files.staging import check_apart

    read = (options.data, options.eval, options.test, options.teacher, options.target)
    check_apart(folder, [model, config, *read])


def _compile(model: Path, folder: Path, options: Options, force: bool, quiet: bool, resume: bool) -> CompileReport:
    from gscompile.driver import compile_model
    from gscompile.graph.network import Network

    with _progress(quiet) as progress:
        return compile_model(
            Network.load(model), printable(model.stem), folder, options, force, progress, resume
        ).report


def _launch(nproc: int) -> None:
    """Leave the work to several processes, unless this is one of them."""
    from gscompile.training.parallel import launch, world_size

    if nproc > 1 and world_size() == 1:
        sys.exit(launch(nproc, click.get_current_context().find_root().obj))


def _is_first() -> bool:
    from gscompile.training.parallel import is_first

    return is_first()


@contextmanager
def _stoppable(out: Path | None = None) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block, and one line says how to go on, where something is kept beside `out`."""
    from gscompile.stopping import Stopped, stoppable

    try:
        with stoppable():
            yield
    except Stopped as problem:
        from gscompile.training.checkpoint import is_begun
        from gscompile.training.world import AGAIN

        kept = AGAIN if out and is_begun(out) else "there is nothing yet to go on from"
        _fail(f"stopped; {kept}", 128 + problem.signal)


def _width() -> int | None:
    """Columns of the terminal; None where a file or another program reads."""
    import shutil

    return min(shutil.get_terminal_size((100, 24)).columns, 140) if sys.stdout.isatty() else None


def _progress(quiet: bool) -> Progress:
    from gscompile.progress import Progress, TerminalProgress

    return Progress() if quiet else TerminalProgress()


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Output folder. [default: MODEL's name + .frontier]")
@click.option("--points", type=click.IntRange(3), default=8, show_default=True, help="Most networks on the curve.")
@click.option("--folders", is_flag=True, help="Compile every point: its folder is complete.")
@click.option("--max-drop", type=float, help="Points of accuracy at which the curve ends. [default: 1]")
@_options_of_a_search
def frontier(
    model: Path,
    out: Path | None,
    force: bool,
    resume: bool,
    points: int,
    folders: bool,
    config: Path | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Write MODEL's curve of accuracy against cells, tiles and wires."""
    from gscompile.curve import write_frontier
    from gscompile.graph.network import Network

    folder = out or Path(f"{model.stem}.frontier")
    with _stoppable(folder):
        options = _options(config, given, max_drop=1.0)
        _check_apart(folder, model, config, options)
        _launch(options.nproc)
        with _progress(quiet or not _is_first()) as progress:
            network = Network.load(model)
            found = write_frontier(
                network, printable(model.stem), folder, options, points, folders, force, progress, resume
            )
    if not quiet and _is_first():
        _say("\n".join([*_curve(found), f"written to {folder}"]), written=folder)


def _curve(points: Sequence[FrontierPoint]) -> Iterator[str]:
    for p in points:
        test = "" if p.test is None else f" {p.test:8.2f} % on the test data"
        yield f"{p.cells:>12,} cells {p.tiles:>7,} tiles {p.wires:>9,} wires {p.score:8.2f} %{test}"


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--crossbar", metavar="RxC", default="64x64", show_default=True)
@click.option("--tiling", type=click.Choice(["full", "equal"]), default="full", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def inspect(model: Path, crossbar: str, tiling: str, as_json: bool) -> None:
    """Print how MODEL maps to crossbars, without compressing it."""
    from gscompile.crossbars.crossbar import Crossbar
    from gscompile.crossbars.mapping import MapOptions
    from gscompile.graph.network import Network
    from gscompile.reporting.inspection import inspect_network, table

    rows = inspect_network(Network.load(model), MapOptions(Crossbar.parse(crossbar), tiling))  # type: ignore[arg-type]
    _say(json.dumps([row.__dict__ for row in rows]) if as_json else table(rows), nl=as_json)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--input-shape",
    multiple=True,
    metavar="NAME=D,D,...",
    help="Sizes of an input that the file leaves open.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def verify(out: Path, input_shape: tuple[str, ...], as_json: bool) -> None:
    """Repeat the verification of an output folder."""
    from gscompile.judging.verify import verify_again

    lines = verify_again(out, input_shape)
    _say(json.dumps({"verified": [*lines]}) if as_json else "\n".join(map(printable, lines)))


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--matrix", metavar="NAME", help="One matrix: the name of its layer in the original network.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def explain(out: Path, matrix: str | None, as_json: bool) -> None:
    """Print what each pass did to each matrix of an output folder, and why it stopped."""
    from gscompile.compiled_folder import explain_folder
    from gscompile.reporting.explanation import explanation_text

    found = explain_folder(out, matrix)
    _say(json.dumps(found.to_json()) if as_json else explanation_text(found), nl=as_json)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="Samples: .npz, a folder of them, or package.module:function.")
@click.option("--target", metavar="NAME|FILE", help=COMPILED_FOR)
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True, help="How many, from the start.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Chips for each figure.")
@click.option("--sweep", is_flag=True, help="Accuracy against each device effect, too.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no text.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def simulate(
    out: Path,
    data: str,
    target: str | None,
    samples: int,
    seeds: int,
    sweep: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run an output folder's netlist tile by tile; exit 4 unless it computes what model.onnx does."""
    from gscompile.compiled_folder import target_of
    from gscompile.errors import VerificationError
    from gscompile.hardware_text import disagreement, simulation_text
    from gscompile.simulation.simulate import SimulationOptions, data_for, simulate_folder
    from gscompile.simulation.simulation_files import write_simulation

    hardware = target_of(out, target)
    options = SimulationOptions(samples, seeds=seeds, target=hardware, sweep=sweep)
    with _stoppable(), _progress(quiet) as progress:
        report = simulate_folder(out, data_for(out, data), options, progress.say)
        write_simulation(report, out / "simulate")
    _show(report.to_json() if as_json else None, simulation_text(report), out / "simulate", quiet)
    if not report.agrees:
        raise VerificationError(f"{out}: {disagreement(report)}")


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--original", type=click.Path(path_type=Path), help="The network before compression, placed beside it.")
@click.option("--target", metavar="NAME|FILE", help=COMPILED_FOR)
@click.option("--engine", default="auto", show_default=True, help="auto, coloquinte or shelves (netlist order).")
@click.option(
    "--route-seconds", type=click.IntRange(0), default=0, help="Search so many seconds for the channel width."
)
@click.option("--quiet", "-q", is_flag=True, help="No text.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def place(
    out: Path,
    original: Path | None,
    target: str | None,
    engine: str,
    route_seconds: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Place an output folder's netlist on a die: area, wires, congestion, cost and pictures."""
    from gscompile.compiled_folder import origins_of, shapes_of, target_of
    from gscompile.hardware_text import place_text
    from gscompile.placement.place import PlaceOptions
    from gscompile.placement.place_folder import place_folder

    options = PlaceOptions(engine, route_seconds=route_seconds)
    hardware, origins = target_of(out, target), origins_of(out)
    with _stoppable(), _progress(quiet) as progress:
        report = place_folder(
            out, hardware, options, original, origins=origins, say=progress.say, shapes=shapes_of(out)
        )
    _show(report.to_json() if as_json else None, place_text(report), out / "place", quiet)


def _show(data: dict[str, Any] | None, text: str, folder: Path, quiet: bool) -> None:
    if data is not None:
        _say(json.dumps(data), written=folder)
    elif not quiet:
        _say(f"{text}written to {folder}", written=folder)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="[default: MODEL's name + .reduced.onnx]")
@click.option("--seconds", type=click.IntRange(1), default=600, show_default=True, help="Longest run of COMMAND.")
@click.option("--any-message", is_flag=True, help="Compare exit codes alone, not the messages.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no text.")
def reduce(
    model: Path, command: tuple[str, ...], out: Path | None, seconds: int, any_message: bool, quiet: bool
) -> None:
    """Cut MODEL to the fewest nodes on which COMMAND still fails in the same way.

    COMMAND follows --, with {} in the place of the model: gscompile reduce m.onnx -- gscompile {} --crossbar 64x64
    """
    from gscompile.reduction.command import FailingCommand, placed
    from gscompile.reduction.reduce import reduce_file

    path = out or Path(f"{model.stem}.reduced.onnx")
    failing = FailingCommand(placed(command, str(model)), str(model), seconds, not any_message)
    with _stoppable(), _progress(quiet) as progress:
        smallest = reduce_file(model, failing, path, progress)
    if not quiet:
        _say(f"{len(smallest.graph.node)} nodes are left: written to {path}", written=path)
