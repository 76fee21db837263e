"""ONNX files by their bytes: read without the weights in them, and written a weight at a time.

Protobuf knows a message only as a whole, twice in memory when it is read or written. A file is a list of fields,
each a key, a length and a body (https://protobuf.dev/programming-guides/encoding), so that the body of a large
weight can be passed over and mapped from where it lies.
"""

from __future__ import annotations

import mmap
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import onnx
import onnx_ir as ir

MIN_STREAMED_BYTES = 1 << 16  # bytes of a weight that is left where it lies
_GRAPH, _INITIALIZER, _RAW = 7, 5, 9  # fields of ModelProto, GraphProto and TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


@dataclass(frozen=True)
class _Field:
    """A field of a message: bytes `start` to `stop` of the file, its body from `body` on."""

    number: int
    kind: int
    start: int
    body: int
    stop: int


def read_hollow(path: Path) -> onnx.ModelProto:
    """A model whose large weights are said to be external: in its own file, where they lie.

    Raises ValueError or a protobuf DecodeError for what is no message.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model = onnx.ModelProto()
        for field in _fields(data, 0, len(data)):
            if (field.number, field.kind) == (_GRAPH, _BYTES):
                _merge_graph(model.graph, data, field, path.name)
            else:
                model.MergeFromString(data[field.start : field.stop])
    return model


def _merge_graph(graph: onnx.GraphProto, data: mmap.mmap, whole: _Field, location: str) -> None:
    pieces = []
    for field in _fields(data, whole.body, whole.stop):
        if (field.number, field.kind) != (_INITIALIZER, _BYTES):
            pieces.append(data[field.start : field.stop])
        elif field.stop - field.body < MIN_STREAMED_BYTES:
            graph.initializer.add().MergeFromString(data[field.body : field.stop])
        else:
            _merge_tensor(graph.initializer.add(), data, field, location)
    graph.MergeFromString(b"".join(pieces))


def _merge_tensor(tensor: onnx.TensorProto, data: mmap.mmap, whole: _Field, location: str) -> None:
    """All of a tensor but its large raw data, which is told to be at its place in the file."""
    raw = None
    for field in _fields(data, whole.body, whole.stop):
        if (field.number, field.kind) == (_RAW, _BYTES) and field.stop - field.body >= MIN_STREAMED_BYTES:
            raw = field
        else:
            tensor.MergeFromString(data[field.start : field.stop])
    if raw is not None:
        point_to(tensor, location, raw.body, raw.stop - raw.body)


def point_to(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Say where a tensor's data is."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def without_data(model: onnx.ModelProto, names: Container[str] | None = None) -> onnx.ModelProto:
    """A copy in which the initializers of these names, or all that it points to, are fed: all the same to the graph."""

    def is_fed(tensor: onnx.TensorProto) -> bool:
        return tensor.data_location == onnx.TensorProto.EXTERNAL if names is None else tensor.name in names

    hollow = onnx.ModelProto()
    hollow.CopyFrom(model)
    outside = [tensor for tensor in model.graph.initializer if is_fed(tensor)]
    del hollow.graph.initializer[:]
    hollow.graph.initializer.extend(tensor for tensor in model.graph.initializer if not is_fed(tensor))
    fed = {value.name for value in model.graph.input}
    hollow.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in outside
        if tensor.name not in fed
    )
    return hollow


def _hold(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def _fields(data: mmap.mmap, start: int, stop: int) -> Iterator[_Field]:
    while start < stop:
        key, body = _varint(data, start, stop)
        kind, length = key & 7, 0
        if kind == _BYTES:
            length, body = _varint(data, body, stop)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        elif kind == _VARINT:
            length = _varint(data, body, stop)[1] - body
        else:
            raise ValueError(f"wire type {kind} at byte {start}")
        if body + length > stop:
            raise ValueError(f"a field at byte {start} ends behind its message")
        yield _Field(number=key >> 3, kind=kind, start=start, body=body, stop=body + length)
        start = body + length


def _varint(data: mmap.mmap, at: int, stop: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next thing begins."""
    value = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number without an end at byte {at}")


# -- out ------------------------------------------------------------------------------------------------------------


def write_whole(model: onnx.ModelProto, tensors: Iterable[ir.TensorProtocol], path: Path) -> None:
    """Write a model whose initializers point elsewhere as one file with all data in it, a tensor at a time.

    `tensors` are the initializers of the graph that point elsewhere, in order.
    """
    data = {tensor.name: tensor for tensor in tensors}
    parts = [_part(tensor, data.get(tensor.name)) for tensor in model.graph.initializer]
    graph, rest = onnx.GraphProto(), onnx.ModelProto()
    graph.CopyFrom(model.graph)
    graph.ClearField("initializer")
    rest.CopyFrom(model)
    rest.ClearField("graph")
    body = graph.SerializeToString()
    size = len(body) + sum(len(_head(_INITIALIZER, part.size)) + part.size for part in parts)
    with path.open("wb") as file:
        file.write(rest.SerializeToString() + _head(_GRAPH, size) + body)
        for part in parts:
            part.write(file)


@dataclass(frozen=True, eq=False)
class _StreamPart:
    """One initializer: what is said of it, and its data where that is elsewhere."""

    said: bytes
    tensor: ir.TensorProtocol | None

    @property
    def head(self) -> bytes:
        return b"" if self.tensor is None else _head(_RAW, self.tensor.nbytes)

    @property
    def size(self) -> int:
        return len(self.said) + len(self.head) + (0 if self.tensor is None else self.tensor.nbytes)

    def write(self, file: IO[bytes]) -> None:
        file.write(_head(_INITIALIZER, self.size) + self.said + self.head)
        if self.tensor is not None:
            file.flush()
            _write(self.tensor, file)


def _write(tensor: ir.TensorProtocol, file: IO[bytes]) -> None:
    before = file.tell()
    if isinstance(tensor, ir.ExternalTensor):
        tensor.tofile(file)
    else:
        file.write(tensor.tobytes())
    if file.tell() - before != tensor.nbytes:
        raise OSError(f"{tensor.name}: {file.tell() - before} bytes written of {tensor.nbytes}")


def _part(proto: onnx.TensorProto, tensor: ir.TensorProtocol | None) -> _StreamPart:
    if proto.data_location != onnx.TensorProto.EXTERNAL:
        return _StreamPart(proto.SerializeToString(), None)
    said = onnx.TensorProto()
    said.CopyFrom(proto)
    _hold(said)
    return _StreamPart(said.SerializeToString(), tensor)


def _head(number: int, length: int) -> bytes:
    """Key and length of a field.

    >>> _head(5, 300).hex()
    '2aac02'
    """
    return _number(number << 3 | _BYTES) + _number(length)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
