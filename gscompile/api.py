"""The Python entry: `gscompile.compile(model, crossbar="64x64", data=..., max_drop=...)`."""

from __future__ import annotations

import dataclasses
import inspect
import os
import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from gscompile.crossbars.crossbar import Crossbar
from gscompile.driver import Result, compile_model
from gscompile.errors import ModelError, OutputError, UsageError
from gscompile.files.output import check_apart
from gscompile.graph.network import Network
from gscompile.options import Options, did_you_mean
from gscompile.printable import printable
from gscompile.progress import Progress

__all__ = ["Result", "compile"]

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
    _check_names(options)
    for argument, value in (("force", force), ("resume", resume)):
        _check_type(argument, value, (bool,), "True or False")
    _check_type("out", out, (str, os.PathLike, type(None)), "a path")
    _check_type("progress", progress, (Progress, type(None)), "a gscompile.progress.Progress")
    settings = Options(crossbar=crossbar, **options)
    network, name = _taken(model)
    folder = Path(os.fsdecode(out)) if out is not None else _temporary() / f"{_file_name(name)}.gscompile"
    read = [model, settings.data, settings.eval, settings.test, settings.teacher, settings.target]
    check_apart(folder, [*read, *network.files])
    return compile_model(network, name, folder, settings, force, progress, resume)


def _check_names(options: dict[str, Any]) -> None:
    known = [*(field.name for field in dataclasses.fields(Options)), *inspect.signature(compile).parameters]
    for name in options.keys() - {*known}:
        raise UsageError(f"option {name!r} is unknown{did_you_mean(name, known)}")


def _check_type(argument: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    if not isinstance(value, kinds):
        raise UsageError(f"{argument} is of type {type(value).__name__}; expected {wanted}")


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
