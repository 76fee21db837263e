"""Networks that are larger than memory likes: their large weights are kept in files while they are compiled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gscompile.errors import OutputError
from gscompile.graph.network import Network
from gscompile.graph.weight_store import WeightStore
from gscompile.onnx_files.loading import tensors_of
from gscompile.onnx_files.mapped_tensor import kept_small

MIN_SHELVED_BYTES = 128 << 20  # bytes of weights from which on a network is compiled from the shelf


@contextmanager
def on_shelf(network: Network, out: Path, wanted: bool) -> Iterator[Network]:
    """The network with its large weights on a shelf beside `out`, if it is `wanted` and large; else as it is.

    Raises OutputError where there is no room for it.
    """
    if not wanted or sum(tensor.nbytes for tensor in tensors_of(network.model)) < MIN_SHELVED_BYTES:
        yield network
        return
    folder = out.absolute().with_name(f".{out.name}.{os.getpid()}.shelf")
    try:
        with kept_small():
            yield _shelved(network, folder)
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written: {problem.strerror or problem}") from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _shelved(network: Network, folder: Path) -> Network:
    twin = network.copy()
    twin.shelf = WeightStore(folder)
    folder.mkdir()
    for graph in twin.model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.const_value = twin.shelf.put(value.const_value)
    return twin
