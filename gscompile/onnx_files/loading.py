"""ONNX files in and out: every way a file can be broken becomes one line, and weights are mapped, not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from gscompile.errors import ModelError, one_line
from gscompile.files.native import is_native
from gscompile.onnx_files.attributes import ill_attribute
from gscompile.onnx_files.bounds import check_functions
from gscompile.onnx_files.check_tensors import all_tensors, ill_declared
from gscompile.onnx_files.constants import is_float
from gscompile.onnx_files.linear_models import write_out_linear_models
from gscompile.onnx_files.mapped_tensor import MappedTensor
from gscompile.onnx_files.missing_types import says_ranks, take_off_maps, with_ranks
from gscompile.onnx_files.op_names import STANDARD_DOMAINS
from gscompile.onnx_files.ordering import put_in_order
from gscompile.onnx_files.protobuf_stream import MIN_STREAMED_BYTES, read_hollow, without_data, write_whole
from gscompile.onnx_files.qonnx import qonnx_fault
from gscompile.onnx_files.references import stray_reference
from gscompile.onnx_files.roundtrip import SPARSE, graphs_in, remember, restore
from gscompile.onnx_files.sparse import sparse_tensors, write_out_sparse
from gscompile.onnx_files.stale import correct_shapes
from gscompile.onnx_files.utf8 import bad_text

ONE_FILE = 1 << 31  # a protobuf message holds less than 2 GiB
OLDEST_OPSET = 7
DATA_FILES_KEY = "gscompile:files"  # by which a model knows the files of its data
CORRECTED = "gscompile:corrected"  # by which a model knows which declared shapes were replaced, in lines of text
MAPPED = 64 << 20  # bytes of a file whose large weights are mapped and not read
BLOCK_BYTES = 1 << 20  # bytes that are read together
_FRAME = "gscompile:frame"


def load_model(path: Path) -> ir.Model:
    """Read and check an ONNX file. Raises ModelError with what was found and what was expected."""
    proto = _read(path)
    sorted_here = put_in_order(proto)
    by_message = sorted_here or is_mapped(path) or path.is_symlink() or not is_native(path)
    _check(
        str(path),
        proto,
        lambda: without_data(proto) if by_message else str(path),
    )
    linked = path.is_symlink() and _follow_links(proto, path)
    return _parsed(str(path), proto, path.resolve().parent if linked or is_mapped(path) else path.parent)


def state_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in ns of a file; zeros where there is none."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_size, about.st_mtime_ns


def is_mapped(path: Path) -> bool:
    """Whether weights inside the file stay there: it is large, and nobody has it by another name (see onnx-ir)."""
    about = path.stat()
    return about.st_size >= MAPPED and about.st_nlink == 1


def read_proto(path: Path) -> onnx.ModelProto:
    """The model in a file; large weights of a large file are only pointed to.

    Raises ValueError, DecodeError or OSError.
    """
    if is_mapped(path):
        return read_hollow(path.resolve())
    return onnx.load(path, load_external_data=False, format="protobuf")


def model_in_memory(proto: onnx.ModelProto) -> ir.Model:
    """Check a model that a program made. Raises ModelError."""
    where = f"model {proto.graph.name!r}"
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelError(f"{where}: it has no graph or no opset")
    twin = onnx.ModelProto()
    twin.CopyFrom(proto)  # the caller's model stays as it is
    put_in_order(twin)
    proto = twin
    _check(where, proto, lambda: proto)
    return _parsed(where, proto, Path())


def _read(path: Path) -> onnx.ModelProto:
    if not os.path.exists(path):  # which is not put off by a name that no system takes
        raise ModelError(f"{path}: no such file")
    if not os.path.isfile(path):
        raise ModelError(f"{path}: a folder, not an ONNX file")
    try:
        proto = read_proto(path)
    except OSError as problem:
        raise ModelError(f"{path}: cannot be read: {problem.strerror}") from problem
    except (DecodeError, ValueError) as problem:
        raise ModelError(f"{path}: not an ONNX file, or truncated ({path.stat().st_size} bytes)") from problem
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelError(f"{path}: not an ONNX file: it has no graph or no opset")
    return proto


def _check(where: str, proto: onnx.ModelProto, model: Callable[[], onnx.ModelProto | str]) -> None:
    """`model` is what ONNX's checker looks at, made once all texts are known to be such."""
    opset = next((o.version for o in proto.opset_import if o.domain in STANDARD_DOMAINS), None)
    if opset is not None and not OLDEST_OPSET <= opset <= onnx.defs.onnx_opset_version():
        raise ModelError(
            f"{where}: opset {opset}; {OLDEST_OPSET} to {onnx.defs.onnx_opset_version()} can be compiled "
            "(onnx.version_converter raises an older one)"
        )
    if (bad := bad_text(proto)) is not None:
        raise ModelError(f"{where}: invalid graph: {bad[:40]!r} is no UTF-8 text")
    if (fault := ill_declared(proto) or stray_reference(proto) or ill_attribute(proto)) is not None:
        raise ModelError(f"{where}: invalid graph: {fault}")
    if (fault := qonnx_fault(proto)) is not None:
        raise ModelError(f"{where}: {fault}")
    check_functions(where, proto)
    try:
        onnx.checker.check_model(model() if says_ranks(proto) else with_ranks(without_data(proto)))
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as problem:
        raise ModelError(f"{where}: invalid graph: {one_line(problem)}") from problem
    if not proto.graph.output:
        raise ModelError(f"{where}: invalid graph: it has no outputs")
    names = Counter(n.name for n in proto.graph.node if n.op_type != "Constant")  # what onnxruntime refuses as well
    twice = next((name for name, count in names.items() if name and count > 1), None)
    if twice is not None:
        raise ModelError(f"{where}: invalid graph: two nodes are named {twice!r}")


def _correct_shapes(where: str, proto: onnx.ModelProto, folder: Path) -> list[str]:
    """Correct declared shapes in place; those of a model with sparse tensors by its dense twin, which ONNX infers."""
    if not any(True for _ in sparse_tensors(proto)):
        return correct_shapes(proto)
    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    write_out_sparse(where, twin, folder)
    corrected = correct_shapes(twin)
    if corrected:
        for (_, graph), (_, dense) in zip(graphs_in(proto.graph), graphs_in(twin.graph), strict=True):
            del graph.value_info[:], graph.output[:]
            graph.value_info.extend(dense.value_info)
            graph.output.extend(dense.output)
    return corrected


def _parsed(where: str, proto: onnx.ModelProto, folder: Path) -> ir.Model:
    write_out_linear_models(proto)
    corrected = _correct_shapes(where, proto, folder)
    frame = remember(proto)
    frame = replace(frame, sparse=tuple(write_out_sparse(where, proto, folder)))
    take_off_maps(proto)
    try:
        model = ir.from_proto(proto)
    except Exception as problem:
        raise ModelError(f"{where}: invalid graph: {one_line(_first_cause(problem))}") from problem
    outside = [tensor for tensor in tensors_of(model) if isinstance(tensor, ir.ExternalTensor)]
    for tensor in outside:
        tensor.base_dir = folder
        _check_external(where, tensor, folder)
    if sum(tensor.nbytes for tensor in outside) < MAPPED:  # a file that is cut short while it is mapped is deadly
        model = embedded(model, copied=True)
    model.meta[DATA_FILES_KEY] = {Path(tensor.path) for tensor in outside}
    for inner in model.graphs():
        for value in inner.initializers.values():
            if isinstance(value.const_value, ir.TensorProtoTensor) and is_float(value.const_value.dtype):
                value.const_value = _quick(value.const_value)
            elif isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = MappedTensor.of(value.const_value)
    model.graph.meta[_FRAME] = frame
    model.meta[CORRECTED] = tuple(corrected)
    return model


def _first_cause(problem: BaseException) -> BaseException:
    """What onnx-ir met, around which it raises an error of its own."""
    return problem if problem.__cause__ is None else _first_cause(problem.__cause__)


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


def _follow_links(proto: onnx.ModelProto, path: Path) -> bool:
    """Let the tensors of a model that is a link point to the targets of their own links; return whether they do.

    The cache of a model hub holds such links only: the model's and its data's targets lie in one folder. Where data
    lies elsewhere nothing is changed.
    """
    outside = [tensor for tensor in all_tensors(proto) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    places = [entry for tensor in outside for entry in tensor.external_data if entry.key == "location"]
    folder, own = path.resolve().parent, path.resolve().name
    if any("\0" in entry.value for entry in places):
        return False
    targets = [folder / own if entry.value == own else (path.parent / entry.value).resolve() for entry in places]
    if not all(target.is_relative_to(folder) for target in targets):
        return False
    for entry, target in zip(places, targets, strict=True):
        entry.value = target.relative_to(folder).as_posix()
    return True


def _check_external(where: str, tensor: ir.ExternalTensor, folder: Path) -> None:
    """What a tensor declares must be there, beside the model and nowhere else."""
    what, path = f"{where}: invalid graph: tensor {tensor.name!r}", folder / tensor.location
    if "\0" in str(tensor.location):
        raise ModelError(f"{what}: its data file has a name that no system takes")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{what}: its data is outside the model's folder, in {tensor.location}")
    if not os.path.isfile(path):
        raise ModelError(f"{what}: its data file {tensor.location} is missing")
    if path.stat().st_nlink > 1:
        raise ModelError(f"{what}: its data file {tensor.location} has several hard links; expected a copy of its own")
    start, length, found = tensor.offset or 0, tensor.nbytes, path.stat().st_size
    if start < 0 or start + length > found or (tensor.length is not None and tensor.length < length):
        raise ModelError(f"{what}: {length} bytes at {start} of {tensor.location} declared, the file has {found}")


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
    try:
        proto = ir.to_proto(model)
    except Exception as problem:  # it was read so, and nobody can write it
        why = one_line(_first_cause(problem))
        raise ModelError(f"model {model.graph.name!r}: cannot be written: {why}") from problem
    if (frame := model.graph.meta.get(_FRAME)) is not None:
        restore(proto, frame)
    return proto


def embedded(model: ir.Model, copied: bool = False) -> ir.Model:
    """The model with its data in itself: the same, or a copy where some was not.

    Data from files stays mapped unless it shall be `copied`.
    """
    if not any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors_of(model)):
        return model
    model = model.clone()
    embed(model, (), copied)
    return model


def embed(model: ir.Model, outside: Container[str] = (), copied: bool = False) -> None:
    """The same in place, but for initializers `outside`."""
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            if isinstance(value.const_value, ir.ExternalTensor) and not (graph is model.graph and name in outside):
                value.const_value = _held(value.const_value, copied)
    for node in every_node(model):
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, _held(attribute.value, copied))


def _held(tensor: ir.ExternalTensor | ir.TensorProtoTensor, copied: bool = False) -> ir.TensorProtocol:
    """The same tensor as an array; of an external one the array is the mapped file, unless it is `copied`."""
    notes = tensor.metadata_props
    array = read_array(tensor) if copied and isinstance(tensor, ir.ExternalTensor) else tensor.numpy()
    return ir.Tensor(array, tensor.dtype, name=tensor.name, doc_string=tensor.doc_string, metadata_props=notes)


def read_array(tensor: ir.ExternalTensor) -> NDArray[Any]:
    """An array of its own, read and not mapped: where the file is cut short meanwhile, ModelError and not a signal."""
    if not lies_whole(tensor):
        return tensor.numpy().copy()
    array = np.empty(tensor.shape.numpy(), tensor.dtype.numpy().newbyteorder("<"))
    data, at = array.reshape(-1).view(np.uint8), 0
    for block in blocks_of(tensor, BLOCK_BYTES):
        data[at : at + len(block)] = block
        at += len(block)
    return array


def lies_whole(tensor: ir.TensorProtocol) -> bool:
    """Whether every number takes whole bytes."""
    return tensor.dtype.bitwidth % 8 == 0 and tensor.dtype != ir.DataType.STRING


def blocks_of(tensor: ir.ExternalTensor, size: int) -> Iterator[NDArray[np.uint8]]:
    """The bytes of a tensor in a file, read `size` at a time into the same buffer. Raises ModelError."""
    buffer, left = np.empty(min(size, tensor.nbytes), np.uint8), tensor.nbytes
    with open(tensor.path, "rb", buffering=0) as file:
        file.seek(tensor.offset or 0)
        while left:
            count = file.readinto(buffer[:left].data)
            if not count:
                raise ModelError(f"{tensor.path}: was cut short while it was read; start again when it is complete")
            yield buffer[:count]
            left -= count


def save_model(model: ir.Model, path: Path) -> None:
    """Write a model; its weights go to `<name>.data` beside it where one file cannot hold them."""
    size = sum(tensor.nbytes for tensor in tensors_of(model))
    if size >= ONE_FILE - (64 << 20):
        outside = ir.external_data.unload_from_model(
            model.clone(), path.parent, path.name + ".data", size_threshold_bytes=256
        )
        onnx.save(_proto(outside), path)
    elif size >= MAPPED:
        large = large_tensors(model)
        write_whole(pointing_proto(model, large), large.values(), path)
    else:
        onnx.save(proto_of(model), path)


def large_tensors(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Large initializers of the graph by name, but for those that are written as sparse ones."""
    held = {name: value.const_value for name, value in model.graph.initializers.items()}
    dense = {name: t for name, t in held.items() if t is not None and SPARSE not in t.metadata_props}
    return {name: tensor for name, tensor in dense.items() if tensor.nbytes >= MIN_STREAMED_BYTES}


def on_files(model: ir.Model) -> dict[str, ir.ExternalTensor]:
    """Initializers of the graph that are in files of one folder, the one with most of them."""
    held = {name: value.const_value for name, value in model.graph.initializers.items()}
    found = {name: tensor for name, tensor in held.items() if isinstance(tensor, ir.ExternalTensor)}
    folders = Counter(str(tensor.base_dir) for tensor in found.values()).most_common(1)
    return {name: tensor for name, tensor in found.items() if str(tensor.base_dir) == folders[0][0]}


def pointing_proto(model: ir.Model, outside: Mapping[str, ir.TensorProtocol]) -> onnx.ModelProto:
    """The model as a message in which the tensors `outside` are pointed to, at no particular place."""
    twin = model.clone()
    embed(twin, outside)
    for name, tensor in outside.items():
        twin.graph.initializers[name].const_value = _pointer(name, tensor)
    return _proto(twin)


def _pointer(name: str, tensor: ir.TensorProtocol) -> ir.ExternalTensor:
    """A tensor that is where it is, if it is outside already."""
    at = tensor if isinstance(tensor, ir.ExternalTensor) else None
    return ir.ExternalTensor(
        at.location if at else "memory",
        at.offset if at else 0,
        tensor.nbytes,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
        base_dir=at.base_dir if at else "",
    )
