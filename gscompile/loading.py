"""ONNX files in and out: every way a file can be broken becomes one line, and weights are mapped, not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from gscompile.constants import is_float
from gscompile.errors import ModelError, one_line

ONE_FILE = 1 << 31  # a protobuf message holds less than 2 GiB
LARGEST_SPARSE = 1 << 30  # bytes that a sparse tensor may take once it is written out
OLDEST_OPSET = 7


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
    if any(graph.sparse_initializer for graph in _graphs(proto.graph)):  # the caller's model stays as it is
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
    for graph in _graphs(proto.graph):
        _write_out_sparse(where, graph, folder)
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
                value.const_value = _held(value.const_value)  # protobuf would copy it at every look
    return model


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _write_out_sparse(where: str, graph: onnx.GraphProto, folder: Path) -> None:
    """A sparse initializer becomes a dense one of its name, unless memory would not like it."""
    for sparse in graph.sparse_initializer:
        values = onnx.numpy_helper.to_array(sparse.values, str(folder))
        size = prod(sparse.dims) * values.itemsize
        if size > LARGEST_SPARSE:
            raise ModelError(
                f"{where}: sparse tensor {sparse.values.name!r} of {[*sparse.dims]} takes {size} bytes"
            )
        where_at = onnx.numpy_helper.to_array(sparse.indices, str(folder))
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        if where_at.ndim == 1:
            dense.reshape(-1)[where_at] = values
        else:
            dense[tuple(where_at.T)] = values
        graph.initializer.append(onnx.numpy_helper.from_array(dense, sparse.values.name))
    graph.ClearField("sparse_initializer")


def tensors_of(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every tensor of a model: initializers, and what nodes hold in their attributes."""
    for graph in model.graphs():
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
    nodes = (*model.graph.all_nodes(), *(n for f in model.functions.values() for n in f.all_nodes()))
    for node in nodes:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                yield attribute.value
            elif attribute.type == ir.AttributeType.TENSORS and not attribute.is_ref():
                yield from attribute.value


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


def embedded(model: ir.Model) -> ir.Model:
    """The model with all its data in itself: the same one, or a copy where some was beside the file."""
    if not any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors_of(model)):
        return model
    model = model.clone()
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _held(value.const_value)
    for node in model.graph.all_nodes():
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
    from gscompile.network import Network

    if sum(tensor.nbytes for tensor in tensors_of(model)) < ONE_FILE - (64 << 20):
        onnx.save(Network(model).to_proto(), path)
    else:
        ir.save(model, path, external_data=path.name + ".data")
