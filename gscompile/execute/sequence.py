"""Sequences (Python lists) and optionals (a value or None)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import ints, number


@op("SequenceConstruct")
def sequence_construct(_node: NodeInfo, *tensors: Tensor) -> list[Tensor]:
    """Return a sequence of the inputs."""
    return list(tensors)


@op("SequenceEmpty")
def sequence_empty(_node: NodeInfo) -> list[Tensor]:
    """Return an empty sequence."""
    return []


@op("SequenceInsert")
def sequence_insert(_node: NodeInfo, items: list[Tensor], item: Tensor, place: Tensor | None = None) -> list[Tensor]:
    """Return the sequence with `item` before `place`, or at the end."""
    at = len(items) if place is None else int(number(place))
    at = at + len(items) if at < 0 else at
    return [*items[:at], item, *items[at:]]


@op("SequenceErase")
def sequence_erase(_node: NodeInfo, items: list[Tensor], place: Tensor | None = None) -> list[Tensor]:
    """Return the sequence without the item at `place`, or the last."""
    at = (-1 if place is None else int(number(place))) % len(items)
    return items[:at] + items[at + 1 :]


@op("SequenceAt")
def sequence_at(_node: NodeInfo, items: list[Any], place: Tensor) -> Any:
    """Return the item at `place`."""
    return items[int(number(place))]


@op("SequenceLength")
def sequence_length(_node: NodeInfo, items: list[Any]) -> Tensor:
    """Return the number of items."""
    return torch.tensor(len(items), device=items[0].device if items and isinstance(items[0], Tensor) else "cpu")


@op("SplitToSequence")
def split_to_sequence(node: NodeInfo, x: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
    """Cut along `axis` into parts of one size, of the given sizes, or of one element."""
    axis = node.get("axis", 0)
    if sizes is None:
        return list(torch.split(x, 1, axis)) if node.get("keepdims", 1) else list(x.unbind(axis))
    return list(torch.split(x, int(number(sizes)) if sizes.ndim == 0 else ints(sizes), axis))


@op("ConcatFromSequence")
def concat_from_sequence(node: NodeInfo, items: list[Tensor]) -> Tensor:
    """Join the items along `axis`, or along a new one."""
    return torch.stack(items, node.get("axis", 0)) if node.get("new_axis", 0) else torch.cat(items, node.get("axis", 0))


@op("Optional")
def optional(_node: NodeInfo, value: Any = None) -> Any:
    """Return the value, or nothing."""
    return value


@op("OptionalHasElement")
def optional_has_element(_node: NodeInfo, value: Any = None) -> Tensor:
    """Return whether the optional holds a value."""
    return torch.tensor(value is not None, device=value.device if isinstance(value, Tensor) else "cpu")


@op("OptionalGetElement")
def optional_get_element(_node: NodeInfo, value: Any) -> Any:
    """Return the value, which must be there."""
    if value is None:
        raise ValueError("the optional is empty")
    return value
