"""Convert tensors at the borders: ONNX element types, numpy arrays and torch tensors.

Element types that torch lacks (strings, 4-bit integers, 8-bit floats) stay numpy arrays, as `onnx.reference` takes
them; every other tensor is a torch tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

TORCH_TYPES: dict[int, torch.dtype] = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.INT8: torch.int8,
    ir.DataType.UINT16: torch.uint16,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.BOOL: torch.bool,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.UINT32: torch.uint32,
    ir.DataType.UINT64: torch.uint64,
    ir.DataType.COMPLEX64: torch.complex64,
    ir.DataType.COMPLEX128: torch.complex128,
    ir.DataType.BFLOAT16: torch.bfloat16,
}
ONNX_TYPES: dict[torch.dtype, int] = {torch_type: int(onnx_type) for onnx_type, torch_type in TORCH_TYPES.items()}
_BFLOAT16 = np.dtype(ir.DataType.BFLOAT16.numpy())
_NUMPY_KINDS = {np.dtype(ir.DataType(number).numpy()) for number in TORCH_TYPES}


def torch_type(onnx_type: int) -> torch.dtype:
    """Return the torch element type of an ONNX one; NotImplementedError where torch has none."""
    if onnx_type not in TORCH_TYPES:
        raise NotImplementedError(f"torch has no element type for ONNX's {ir.DataType(onnx_type).name}")
    return TORCH_TYPES[onnx_type]


def onnx_type(value: Any) -> int:
    """Return the ONNX element type number of a torch tensor or a numpy array."""
    if isinstance(value, Tensor):
        return ONNX_TYPES[value.dtype]
    if value.dtype.kind in "OUS":
        return int(ir.DataType.STRING)
    return int(ir.DataType.from_numpy(value.dtype))


def from_numpy(array: Any, device: torch.device | str = "cpu") -> Any:
    """Return a tensor of its own (the array may be read-only), or the array where torch has no such element type."""
    array = np.asarray(array)
    if array.dtype not in _NUMPY_KINDS:
        return array
    if array.dtype == _BFLOAT16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16).to(device)
    return torch.from_numpy(np.array(array, order="C")).to(device)


def to_numpy(value: Any) -> Any:
    """Return the numpy array of a tensor; lists are converted element by element, None and arrays returned as is."""
    if isinstance(value, list):
        return [to_numpy(item) for item in value]
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:
        return value.contiguous().view(torch.int16).numpy().view(_BFLOAT16)
    return value.numpy()


def from_ir(tensor: ir.TensorProtocol, device: torch.device | str = "cpu") -> Any:
    """Return a constant of the graph; strings become an array of `str`."""
    if tensor.dtype == ir.DataType.STRING:
        items = [item.decode() for item in tensor.numpy().reshape(-1)]
        return np.array(items, dtype=object).reshape(tensor.shape.numpy())
    return from_numpy(tensor.numpy(), device)


def ints(tensor: Tensor) -> list[int]:
    """Return the numbers of a small integer tensor, flat."""
    return [int(item) for item in _read(tensor, "_items", lambda: tensor.reshape(-1).tolist())]


def number(tensor: Tensor) -> Any:
    """Return the Python number of a one-element tensor."""
    return _read(tensor, "_item", tensor.item)


def _read(tensor: Tensor, name: str, read: Callable[[], Any]) -> Any:
    """Return the values of a tensor; reading from a GPU waits for it, so the answer is cached on the tensor."""
    if tensor.device.type == "cpu" or tensor.is_inference():
        return read()
    version, answer = getattr(tensor, name, (None, None))
    if version != tensor._version:
        answer = read()
        setattr(tensor, name, (tensor._version, answer))
    return answer
