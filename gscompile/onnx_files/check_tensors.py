"""A tensor in a model holds as many numbers as its shape says: readers of its bytes find out late, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.descriptor import FieldDescriptor

_MAX_TENSOR_BYTES = (
    1 << 63
) - 1  # numpy's arrays stay below it in bytes, those of nothing too but for the sizes that are 0
_EXTERNAL = onnx.TensorProto.EXTERNAL


def ill_declared(message: Any) -> str | None:
    """What is wrong with the first tensor within an ONNX message whose data is not what it declares, else None.

    >>> import onnx
    >>> ill_declared(onnx.TensorProto(name="w", dims=[2, 3], data_type=1, raw_data=bytes(20)))
    "tensor 'w' of [2, 3] takes 24 bytes and has 20"
    """
    return next((found for tensor in all_tensors(message) if (found := _fault(tensor)) is not None), None)


def all_tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor within a message."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in value if hasattr(value, "extend") else [value]:
                yield from all_tensors(item)


def _fault(tensor: onnx.TensorProto) -> str | None:
    what = f"tensor {tensor.name!r} of {[*tensor.dims]}"
    if min(tensor.dims, default=0) < 0:
        return f"{what} has a negative size"
    if 16 * prod(size for size in tensor.dims if size) > _MAX_TENSOR_BYTES:
        return f"{what} has sizes that no array can have"
    try:
        kind = ir.DataType(tensor.data_type)
        bits = 0 if kind == ir.DataType.STRING else _bits(kind)
    except (ValueError, TypeError):
        return f"{what} is of no known type ({tensor.data_type})"
    if tensor.data_location == _EXTERNAL:  # whose data is looked at where it lies
        return None
    if kind == ir.DataType.STRING:
        return _differ(what, prod(tensor.dims), len(tensor.string_data), "texts")
    if tensor.HasField("raw_data"):
        return _differ(what, -(-prod(tensor.dims) * bits // 8), len(tensor.raw_data), "bytes")
    return _differ(what, _numbers(kind, prod(tensor.dims)), len(_spelled(tensor)), "numbers")


def _differ(what: str, wanted: int, found: int, unit: str) -> str | None:
    return None if wanted == found else f"{what} takes {wanted} {unit} and has {found}"


def _numbers(kind: ir.DataType, elements: int) -> int:
    """Entries of the field a type is spelled out in: two for a complex number, one for what shares a byte."""
    if kind in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        return 2 * elements
    return -(-elements * min(_bits(kind), 8) // 8)


def _bits(kind: ir.DataType) -> int:
    """Bits of a number; some take a part of a byte."""
    return round(8 * kind.itemsize)


def _spelled(tensor: onnx.TensorProto) -> Any:
    return getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))
