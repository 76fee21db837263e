"""Declared shapes that contradict shape inference, which onnxruntime runs with a warning."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from gscompile.onnx_files.protobuf_stream import MIN_STREAMED_BYTES, without_data
from gscompile.onnx_files.roundtrip import graphs_in
from gscompile.onnx_files.shapes import undeclare


def correct_shapes(proto: onnx.ModelProto) -> list[str]:
    """Replace, in place, declared shapes that contradict shape inference; return one line per changed graph.

    A model that the full check of ONNX's checker accepts is left alone, and so is one that it refuses whatever shapes
    are declared.
    """
    if _agrees(proto):
        return []
    twin = _small(proto)
    for _, graph in graphs_in(twin.graph):
        undeclare(graph)
    try:
        found = onnx.shape_inference.infer_shapes(twin, check_type=True, strict_mode=True, data_prop=True)
    except Exception:  # no declared shape is at fault
        return []
    known = dict(graphs_in(found.graph))
    changed = [names for place, g in graphs_in(proto.graph) if (names := [*_corrected(g, known[place])])]
    if not _agrees(proto):
        changed += [names for place, g in graphs_in(proto.graph) if (names := [*_removed(proto, g, known[place])])]
    return [_line(names) for names in changed]


def inference_fails_anyway(proto: onnx.ModelProto) -> bool:
    """Return whether shape inference refuses a model also where no shape is declared: an op is beyond it."""
    twin = _small(proto)
    for _, graph in graphs_in(twin.graph):
        undeclare(graph)
    return not _agrees(twin)


def _agrees(proto: onnx.ModelProto) -> bool:
    try:
        onnx.shape_inference.infer_shapes(_small(proto), check_type=True, strict_mode=True)
    except Exception:  # inference raises more than its own error
        return False
    return True


def _small(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which large initializers are inputs: their shapes are enough."""
    held = proto.graph.initializer
    external = onnx.TensorProto.EXTERNAL
    return without_data(
        proto, {t.name for t in held if t.data_location == external or t.ByteSize() > MIN_STREAMED_BYTES}
    )


def _corrected(graph: onnx.GraphProto, inferred: onnx.GraphProto) -> Iterator[str]:
    """Give values the inferred shape where the declared one contradicts it; yield their names."""
    found = {info.name: info.type.tensor_type for info in (*inferred.value_info, *inferred.output)}
    for info in (*graph.value_info, *graph.output):
        said, known = info.type.tensor_type, found.get(info.name)
        if said.HasField("shape") and known is not None and known.HasField("shape") and _differ(said, known):
            said.shape.CopyFrom(known.shape)
            yield info.name


def _removed(proto: onnx.ModelProto, graph: onnx.GraphProto, inferred: onnx.GraphProto) -> Iterator[str]:
    """Remove declarations of values whose shape inference does not tell, as of a loop's states; yield their names.

    Declarations with which inference agrees stay.
    """
    told = {info.name for info in inferred.value_info if info.type.tensor_type.HasField("shape")}
    declared = [onnx.ValueInfoProto.FromString(info.SerializeToString()) for info in graph.value_info]
    kept = [info for info in declared if info.name in told]
    if not _agrees_with(proto, graph, kept):
        _agrees_with(proto, graph, declared)  # something else is at fault: all as it was
        return
    for info in declared:
        if info.name not in told and _agrees_with(proto, graph, [*kept, info]):
            kept.append(info)
        elif info.name not in told:
            yield info.name
    _agrees_with(proto, graph, kept)


def _agrees_with(proto: onnx.ModelProto, graph: onnx.GraphProto, declared: list[onnx.ValueInfoProto]) -> bool:
    """Declare these values in a graph of the model, in place, and return whether shape inference agrees."""
    graph.ClearField("value_info")
    graph.value_info.extend(declared)
    return _agrees(proto)


def _differ(said: onnx.TypeProto.Tensor, known: onnx.TypeProto.Tensor) -> bool:
    if len(said.shape.dim) != len(known.shape.dim):
        return True
    pairs = zip(said.shape.dim, known.shape.dim, strict=True)
    return any(a.HasField("dim_value") and b.HasField("dim_value") and a.dim_value != b.dim_value for a, b in pairs)


def _line(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"declared shapes contradict shape inference and are corrected: {shown}"
