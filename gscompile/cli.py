"""The command line: options in, report out, an error as one line. Heavy imports wait until they are needed."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gscompile.click_options import DeclaredCommand, given_options
from gscompile.errors import GscompileError, OutputError, UsageError
from gscompile.printable import printable
from gscompile.streams import guard_streams, is_gone, take_failure
from gscompile.version import __version__

if TYPE_CHECKING:
    from gscompile.curve import FrontierPoint
    from gscompile.progress import Progress


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
@click.version_option(__version__)
def main() -> None:
    """Compile ONNX networks for crossbar hardware.

    `gscompile MODEL` compresses a network, maps it to crossbars, verifies and writes it. `gscompile COMMAND --help`
    lists the options of a command.
    """


def _command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function the command of a name, with the options that are declared for it."""
    return main.command(name, cls=DeclaredCommand)


_model = click.argument("model", type=click.Path(path_type=Path))
_folder = click.argument("out", type=click.Path(path_type=Path))


@_command("compile")
@_model
def compile_command(model: Path, out: str | None, quiet: bool, as_json: bool, **_: Any) -> None:
    """Compress MODEL, map it to crossbars, verify and write it.

    MODEL is an ONNX file. `gscompile MODEL` is the same command.
    """
    folder = Path(out or f"{model.stem}.gscompile")
    with _stoppable(folder):
        given = _started("compile", folder)
        from gscompile import api

        with _progress(quiet or not _is_first()) as progress:
            report = api.compile(model, progress=progress, **given | {"out": folder}).report
    if as_json and _is_first():
        _say(json.dumps(report.to_json()), written=folder)
    elif not quiet and _is_first():
        from gscompile.reporting.report import text

        _say(f"{text(report, _width())}written to {folder}", written=folder)


def _started(command: str, folder: Path) -> dict[str, Any]:
    """Return the options of a command, from its file and the command line; check them, and start processes."""
    from gscompile.declaration import declarations
    from gscompile.files.staging import check_apart
    from gscompile.options import Options, options_of, read_config

    context = click.get_current_context()
    config = context.params["config"]
    from_file = read_config(Path(config)) if config else {}  # may be shared by commands
    known = options_of(command)
    given = {name: value for name, value in {**from_file, **given_options(context)}.items() if name in known}
    options = Options(**{name: value for name, value in given.items() if name in declarations(Options)})
    check_apart(folder, [config])
    _launch(options.nproc)
    return given


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


@_command("frontier")
@_model
def frontier(model: Path, out: str | None, quiet: bool, **_: Any) -> None:
    """Write MODEL's curve of accuracy against cells, tiles and wires."""
    folder = Path(out or f"{model.stem}.frontier")
    with _stoppable(folder):
        given = _started("frontier", folder)
        from gscompile import api

        with _progress(quiet or not _is_first()) as progress:
            found = api.frontier(model, progress=progress, **given | {"out": folder})
    if not quiet and _is_first():
        _say("\n".join([*_curve(found), f"written to {folder}"]), written=folder)


def _curve(points: Sequence[FrontierPoint]) -> Iterator[str]:
    for p in points:
        test = "" if p.test is None else f" {p.test:8.2f} % on the test data"
        yield f"{p.cells:>12,} cells {p.tiles:>7,} tiles {p.wires:>9,} wires {p.score:8.2f} %{test}"


@_command("inspect")
@_model
def inspect(model: Path, as_json: bool, **options: Any) -> None:
    """Print how MODEL maps to crossbars, without compressing it."""
    from gscompile import api
    from gscompile.reporting.inspection import table

    rows = api.inspect(model, **options)
    _say(json.dumps([row.__dict__ for row in rows]) if as_json else table(rows), nl=as_json)


@_command("verify")
@_folder
def verify(out: Path, as_json: bool, **options: Any) -> None:
    """Repeat the verification of the output folder OUT."""
    from gscompile import api

    lines = api.verify(out, **options)
    _say(json.dumps({"verified": [*lines]}) if as_json else "\n".join(map(printable, lines)))


@_command("explain")
@_folder
def explain(out: Path, as_json: bool, **options: Any) -> None:
    """Print what each pass did to each matrix of the output folder OUT, and why it stopped."""
    from gscompile import api
    from gscompile.reporting.explanation import explanation_text

    found = api.explain(out, **options)
    _say(json.dumps(found.to_json()) if as_json else explanation_text(found), nl=as_json)


@_command("simulate")
@_folder
def simulate(out: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Run the netlist of the output folder OUT tile by tile.

    The exit code is 4 where the tiles do not compute what model.onnx does.
    """
    from gscompile import api
    from gscompile.hardware_text import simulation_text

    problem = None
    with _stoppable(), _progress(quiet) as progress:
        try:
            report = api.simulate(out, progress=progress, **options)
        except api.DisagreementError as error:
            report, problem = error.report, error
    _show(report.to_json() if as_json else None, simulation_text(report), out / "simulate", quiet)
    if problem:
        raise problem


@_command("place")
@_folder
def place(out: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Place the netlist of the output folder OUT on a die.

    OUT/place then holds area, wires, congestion, cost and pictures.
    """
    from gscompile import api
    from gscompile.hardware_text import place_text

    with _stoppable(), _progress(quiet) as progress:
        report = api.place(out, progress=progress, **options)
    _show(report.to_json() if as_json else None, place_text(report), out / "place", quiet)


def _show(data: dict[str, Any] | None, text: str, folder: Path, quiet: bool) -> None:
    if data is not None:
        _say(json.dumps(data), written=folder)
    elif not quiet:
        _say(f"{text}written to {folder}", written=folder)


@main.command("reduce", cls=DeclaredCommand, context_settings={"ignore_unknown_options": True})
@_model
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def reduce(
    model: Path, command: tuple[str, ...], out: str | None, seconds: int, any_message: bool, quiet: bool
) -> None:
    """Cut MODEL to the fewest nodes on which COMMAND still fails.

    COMMAND follows --, with {} in the place of the model: gscompile reduce m.onnx -- gscompile {} --crossbar 64x64
    """
    from gscompile.reduction.command import FailingCommand, placed
    from gscompile.reduction.reduce import reduce_file

    path = Path(out or f"{model.stem}.reduced.onnx")
    failing = FailingCommand(placed(command, str(model)), str(model), seconds, not any_message)
    with _stoppable(), _progress(quiet) as progress:
        smallest = reduce_file(model, failing, path, progress)
    if not quiet:
        _say(f"{len(smallest.graph.node)} nodes are left: written to {path}", written=path)
