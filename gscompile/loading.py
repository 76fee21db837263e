"""ONNX files in and out: every way a file can be broken becomes one line, and weights are mapped, not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from gscompile.errors import ModelError

ONE_FILE = 1 << 31  # a protobuf message holds less than 2 GiB
OLDEST_OPSET = 7


def load_model(path: Path) -> ir.Model:
    """Read and check an ONNX file. Raises ModelError with what was found and what would do."""
    proto = _read(path)
    _check(path, proto)
    model = ir.from_proto(proto)
    ir.external_data.set_base_dir(model.graph, str(path.parent))
    return model


def _read(path: Path) -> onnx.ModelProto:
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    if not path.is_file():
        raise ModelError(f"{path}: a folder, not an ONNX file")
    try:
        proto = onnx.load(path, load_external_data=False, format="protobuf")
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror}") from problem
    except (DecodeError, ValueError) as problem:
        raise ModelError(f"{path}: not an ONNX file, or truncated ({path.stat().st_size} bytes)") from problem
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelError(f"{path}: not an ONNX file: it has no graph or no opset")
    return proto


def _check(path: Path, proto: onnx.ModelProto) -> None:
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is not None and not OLDEST_OPSET <= opset <= onnx.defs.onnx_opset_version():
        raise ModelError(
            f"{path}: opset {opset}; {OLDEST_OPSET} to {onnx.defs.onnx_opset_version()} can be compiled "
            "(onnx.version_converter raises an older one)"
        )
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as problem:
        raise ModelError(f"{path}: invalid graph: {_first_line(problem)}") from problem


def _first_line(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0] if lines else type(problem).__name__


def save_model(model: ir.Model, path: Path) -> None:
    """Write a model; its weights go to `<name>.data` beside it where one file cannot hold them."""
    from gscompile.network import Network

    size = sum(v.const_value.nbytes for g in model.graphs() for v in g.initializers.values() if v.const_value)
    if size < ONE_FILE - (64 << 20):
        onnx.save(Network(model).to_proto(), path)
    else:
        ir.save(model, path, external_data=path.name + ".data")


def non_finite(array: np.ndarray) -> bool:
    """Whether a floating array holds a NaN or an infinity."""
    return array.dtype.kind == "f" and not bool(np.isfinite(array).all())
