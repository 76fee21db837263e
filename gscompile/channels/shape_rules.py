"""Follow channels into a `Shape` node, whose readers may ask for the sizes of other axes."""

from __future__ import annotations

import onnx_ir as ir

from gscompile.channels.propagation import Rule, Walk
from gscompile.onnx_files.op_names import kind


def shape(walk: Walk, node: ir.Node) -> None:
    """Accept a `Shape` of a value with channels if every reader picks sizes of other axes; else lock the channels."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return None
    axis, count = channels.place, channels.count
    if axis is None or count is None:
        return walk.unknown(node)
    end = node.attributes.get_int("end", count)
    told = list(range(count))[node.attributes.get_int("start", 0) : end]
    if axis in told and not reads_others(walk, node.outputs[0], told, axis):
        return walk.unknown(node)
    return None


def reads_others(walk: Walk, sizes: ir.Value, told: list[int], axis: int) -> bool:
    """Return whether all readers of the sizes `told` pick other sizes than that of `axis`."""
    picked = [axes_picked(walk, use.node, told) for use in sizes.uses()]
    return not sizes.is_graph_output() and all(axes is not None and axis not in axes for axes in picked)


def axes_picked(walk: Walk, node: ir.Node, told: list[int]) -> list[int] | None:
    """Return the axes whose sizes a node picks out of the sizes `told`; None where that is not known."""
    if kind(node) == "Gather":
        places = walk.numbers(node, 1, "")
        return None if places is None else [told[n] for n in places if -len(told) <= n < len(told)]
    if kind(node) != "Slice":
        return None
    ends = [walk.numbers(node, n, name) for n, name in ((1, "starts"), (2, "ends"), (4, ""))]
    start, end, step = (None if numbers is None or len(numbers) != 1 else numbers[0] for numbers in ends)
    spelled = len(node.inputs) > 4 and node.inputs[4] is not None
    return None if start is None or end is None or (spelled and step is None) else told[start:end:step]


RULES: dict[str, Rule] = {"Shape": shape}
