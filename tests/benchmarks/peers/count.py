"""Cells, tiles and wires of an ONNX file on 64x64 crossbars, counted by nothing but numpy and onnx.

    python -m tests.benchmarks.peers.count FILE.onnx...

The one counter for every row of the comparison; it shares no code with gscompile. A weight of Conv, Gemm or MatMul is
a matrix: a row per input (kernel position and channel), a column per output; each group of a grouped Conv is one.
A matrix is cut into whole tiles from its first row and column on, and a remainder. A row or a column of a tile without
a weight is not built: the cells of a tile are its live rows x live columns, its wires live rows + live columns, and a
tile without a weight does not exist.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

SIDE = 64
Array = NDArray[Any]


def count(path: Path) -> dict[str, int]:
    """Cells, tiles and wires of all matrices of a file."""
    parts = [tile for matrix in matrices(onnx.load(path)) for tile in tiles(matrix)]
    return {
        "cells": sum(rows * columns for rows, columns in parts),
        "tiles": len(parts),
        "wires": sum(rows + columns for rows, columns in parts),
    }


def matrices(model: onnx.ModelProto) -> Iterator[Array]:
    """Every weight as matrices [inputs, outputs]; one that several nodes read counts once."""
    held = dict(constants(model.graph))
    seen: set[str] = set()
    for node in model.graph.node:
        names = [name for name in node.input[:2] if name in held and held[name].ndim >= 2]
        if node.op_type in ("Conv", "Gemm", "MatMul") and names and names[0] not in seen:
            seen.add(names[0])
            yield from as_matrices(node, held[names[0]], first=node.input[0] == names[0])


def constants(graph: onnx.GraphProto) -> Iterator[tuple[str, Array]]:
    """What is held by name: initializers, and `Constant` nodes."""
    for tensor in graph.initializer:
        yield tensor.name, onnx.numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], onnx.numpy_helper.to_array(node.attribute[0].t)


def as_matrices(node: onnx.NodeProto, weight: Array, first: bool) -> Iterator[Array]:
    attributes: Mapping[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Conv":
        for part in np.split(weight, attributes.get("group", 1)):
            yield part.reshape(len(part), -1).T
    elif node.op_type == "Gemm":
        turned = attributes.get("transA" if first else "transB", 0)
        yield weight.T if bool(turned) != first else weight
    else:
        yield from (np.swapaxes(weight, -1, -2) if first else weight).reshape(-1, *weight.shape[-2:])


def tiles(matrix: Array) -> Iterator[tuple[int, int]]:
    """Live rows and live columns of every tile that holds a weight."""
    for top in range(0, matrix.shape[0], SIDE):
        for left in range(0, matrix.shape[1], SIDE):
            live = matrix[top : top + SIDE, left : left + SIDE] != 0
            if live.any():
                yield int(live.any(axis=1).sum()), int(live.any(axis=0).sum())


if __name__ == "__main__":
    for file in sys.argv[1:]:
        print(file, count(Path(file)))
