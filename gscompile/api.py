"""The commands as functions: `gscompile.compile(model, crossbar="64x64", data=..., max_drop=...)`, and the others."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from gscompile.crossbars.crossbar import Crossbar, Tiling
from gscompile.driver import Result, compile_model
from gscompile.errors import ModelError, OutputError, UsageError, VerificationError
from gscompile.files.staging import check_apart
from gscompile.graph.network import Network
from gscompile.options import Options, crossbar_text, did_you_mean
from gscompile.printable import printable
from gscompile.progress import Progress

if TYPE_CHECKING:
    from gscompile.curve import FrontierPoint
    from gscompile.placement.place_folder import PlaceReport
    from gscompile.reporting.explanation import Explanation
    from gscompile.reporting.inspection import MappedLayer
    from gscompile.simulation.simulate import SimulationReport

__all__ = ["Result", "compile", "explain", "frontier", "inspect", "place", "simulate", "verify"]

Model = str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model | Network


def compile(
    model: Model,
    crossbar: str | tuple[int, int] | Crossbar | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
    resume: bool = True,
    **options: Any,
) -> Result:
    """Compile an ONNX file, or a model in memory, and return its network, netlist and report.

    `model` is a path, the bytes of a file, an `onnx.ModelProto`, an `onnx_ir.Model` or a `gscompile.Network`.

    `options` are the fields of `gscompile.options.Options` (data, eval, max_drop, max_error, passes, ...). Without
    `out` the files go to a temporary folder, which is the caller's to remove. Raises a GscompileError.
    """
    _check_search(compile, options, force, resume, progress)
    settings = Options(crossbar=crossbar, **options)
    network, name = _taken(model)
    folder = _folder_for(out, name, "gscompile")
    _check_apart(folder, model, network, settings)
    return compile_model(network, name, folder, settings, force, progress, resume)


def frontier(
    model: Model,
    crossbar: str | tuple[int, int] | Crossbar | None = None,
    out: str | Path | None = None,
    points: int = 8,
    folders: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    resume: bool = True,
    **options: Any,
) -> tuple[FrontierPoint, ...]:
    """Write the curve of accuracy against cells, tiles and wires, and return its points.

    There are at most `points` of them; with `folders` each is a complete output. `model`, `out` and `options` are those
    of `compile`; `data` is needed, and `max_drop` is 1.0 where it is not given. Raises a GscompileError.
    """
    from gscompile.curve import write_frontier

    _check_search(frontier, options, force, resume, progress)
    _check_count("points", points, 3)
    _check_type("folders", folders, (bool,), "True or False")
    settings = Options(crossbar=crossbar, **({"max_drop": 1.0} | options))
    network, name = _taken(model)
    folder = _folder_for(out, name, "frontier")
    _check_apart(folder, model, network, settings)
    return write_frontier(network, name, folder, settings, points, folders, force, progress, resume)


def inspect(
    model: Model, crossbar: str | tuple[int, int] | Crossbar = "64x64", tiling: Tiling = "full"
) -> tuple[MappedLayer, ...]:
    """Return how a model maps to crossbars as it is: cells, tiles and wires of every layer with weights.

    `model` is what `compile` takes. Raises a GscompileError.
    """
    from gscompile.crossbars.mapping import MapOptions
    from gscompile.reporting.inspection import inspect_network

    size = crossbar_text(crossbar)
    _check_type("crossbar", size, (str,), "ROWSxCOLS, as in 64x64")
    if tiling not in get_args(Tiling):
        raise UsageError(f"tiling {tiling!r}: expected one of {', '.join(get_args(Tiling))}")
    return inspect_network(_taken(model)[0], MapOptions(Crossbar.parse(size), tiling))


def verify(out: str | Path, input_shape: Sequence[str] = ()) -> tuple[str, ...]:
    """Repeat the verification of an output folder, and return a line for each check that passed.

    `input_shape` are sizes of inputs that the file leaves open, as `NAME=D,D,...`. Raises VerificationError that names
    the first thing that is wrong.
    """
    from gscompile.judging.verify import verify_again

    if isinstance(input_shape, str) or not all(isinstance(text, str) for text in _items("input_shape", input_shape)):
        raise UsageError(f"input_shape is {input_shape!r}; expected a list of texts")
    return verify_again(_path("out", out), input_shape)


def explain(out: str | Path, matrix: str | None = None) -> Explanation:
    """Return what each pass did to each matrix of an output folder, and why each pass stopped.

    `matrix` restricts the steps to one matrix: the name of its layer in the original network. Raises a GscompileError.
    """
    from gscompile.compiled_folder import explain_folder

    _check_type("matrix", matrix, (str, type(None)), "the name of a matrix")
    return explain_folder(_path("out", out), matrix)


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
    VerificationError, after the report is written, where the tiles do not compute what model.onnx does.
    """
    from gscompile.compiled_folder import target_of
    from gscompile.hardware_text import disagreement
    from gscompile.simulation.simulate import SimulationOptions, data_for, simulate_folder
    from gscompile.simulation.simulation_files import write_simulation

    _check_count("samples", samples, 1)
    _check_count("seeds", seeds, 1)
    _check_type("sweep", sweep, (bool,), "True or False")
    folder = _path("out", out)
    options = SimulationOptions(samples, seeds=seeds, target=target_of(folder, _target(target)), sweep=sweep)
    report = simulate_folder(folder, data_for(folder, data), options, _say(progress))
    write_simulation(report, folder / "simulate")
    if not report.agrees:
        raise VerificationError(f"{folder}: {disagreement(report)}")
    return report


def place(
    out: str | Path,
    original: str | Path | None = None,
    target: str | Path | None = None,
    engine: str = "auto",
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

    _check_type("engine", engine, (str,), "auto, coloquinte or shelves")
    _check_count("route_seconds", route_seconds, 0)
    folder, before = _path("out", out), None if original is None else _path("original", original)
    hardware, options = target_of(folder, _target(target)), PlaceOptions(engine, route_seconds=route_seconds)
    origins, shapes = origins_of(folder), shapes_of(folder)
    return place_folder(folder, hardware, options, before, origins=origins, say=_say(progress), shapes=shapes)


# -- arguments --------------------------------------------------------------------------------------------------


def _check_search(
    command: Callable[..., Any], options: dict[str, Any], force: bool, resume: bool, progress: Progress | None
) -> None:
    own = [name for name, each in signature(command).parameters.items() if each.kind is not Parameter.VAR_KEYWORD]
    known = [*(field.name for field in dataclasses.fields(Options)), *own]
    for name in sorted(options.keys() - {*known}):
        raise UsageError(f"option {name!r} is unknown{did_you_mean(name, known)}")
    for argument, value in (("force", force), ("resume", resume)):
        _check_type(argument, value, (bool,), "True or False")
    _check_type("progress", progress, (Progress, type(None)), "a gscompile.progress.Progress")


def _check_type(argument: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    if not isinstance(value, kinds):
        raise UsageError(f"{argument} is of type {type(value).__name__}; expected {wanted}")


def _check_count(argument: str, value: object, least: int) -> None:
    wanted = f"a whole number, at least {least}"
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(f"{argument} is of type {type(value).__name__}; expected {wanted}")
    if int(value) < least:
        raise UsageError(f"{argument} is {value}; expected {wanted}")


def _items(argument: str, value: object) -> Sequence[Any]:
    _check_type(argument, value, (list, tuple), "a list of texts")
    return value  # type: ignore[return-value]


def _path(argument: str, value: object) -> Path:
    _check_type(argument, value, (str, os.PathLike), "a path")
    return Path(os.fsdecode(value))  # type: ignore[arg-type]


def _target(value: object) -> str | None:
    _check_type("target", value, (str, os.PathLike, type(None)), "the name of a target, or the path of a .toml file")
    return None if value is None else os.fsdecode(value)  # type: ignore[arg-type]


def _say(progress: Progress | None) -> Callable[[str], None]:
    _check_type("progress", progress, (Progress, type(None)), "a gscompile.progress.Progress")
    return (progress or Progress()).say


def _folder_for(out: object, name: str, kind: str) -> Path:
    """The folder to write: `out`, or one of a temporary folder, by the name of the network."""
    return _temporary() / f"{_file_name(name)}.{kind}" if out is None else _path("out", out)


def _check_apart(folder: Path, model: object, network: Network, settings: Options) -> None:
    read = [model, settings.data, settings.eval, settings.test, settings.teacher, settings.target]
    check_apart(folder, [*read, *network.files])


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
