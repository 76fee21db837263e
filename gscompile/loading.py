"""ONNX files in and out: every way a file can be broken becomes one line, and weights are mapped, not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from gscompile.bounds import check_functions
from gscompile.constants import is_float
from gscompile.errors import ModelError, one_line
from gscompile.faithful import remember, restore
from gscompile.sparse import sparse_tensors, write_out_sparse

ONE_FILE = 1 << 31  # a protobuf message holds less than 2 GiB
OLDEST_OPSET = 7
_FRAME = "gscompile:frame"


def load_model(path: Path) -> ir.Model:
    """Read and check an ONNX file. Raises ModelError with what was found and what would do."""
    proto = _read(path)
    _check(str(path), proto, str(path))
    return _parsed(str(path), proto, path.parent)


def model_in_memory(proto: onnx.ModelProto) -> ir.Model:
    """Check a model that a program made. Raises ModelError."""
    where = f"model {proto.graph.name!r}"
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelError(f"{where}: it has no graph or no opset")
    _check(where, proto, proto)
    if any(True for _ in sparse_tensors(proto)):  # the caller's model stays as it is
        twin = onnx.ModelProto()
        twin.CopyFrom(proto)
        proto = twin
    return _parsed(where, proto, Path())


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


def _check(where: str, proto: onnx.ModelProto, model: onnx.ModelProto | str) -> None:
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is not None and not OLDEST_OPSET <= opset <= onnx.defs.onnx_opset_version():
        raise ModelError(
            f"{where}: opset {opset}; {OLDEST_OPSET} to {onnx.defs.onnx_opset_version()} can be compiled "
            "(onnx.version_converter raises an older one)"
        )
    check_functions(where, proto)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as problem:
        raise ModelError(f"{where}: invalid graph: {one_line(problem)}") from problem
    if not proto.graph.output:
        raise ModelError(f"{where}: invalid graph: it has no outputs")
    names = Counter(n.name for n in proto.graph.node if n.op_type != "Constant")  # what onnxruntime refuses as well
    twice = next((name for name, count in names.items() if name and count > 1), None)
    if twice is not None:
        raise ModelError(f"{where}: invalid graph: two nodes are named {twice!r}")


def _parsed(where: str, proto: onnx.ModelProto, folder: Path) -> ir.Model:
    frame = remember(proto)
    frame = replace(frame, sparse=tuple(write_out_sparse(where, proto, folder)))
    try:
        model = ir.from_proto(proto)
    except Exception as problem:  # onnx-ir raises its own error around whatever it met
        cause: BaseException = problem
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ModelError(f"{where}: invalid graph: {one_line(cause)}") from problem
    for tensor in tensors_of(model):
        if isinstance(tensor, ir.ExternalTensor):
            tensor.base_dir = folder
            _check_external(where, tensor, folder)
    for inner in model.graphs():
        for value in inner.initializers.values():
            if isinstance(value.const_value, ir.TensorProtoTensor) and is_float(value.const_value.dtype):
                value.const_value = _quick(value.const_value)
    model.graph.meta[_FRAME] = frame
    return model


def tensors_of(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every tensor of a model: initializers, and what nodes hold in their attributes."""
    for graph in model.graphs():
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
    for node in every_node(model):
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                yield attribute.value
            elif attribute.type == ir.AttributeType.TENSORS and not attribute.is_ref():
                yield from attribute.value


def every_node(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of a model, those of its functions included."""
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def _check_external(where: str, tensor: ir.ExternalTensor, folder: Path) -> None:
    """What a tensor declares must be there, beside the model and nowhere else."""
    what, path = f"{where}: invalid graph: tensor {tensor.name!r}", folder / tensor.location
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{what}: its data is outside the model's folder, in {tensor.location}")
    if not path.is_file():
        raise ModelError(f"{what}: its data file {tensor.location} is missing")
    start, length, found = tensor.offset or 0, tensor.nbytes, path.stat().st_size
    if start < 0 or start + length > found or (tensor.length is not None and tensor.length < length):
        raise ModelError(
            f"{what}: {length} bytes at {start} of {tensor.location} declared, the file has {found}"
        )


class _Spelled(ir.TensorProtoTensor):
    """A tensor whose numbers are spelled out in the file, which are read once and written as they were."""

    def __init__(self, proto: onnx.TensorProto) -> None:
        super().__init__(proto)
        self._array = super().numpy()

    def numpy(self) -> NDArray[Any]:
        return self._array


def _quick(tensor: ir.TensorProtoTensor) -> ir.TensorProtocol:
    """The same tensor, its array at hand: protobuf would copy it at every look."""
    return _held(tensor) if tensor.raw.HasField("raw_data") else _Spelled(tensor.raw)


def proto_of(model: ir.Model) -> onnx.ModelProto:
    """The model as it will be written, with all its data in itself."""
    return _proto(embedded(model))


def _proto(model: ir.Model) -> onnx.ModelProto:
    proto = ir.to_proto(model)
    if (frame := model.graph.meta.get(_FRAME)) is not None:
        restore(proto, frame)
    return proto


def embedded(model: ir.Model) -> ir.Model:
    """The model with all its data in itself: the same one, or a copy where some was beside the file."""
    if not any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors_of(model)):
        return model
    model = model.clone()
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _held(value.const_value)
    for node in every_node(model):
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, _held(attribute.value))
    return model


def _held(tensor: ir.ExternalTensor | ir.TensorProtoTensor) -> ir.TensorProtocol:
    """The same tensor as an array; of an external one the array is the mapped file."""
    notes = tensor.metadata_props
    return ir.Tensor(
        tensor.numpy(), tensor.dtype, name=tensor.name, doc_string=tensor.doc_string, metadata_props=notes
    )


def save_model(model: ir.Model, path: Path) -> None:
    """Write a model; its weights go to `<name>.data` beside it where one file cannot hold them."""
    if sum(tensor.nbytes for tensor in tensors_of(model)) < ONE_FILE - (64 << 20):
        onnx.save(proto_of(model), path)
    else:
        outside = ir.external_data.unload_from_model(
            model.clone(), path.parent, path.name + ".data", size_threshold_bytes=256
        )
        onnx.save(_proto(outside), path)
