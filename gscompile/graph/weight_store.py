"""Weights that memory would not like, kept in files: a network larger than memory is compiled from there.

Every weight of 64 KiB and more lies on the shelf, a folder beside OUT, in a file of its own, whatever the model looked
like: onnxruntime maps it from there as numpy does, a model that changes meanwhile does no harm, and factors that a
pass makes go there too, once those in memory are many. A file is gone when the tensor is.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.onnx_files.loading import BLOCK_BYTES, blocks_of, lies_whole
from gscompile.onnx_files.mapped_tensor import MappedTensor
from gscompile.onnx_files.protobuf_stream import MIN_STREAMED_BYTES

MAX_BYTES_IN_MEMORY = 224 << 20  # bytes of new weights that stay in memory: to write and to map a file takes longer


class Shelved(MappedTensor):
    """A tensor on the shelf; its file goes when it does."""


class WeightStore:
    """Tensors, each in a file of its own in `folder`; up to `room` bytes of new ones are kept in memory."""

    def __init__(self, folder: Path, room: int = MAX_BYTES_IN_MEMORY) -> None:
        self.folder, self._numbers, self._room = folder, count(), room

    def keep(self, tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        """The same tensor, in memory while there is room, else from a file. Raises OSError."""
        if tensor.nbytes > self._room:
            return self.put(tensor)
        self._take(tensor.nbytes)
        weakref.finalize(tensor, self._take, -tensor.nbytes)
        return tensor

    def _take(self, size: int) -> None:
        self._room -= size

    def put(self, tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        """The same tensor from a file, where it is large and of whole bytes. Raises OSError."""
        if tensor.nbytes < MIN_STREAMED_BYTES or isinstance(tensor, Shelved) or not lies_whole(tensor):
            return tensor
        path = self.folder / f"{next(self._numbers)}.weight"
        _write(
            blocks_of(tensor, BLOCK_BYTES) if isinstance(tensor, ir.ExternalTensor) else _blocks(tensor.numpy()), path
        )
        kept = Shelved(
            path.name,
            0,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=tensor.name or "",
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
            base_dir=self.folder,
        )
        weakref.finalize(kept, _remove, path)
        return kept


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return (data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES))


def _write(blocks: Iterable[NDArray[np.uint8]], path: Path) -> None:
    """All bytes; where they are zero, the file has a hole."""
    size = 0
    with path.open("wb", buffering=0) as file:
        for block in blocks:
            if block[:64].any() or block.any():
                _write_all(file, block, size)
            size += len(block)
        file.truncate(size)


def _write_all(file: FileIO, block: NDArray[np.uint8], at: int) -> None:
    file.seek(at)
    done = 0
    while done < len(block):  # a disk that is almost full takes a part
        done += file.write(block[done:].data)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
