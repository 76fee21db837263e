"""What onnxruntime takes and other tools do not: types that onnx-ir has no words for, outputs that say no shape."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from gscompile.onnx_files.roundtrip import graphs_in


def take_off_maps(proto: onnx.ModelProto) -> None:
    """Take the types off such values, in place; `faithful.restore` puts them back."""
    for value in _results(proto):
        if _holds_map(value.type):
            value.ClearField("type")


def says_ranks(proto: onnx.ModelProto) -> bool:
    """Whether every tensor that goes in or comes out has a shape, if only of open axes."""
    return not any(map(_lacks_shape, (*proto.graph.input, *proto.graph.output)))


def with_ranks(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that ONNX's checker takes: inputs and outputs without a shape have an empty one."""
    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    for value in filter(_lacks_shape, (*twin.graph.input, *twin.graph.output)):
        value.type.tensor_type.shape.SetInParent()
    return twin


def _results(proto: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    for _, graph in graphs_in(proto.graph):
        yield from (*graph.output, *graph.value_info)


def _holds_map(kind: onnx.TypeProto) -> bool:
    if kind.HasField("sequence_type"):
        return _holds_map(kind.sequence_type.elem_type)
    return _holds_map(kind.optional_type.elem_type) if kind.HasField("optional_type") else kind.HasField("map_type")


def _lacks_shape(value: onnx.ValueInfoProto) -> bool:
    return value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
