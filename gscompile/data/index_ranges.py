"""Which whole numbers an input may hold: found by following it to where its values are used as an index."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.onnx_files.constants import constant_array, held_tensor
from gscompile.onnx_files.op_names import kind

# Ops whose output holds values of these inputs, unchanged (None: of all inputs).
_PASSES_ON: dict[str, tuple[int, ...] | None] = {
    "Cast": (0,),
    "Concat": None,
    "Expand": (0,),
    "Flatten": (0,),
    "Gather": (0,),
    "GatherElements": (0,),
    "GatherND": (0,),
    "Identity": (0,),
    "Max": None,
    "Min": None,
    "Reshape": (0,),
    "Slice": (0,),
    "Split": (0,),
    "Squeeze": (0,),
    "Tile": (0,),
    "Transpose": (0,),
    "Unsqueeze": (0,),
    "Where": (1, 2),
}

# Ops that look an input up in another: {op: {input with indices: input with the table}}.
_LOOKS_UP: dict[str, dict[int, int]] = {
    "EmbedLayerNormalization": {0: 2, 1: 4, 8: 3},
    "Gather": {1: 0},
    "GatherBlockQuantized": {1: 0},
    "GatherElements": {1: 0},
    "GatherND": {1: 0},
    "RoiAlign": {2: 0},
    "RotaryEmbedding": {1: 2, 3: 1},  # com.microsoft's positions, ONNX's positions
    "ScatterElements": {1: 0},
    "ScatterND": {1: 0},
}
_KEEPS_SIZE = ("Cast", "DequantizeLinear", "Identity")


def index_limits(model: ir.Model) -> dict[str, int]:
    """For each graph input that reaches an index, the size of the smallest table: values are below it."""
    limits = ((value.name or "", list(_limits(model, value))) for value in model.graph.inputs)
    return {name: max(1, min(found)) for name, found in limits if found}


def compared_values(model: ir.Model) -> dict[str, NDArray[np.int64]]:
    """For each graph input that an `Equal` compares with whole numbers, those: a rate, or all classes."""
    found = ((value.name or "", next(_compared(model, value), None)) for value in model.graph.inputs)
    return {name: numbers for name, numbers in found if numbers is not None}


def _limits(model: ir.Model, value: ir.Value) -> Iterator[int]:
    for node, index in _readers(model, value):
        table = _LOOKS_UP.get(kind(node), {}).get(index)
        if table is not None and table < len(node.inputs):
            yield _table_size(node, node.inputs[table])
        elif kind(node) == "OneHot" and index == 0:
            depth = _whole_numbers(model, node.inputs[1])
            yield 1 if depth is None else int(depth[0])


def _compared(model: ir.Model, value: ir.Value) -> Iterator[NDArray[np.int64]]:
    for node, index in _readers(model, value):
        if kind(node) == "Equal":
            numbers = _whole_numbers(model, node.inputs[1 - index])
            if numbers is not None:
                yield numbers


def _readers(model: ir.Model, value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """Every (node, input position) that reads the values of `value`, also through nodes that pass them on."""
    pending, seen = [value], {value}
    while pending:
        for node, index in pending.pop().uses():
            yield node, index
            handed_on = [v for v in _handed_on(model, node, index) if v not in seen]
            pending.extend(handed_on)
            seen.update(handed_on)


def _handed_on(model: ir.Model, node: ir.Node, index: int) -> list[ir.Value]:
    function = model.functions.get(node.op_identifier())
    if function is not None:
        return list(function.inputs[index : index + 1])
    if kind(node) in ("Loop", "Scan"):
        return list(node.attributes["body"].as_graph().inputs[index : index + 1])
    positions = _PASSES_ON.get(kind(node), ())
    return list(node.outputs) if positions is None or index in positions else []


def _table_size(node: ir.Node, table: ir.Value | None) -> int:
    """How many entries the looked-up axis has; 1 when only running tells, so that the index is 0."""
    sizes = _sizes(table)
    if node.op_type in ("GatherND", "ScatterND"):
        return min(sizes, default=1)
    attribute = node.attributes.get("axis") or node.attributes.get("gather_axis")
    axis = 0 if attribute is None or attribute.is_ref() else attribute.as_int()
    return sizes[axis] if -len(sizes) <= axis < len(sizes) else 1


def _sizes(value: ir.Value | None) -> list[int]:
    while value is not None and held_tensor(value) is None and value.shape is None:
        producer = value.producer()
        value = producer.inputs[0] if producer is not None and kind(producer) in _KEEPS_SIZE else None
    if value is None:
        return []
    held = held_tensor(value)
    shape = value.shape if held is None else held.shape
    return [dim if isinstance(dim, int) else 1 for dim in shape or ()]


def _whole_numbers(model: ir.Model, value: ir.Value | None) -> NDArray[np.int64] | None:
    """What a constant holds, [n] with n >= 1; None for what is fed or computed, or has fractions."""
    try:
        array = None if value is None else constant_array(value, model.opset_imports.get("", 1))
    except Exception:  # an op the reference cannot run: what it holds is not known
        return None
    if array is None or array.size == 0 or array.dtype.kind not in "iuf":
        return None
    numbers = np.ravel(array).astype(np.int64)
    return numbers if np.array_equal(numbers, np.ravel(array)) else None
