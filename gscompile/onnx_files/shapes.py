"""Shapes that the file does not tell, found by ONNX's shape inference; what is written stays as it was."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

OpenShape = tuple[int | None, ...]  # None where a size is not known, or only by name
_MAX_SHAPE_BYTES = 1024  # bytes of a constant that may tell a shape


def known_shapes(model: ir.Model) -> dict[str, OpenShape]:
    """The shapes of the main graph's values by name, as the file tells them or else as they follow from it.

    Where nothing is missing nothing is inferred; what cannot be inferred is left out.
    """
    told = {value.name: _sizes(value.shape) for value in _values(model.graph) if value.shape is not None}
    shapes = {name: sizes for name, sizes in told.items() if name is not None}
    missing = any(value.shape is None for value in _values(model.graph))
    return {**_inferred(model), **shapes} if missing else shapes


def inferred_shapes(model: ir.Model) -> dict[str, OpenShape]:
    """Return the shapes of the main graph's values that follow from its inputs, whatever the file declares.

    Values whose shape cannot be inferred are left out.
    """
    return _inferred(model, declared=False)


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _sizes(shape: ir.Shape) -> OpenShape:
    return tuple(size if isinstance(size, int) else None for size in shape)


def _inferred(model: ir.Model, declared: bool = True) -> dict[str, OpenShape]:
    try:
        proto = ir.to_proto(_without_weights(model))
        if not declared:
            undeclare(proto.graph)
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:  # whatever a graph may hold, the analysis does without
        return {}
    infos = (*proto.graph.value_info, *proto.graph.output)
    return {info.name: _of(info.type.tensor_type) for info in infos if info.type.tensor_type.HasField("shape")}


def undeclare(graph: onnx.GraphProto) -> None:
    """Remove, in place, the shapes that a graph declares for intermediate values and outputs; types stay."""
    for value in (*graph.value_info, *graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _of(found: onnx.TypeProto.Tensor) -> OpenShape:
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in found.shape.dim)


def _without_weights(model: ir.Model) -> ir.Model:
    """A copy whose large initializers are inputs: their shapes are enough."""
    model = model.clone()
    for name, value in [*model.graph.initializers.items()]:
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > _MAX_SHAPE_BYTES:
            model.graph.initializers.pop(name)
            value.const_value, value.shape = None, ir.Shape(tensor.shape.numpy())
            value.type = ir.TensorType(tensor.dtype)
            if value not in model.graph.inputs:
                model.graph.inputs.append(value)
    return model
