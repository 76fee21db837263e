"""The commands as functions: `gscompile.compile(model, crossbar="64x64", data=..., max_drop=...)`, and the others.

Their signatures are written by `python -m tests.signatures`, from the declarations of the options.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from gscompile.command_options import Engine
from gscompile.crossbars.crossbar import Crossbar, Tiling
from gscompile.declaration import declarations, did_you_mean
from gscompile.driver import Result, compile_model
from gscompile.errors import ModelError, OutputError, UsageError, VerificationError
from gscompile.files.staging import check_apart
from gscompile.graph.network import Network
from gscompile.options import Effort, Finetune, Minimize, Options, Precision, options_of
from gscompile.printable import printable
from gscompile.progress import Progress

if TYPE_CHECKING:
    from gscompile.curve import FrontierPoint
    from gscompile.placement.place_folder import PlaceReport
    from gscompile.reporting.explanation import Explanation
    from gscompile.reporting.inspection import MappedLayer
    from gscompile.simulation.simulate import SimulationReport

__all__ = ["DisagreementError", "Result", "compile", "explain", "frontier", "inspect", "place", "simulate", "verify"]

Model = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model | Network
P = ParamSpec("P")
R = TypeVar("R")


class DisagreementError(VerificationError):
    """The tiles of an output folder do not compute what its model does; `report` has the figures."""

    def __init__(self, text: str, report: SimulationReport) -> None:
        super().__init__(text)
        self.report = report


def _command(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function check its options first, by their declarations; UsageError names the wrong one."""
    known, options = signature(function).parameters, options_of(function.__name__)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in sorted(kwargs.keys() - known.keys()):
            raise UsageError(f"option {name!r} is unknown{did_you_mean(name, known)}")
        for name, value in signature(function).bind(*args, **kwargs).arguments.items():
            if name in options:
                options[name].check(value)
        _check_type("progress", kwargs.get("progress"), (Progress, type(None)), "a gscompile.progress.Progress")
        return function(*args, **kwargs)

    return checked


@_command
def compile(
    model: Model,
    crossbar: str | tuple[int, int] | Crossbar | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
    resume: bool = True,
    *,
    tiling: Tiling = "full",
    pack: bool = True,
    arrange: bool = True,
    data: Any = None,
    eval: Any = None,
    test: Any = None,
    max_drop: float | None = None,
    margin: float = 0.0,
    max_error: float | None = None,
    max_cells: str | int | None = None,
    max_tiles: str | int | None = None,
    max_wires: str | int | None = None,
    passes: list[str] | tuple[str, ...] = ("rank-clip", "delete-groups", "drop-dead-units"),
    minimize: Minimize = "area",
    finetune: Finetune = "full",
    effort: Effort = "standard",
    epochs: float = 1.0,
    batch_size: int = 128,
    lr: float | None = None,
    seed: int = 0,
    time_budget: str | float | None = None,
    nproc: int = 1,
    threads: int | None = None,
    device: str = "cpu",
    precision: Precision = "auto",
    augment: list[Any] | tuple[Any, ...] = (),
    teacher: str | Path | None = None,
    loss: Any = None,
    metric: Any = None,
    strict: bool = False,
    fold: bool = True,
    input_shape: list[str] | tuple[str, ...] = (),
    emit: list[str] | tuple[str, ...] = (),
    target: str | Path | None = None,
    place: bool | None = None,
) -> Result:
    """Compile an ONNX file, or a model in memory, and return its network, netlist and report.

    `model` is a path, the bytes of a file, an `onnx.ModelProto`, an `onnx_ir.Model` or a `gscompile.Network`.

    The options are those of the command line. Without `out` the files go to a temporary folder, which is the caller's
    to remove. Raises a GscompileError.
    """
    settings = _settings(locals())
    network, name, folder = _opened(model, out, "gscompile", settings)
    return compile_model(network, name, folder, settings, force, progress, resume)


@_command
def frontier(
    model: Model,
    crossbar: str | tuple[int, int] | Crossbar | None = None,
    out: str | Path | None = None,
    points: int = 8,
    folders: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    resume: bool = True,
    *,
    max_drop: float = 1.0,
    tiling: Tiling = "full",
    pack: bool = True,
    arrange: bool = True,
    data: Any = None,
    eval: Any = None,
    test: Any = None,
    margin: float = 0.0,
    max_error: float | None = None,
    passes: list[str] | tuple[str, ...] = ("rank-clip", "delete-groups", "drop-dead-units"),
    minimize: Minimize = "area",
    finetune: Finetune = "full",
    effort: Effort = "standard",
    epochs: float = 1.0,
    batch_size: int = 128,
    lr: float | None = None,
    seed: int = 0,
    time_budget: str | float | None = None,
    nproc: int = 1,
    threads: int | None = None,
    device: str = "cpu",
    precision: Precision = "auto",
    augment: list[Any] | tuple[Any, ...] = (),
    teacher: str | Path | None = None,
    loss: Any = None,
    metric: Any = None,
    fold: bool = True,
    input_shape: list[str] | tuple[str, ...] = (),
    emit: list[str] | tuple[str, ...] = (),
    target: str | Path | None = None,
    place: bool | None = None,
) -> tuple[FrontierPoint, ...]:
    """Write the curve of accuracy against cells, tiles and wires, and return its points.

    There are at most `points` of them; with `folders` each is a complete output. `model` and the options are those of
    `compile`; `data` is needed. Raises a GscompileError.
    """
    settings = _settings(locals())
    from gscompile.curve import write_frontier

    network, name, folder = _opened(model, out, "frontier", settings)
    return write_frontier(network, name, folder, settings, points, folders, force, progress, resume)


@_command
def inspect(
    model: Model, crossbar: str | tuple[int, int] | Crossbar | None = None, tiling: Tiling = "full"
) -> tuple[MappedLayer, ...]:
    """Return how a model maps to crossbars as it is: cells, tiles and wires of every layer with weights.

    `model` is what `compile` takes. Raises a GscompileError.
    """
    settings = _settings(locals())
    from gscompile.crossbars.mapping import MapOptions
    from gscompile.reporting.inspection import inspect_network

    return inspect_network(_taken(model)[0], MapOptions(settings.hardware.size, settings.tiling))


@_command
def verify(out: str | Path, input_shape: list[str] | tuple[str, ...] = ()) -> tuple[str, ...]:
    """Repeat the verification of an output folder, and return a line for each check that passed.

    `input_shape` are sizes of inputs that the file leaves open, as `NAME=D,D,...`. Raises VerificationError that names
    the first thing that is wrong.
    """
    from gscompile.judging.verify import verify_again

    return verify_again(_path("out", out), input_shape)


@_command
def explain(out: str | Path, matrix: str | None = None) -> Explanation:
    """Return what each pass did to each matrix of an output folder, and why each pass stopped.

    `matrix` restricts the steps to one matrix: the name of its layer in the original network. Raises a GscompileError.
    """
    from gscompile.compiled_folder import explain_folder

    return explain_folder(_path("out", out), matrix)


@_command
def simulate(
    out: str | Path,
    data: Any,
    target: str | Path | None = None,
    samples: int = 1000,
    seeds: int = 3,
    sweep: bool = False,
    progress: Progress | None = None,
) -> SimulationReport:
    """Run the netlist of an output folder tile by tile on `data`, write OUT/simulate and return the report.

    `data` is what `compile` takes; the first `samples` of it are used. Figures with device effects are over `seeds`
    chips; with `sweep` each effect is varied. `target` is that of the compile unless it is given. Raises
    DisagreementError, after the report is written, where the tiles do not compute what model.onnx does.
    """
    from gscompile.compiled_folder import target_of
    from gscompile.hardware_text import disagreement
    from gscompile.simulation.simulate import SimulationOptions, data_for, simulate_folder
    from gscompile.simulation.simulation_files import write_simulation

    folder = _path("out", out)
    options = SimulationOptions(samples, seeds=seeds, target=target_of(folder, _text(target)), sweep=sweep)
    report = simulate_folder(folder, data_for(folder, data), options, (progress or Progress()).say)
    write_simulation(report, folder / "simulate")
    if not report.agrees:
        raise DisagreementError(f"{folder}: {disagreement(report)}", report)
    return report


@_command
def place(
    out: str | Path,
    original: str | Path | None = None,
    target: str | Path | None = None,
    engine: Engine = "auto",
    route_seconds: int = 0,
    progress: Progress | None = None,
) -> PlaceReport:
    """Place the netlist of an output folder on a die, write OUT/place and return area, wires, congestion and cost.

    `original` is the model before compression, placed beside it. `engine` is auto, coloquinte or shelves (netlist
    order). nextpnr searches for the channel width for `route_seconds`. Raises a GscompileError.
    """
    from gscompile.compiled_folder import origins_of, shapes_of, target_of
    from gscompile.placement.place import PlaceOptions
    from gscompile.placement.place_folder import place_folder

    folder, before = _path("out", out), None if original is None else _path("original", original)
    hardware, options = target_of(folder, _text(target)), PlaceOptions(engine, route_seconds=route_seconds)
    origins, shapes, say = origins_of(folder), shapes_of(folder), (progress or Progress()).say
    return place_folder(folder, hardware, options, before, origins=origins, say=say, shapes=shapes)


# -- arguments --------------------------------------------------------------------------------------------------


def _settings(arguments: Mapping[str, Any]) -> Options:
    """Return the options among the arguments of a command. Raises UsageError."""
    return Options(**{name: arguments[name] for name in declarations(Options) if name in arguments})


def _opened(model: Model, out: str | Path | None, kind: str, settings: Options) -> tuple[Network, str, Path]:
    """Return the network, its name, and the folder to write: `out`, or a temporary one by the name of the network.

    Raises UsageError where the folder is, or holds, something that is read.
    """
    if out is not None:
        read = [model, settings.data, settings.eval, settings.test, settings.teacher, settings.target]
        check_apart(_path("out", out), read)
    network, name = _taken(model)
    folder = _temporary() / f"{_file_name(name)}.{kind}" if out is None else _path("out", out)
    check_apart(folder, network.files)
    return network, name, folder


def _check_type(argument: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    if not isinstance(value, kinds):
        raise UsageError(f"{argument} is of type {type(value).__name__}; expected {wanted}")


def _path(argument: str, value: object) -> Path:
    _check_type(argument, value, (str, os.PathLike), "a path")
    return Path(os.fsdecode(value))  # type: ignore[arg-type]


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fsdecode(path)


def _taken(model: Model) -> tuple[Network, str]:
    """The network of whatever `compile` takes, and its name. Raises UsageError for anything else."""
    if isinstance(model, str | os.PathLike):
        path = Path(os.fsdecode(model))
        return Network.load(path), printable(path.stem)
    if isinstance(model, bytes | bytearray | memoryview):
        model = _parsed(bytes(model))
    if isinstance(model, ir.Model):
        model = ir.to_proto(ir.external_data.load_to_model(model.clone()))
    if isinstance(model, onnx.ModelProto):
        return Network.from_proto(model), model.graph.name or "network"
    if isinstance(model, Network):
        return model, model.model.graph.name or "network"
    kinds = "a path, bytes, an onnx.ModelProto, an onnx_ir.Model or a gscompile.Network"
    raise UsageError(f"model is of type {type(model).__name__}; expected {kinds}")


def _parsed(content: bytes) -> onnx.ModelProto:
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(content)
        return proto
    except DecodeError as problem:
        raise ModelError(f"model of {len(content)} bytes: not an ONNX file, or truncated") from problem


def _file_name(name: str) -> str:
    """The name of a graph as that of a file, which holds no slash."""
    return printable(name).replace(os.sep, "_")[:100]


def _temporary() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="gscompile-"))
    except OSError as problem:
        raise OutputError(f"no temporary folder can be made ({problem.strerror}); give out=") from problem
