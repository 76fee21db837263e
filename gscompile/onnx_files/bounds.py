"""What a small file may not ask for: functions that grow into billions of nodes, constants made of a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Set

import onnx
import onnx_ir as ir

from gscompile.errors import ModelError
from gscompile.onnx_files.constants import expected_size, nodes_of

MOST_NODES = 10_000_000  # of a model whose functions are written out
MOST_ELEMENTS = 1 << 28  # that a node makes of constants

# Ops whose output may be larger than what they read.
_GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "Upsample", "OneHot"}

FunctionKey = tuple[str, str, str]  # domain, name and overload of a function


def check_functions(where: str, proto: onnx.ModelProto) -> None:
    """Raise ModelError where functions that call functions are too many nodes; of a circle ONNX's checker tells."""
    functions = {(f.domain, f.name, f.overload): f for f in proto.functions}
    counts: dict[FunctionKey, int] = {}
    for key in functions:
        _count(key, functions, counts)
    total = sum(counts.get(_key(node), 1) for node in proto.graph.node)
    if total > MOST_NODES:
        raise ModelError(f"{where}: its functions are {total} nodes when they are written out")


def _count(
    key: FunctionKey, functions: Mapping[FunctionKey, onnx.FunctionProto], counts: dict[FunctionKey, int]
) -> None:
    """Count the nodes of a function and, before, of those it calls."""
    pending = [key]
    while pending:
        calls = [_key(node) for node in functions[pending[-1]].node]
        unknown = [call for call in calls if call in functions and call not in counts and call not in pending]
        if unknown:
            pending.append(unknown[0])
        else:
            counts[pending.pop()] = sum(counts.get(call, 1) for call in calls)


def _key(node: onnx.NodeProto) -> FunctionKey:
    return node.domain, node.op_type, node.overload


def check_constants(graph: ir.Graph, constants: Set[ir.Value], opset: int) -> None:
    """Raise ModelError for a node that would make a vast tensor of constants alone."""
    for node in nodes_of(graph):
        if node.op_type in _GROWING and all(value in constants for value in node.outputs):
            size = expected_size(node, opset)
            if size > MOST_ELEMENTS:
                name = node.name or node.outputs[0].name
                raise ModelError(f"{node.op_type} {name!r}: makes a tensor of {size} elements of a few numbers")
