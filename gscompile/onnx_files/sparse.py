"""Sparse tensors of a file, written out dense for everything that reads weights, and remembered as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path

import numpy as np
import onnx

from gscompile.errors import ModelError, one_line
from gscompile.onnx_files.roundtrip import SPARSE, graphs_in

MAX_DENSE_BYTES = 1 << 30  # bytes that all sparse tensors of a model may take once they are written out;
UNFOUNDED = 1 << 28  # no more than so many, on the word of a small file,
MAX_EXPANSION = 64  # or so many times what is stored

PutDense = Callable[[onnx.TensorProto], None]  # puts the dense tensor where the sparse one was


def sparse_tensors(proto: onnx.ModelProto) -> Iterator[tuple[onnx.SparseTensorProto, PutDense]]:
    """Every sparse tensor of a model, and what puts a dense one in its place."""
    for _, graph in graphs_in(proto.graph):
        yield from ((sparse, _into(graph)) for sparse in graph.sparse_initializer)
        yield from _of_nodes(graph.node)
    for function in proto.functions:
        yield from _of_nodes(function.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[onnx.SparseTensorProto, PutDense]]:
    for attribute in (a for node in nodes for a in node.attribute):
        if attribute.type == onnx.AttributeProto.SPARSE_TENSOR:
            yield attribute.sparse_tensor, _instead(attribute)


def _into(graph: onnx.GraphProto) -> PutDense:
    def place(dense: onnx.TensorProto) -> None:
        graph.initializer.append(dense)

    return place


def _instead(attribute: onnx.AttributeProto) -> PutDense:
    def place(dense: onnx.TensorProto) -> None:
        attribute.CopyFrom(onnx.helper.make_attribute("value", dense))

    return place


def write_out_sparse(where: str, proto: onnx.ModelProto, folder: Path) -> list[onnx.SparseTensorProto]:
    """Make every sparse tensor a dense one, in place, with a note of its number in the list that is returned.

    `where` names the model. Raises ModelError where memory would not like it.
    """
    places = [*sparse_tensors(proto)]
    _check_size(where, [sparse for sparse, _ in places])
    found: list[onnx.SparseTensorProto] = []
    for sparse, place in places:
        try:
            kept = _own(sparse, folder)
            dense = onnx.numpy_helper.from_array(_dense(kept), kept.values.name)
        except (ValueError, IndexError, OSError) as problem:  # files beside the model may hold anything
            raise ModelError(
                f"{where}: sparse tensor {sparse.values.name!r}: its data is not what was declared: {one_line(problem)}"
            ) from problem
        dense.metadata_props.add(key=SPARSE, value=str(len(found)))
        place(dense)
        found.append(kept)
    for _, graph in graphs_in(proto.graph):
        graph.ClearField("sparse_initializer")
    return found


def _check_size(where: str, tensors: Iterable[onnx.SparseTensorProto]) -> None:
    total = stored = 0
    for sparse in tensors:
        each = onnx.helper.tensor_dtype_to_np_dtype(sparse.values.data_type).itemsize
        total, stored = total + prod(sparse.dims) * each, stored + prod(sparse.values.dims) * each
        if total > min(MAX_DENSE_BYTES, max(UNFOUNDED, MAX_EXPANSION * stored)):
            name = sparse.values.name
            raise ModelError(f"{where}: sparse tensor {name!r} of {[*sparse.dims]} takes {total} bytes")


def _own(sparse: onnx.SparseTensorProto, folder: Path) -> onnx.SparseTensorProto:
    """The tensor, its numbers in itself."""
    twin = onnx.SparseTensorProto()
    twin.CopyFrom(sparse)
    for part in (twin.values, twin.indices):
        if part.data_location == onnx.TensorProto.EXTERNAL:
            part.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(part, str(folder)), part.name))
    return twin


def _dense(sparse: onnx.SparseTensorProto) -> np.ndarray:
    values, indices = (onnx.numpy_helper.to_array(part) for part in (sparse.values, sparse.indices))
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense
