"""The Python entry: `gscompile.compile(model, crossbar="64x64", data=..., max_drop=...)`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx

from gscompile.driver import Result, compile_model
from gscompile.errors import OutputError
from gscompile.graph.network import Network
from gscompile.options import Options
from gscompile.progress import Progress

__all__ = ["Result", "compile"]


def compile(
    model: str | Path | onnx.ModelProto,
    crossbar: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
    resume: bool = True,
    **options: Any,
) -> Result:
    """Compile an ONNX file, or a model in memory, and return its network, netlist and report.

    `options` are the fields of `gscompile.options.Options` (data, eval, max_drop, max_error, passes, ...). Without
    `out` the files go to a temporary folder, which is the caller's to remove. Raises a GscompileError.
    """
    settings = Options(crossbar=crossbar, **options)
    if isinstance(model, onnx.ModelProto):
        network, name = Network.from_proto(model), model.graph.name or "network"
    else:
        network, name = Network.load(model), Path(model).stem
    folder = Path(out) if out is not None else _temporary() / f"{name}.gscompile"
    return compile_model(network, name, folder, settings, force, progress, resume)


def _temporary() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="gscompile-"))
    except OSError as problem:
        raise OutputError(f"no temporary folder can be made ({problem.strerror}); give out=") from problem
