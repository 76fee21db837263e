"""Read the target shape of a `Reshape`, and find the entry that holds the number of channels."""

from __future__ import annotations

import onnx_ir as ir

from gscompile.channels.coupled_channels import SizeConstant
from gscompile.channels.propagation import Walk
from gscompile.channels.union_find import Units
from gscompile.onnx_files.op_names import kind
from gscompile.onnx_files.shapes import OpenShape


def spelled_sizes(walk: Walk, node: ir.Node) -> OpenShape:
    """Return the sizes that a `Reshape` gives its axes; None where one is not known."""
    written = [size for size, *_ in target_entries(walk, node)]
    made = walk.sizes(node.outputs[0]) or (None,) * len(written)
    if written and len(written) != len(made):
        return ()
    return tuple(size if size and size > 0 else known for size, known in zip(written or made, made, strict=True))


def target_entries(walk: Walk, node: ir.Node) -> list[tuple[int | None, ir.Node, int, int]]:
    """Return the entries of the target, None where computed, and the node, input and position of each."""
    numbers = walk.numbers(node, 1, "shape")
    if numbers is not None:
        return [(number, node, 1, place) for place, number in enumerate(numbers)]
    source = node.inputs[1] if len(node.inputs) > 1 else None
    joint = None if source is None else source.producer()
    if joint is None or kind(joint) != "Concat":
        return []
    found: list[tuple[int | None, ir.Node, int, int]] = []
    for index, value in enumerate(joint.inputs):
        numbers, sizes = walk.numbers(joint, index, ""), walk.sizes(value)
        if numbers is None and (sizes is None or len(sizes) != 1 or sizes[0] is None):
            return []
        each: list[int | None] = [None] * (sizes[0] or 0) if numbers is None and sizes else [*(numbers or ())]
        found += [(number, joint, index, place) for place, number in enumerate(each)]
    return found


def note_size(walk: Walk, node: ir.Node, place: int, each: int, units: Units) -> bool:
    """Record where the size of an axis is written; return False where it is computed."""
    entries = target_entries(walk, node)
    if not entries:
        return False
    number, holder, index, within = entries[place]
    if number == -1:
        return True
    if not number:
        return False
    walk.sized.append(SizeConstant(holder, index, within, each, units, None if holder is node else node))
    return True
