"""Units: a dead channel, neuron or rank disappears from both neighbours, and outputs stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.channels import Side, Sized, Source, Space, Units, find_spaces, weight_axis
from gscompile.network import Network, replace_held

__all__ = ["Side", "Space", "Units", "dead_units", "drop_dead_units", "find_spaces", "shrink"]


def dead_units(network: Network, space: Space) -> NDArray[np.bool_]:
    """Which units of a space can go without changing an output: nothing arrives, or nothing is read. [size]"""
    if space.pinned is not None or not space.producers or not space.consumers:
        return np.zeros(space.size, bool)
    is_zero = cache(partial(_is_zero, network, space))
    silent, unread = np.ones(space.size, bool), np.ones(space.size, bool)
    for side in space.consumers:
        silent &= np.any(
            [np.all([is_zero(s) for s in sources], axis=0) for sources in side.zero or [()]], axis=0
        )
        silent &= bool(side.zero)
        unread &= _units_without_weight(network, side, axis=2, size=space.size)
    return silent | unread


def _is_zero(network: Network, space: Space, source: Source) -> NDArray[np.bool_]:
    """Where a producer of a space, or a vector along it, holds nothing. [size]"""
    if isinstance(source, str):
        sides = [side for side in space.producers if side.layer == source]
        return _all([_units_without_weight(network, side, axis=1, size=space.size) for side in sides])
    axes = {axis for value, axis in space.vectors if value is source}
    return _all([_zero_along(network, source, axis) for axis in axes])


def _all(masks: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return np.asarray(np.all(masks, axis=0))


def _units_without_weight(network: Network, side: Side, axis: int, size: int) -> NDArray[np.bool_]:
    used = (network.matrices(side.layer) != 0).any(axis=(0, axis))
    return np.asarray(np.bincount(side.unit_of, weights=used, minlength=size) == 0)


def _zero_along(network: Network, value: ir.Value, axis: int) -> NDArray[np.bool_]:
    array = network.array(value)
    assert array is not None
    others = tuple(a for a in range(array.ndim) if a != axis)
    return np.asarray((array == 0).all(axis=others))


def drop_dead_units(network: Network) -> list[tuple[str, int, int]]:
    """Remove dead units until there are none; [(layer that produced them, before, after)], the network is changed.

    A space keeps at least one unit, since ONNX operators need not take empty tensors.
    """
    dropped: list[tuple[str, int, int]] = []
    while True:
        found = list(_drop_once(network))
        if not found:
            return dropped
        dropped += found


def _drop_once(network: Network) -> Iterator[tuple[str, int, int]]:
    for space in find_spaces(network):  # each has its own rows and columns: none of them moves another
        dead = dead_units(network, space)
        if dead.all():
            dead[0] = False
        if dead.any():
            shrink(network, space, np.flatnonzero(~dead))
            yield space.producers[0].layer, space.size, int((~dead).sum())


def shrink(network: Network, space: Space, keep: Units) -> None:
    """Keep only the units `keep` of a space, in that order, in every weight and vector that has them."""
    for sides, which in ((space.producers, "outputs"), (space.consumers, "inputs")):
        for side in sides:
            axis = weight_axis(network.layer(side.layer), which)
            assert axis is not None
            _take(network, side.layer, axis, space.size, keep)
    for name in space.filters:
        node = network.layer(name).uses[0].node
        _take(network, name, 0, space.size, keep)
        node.attributes["group"] = ir.AttrInt64("group", len(keep))
    for value, axis in dict.fromkeys(space.vectors):
        array = network.array(value)
        assert array is not None
        replace_held(value, np.take(array, keep, axis))
    for sized in space.sized:
        _resize(network, sized, len(keep))
    for value in space.values:
        value.shape = None  # what was inferred is no longer true
    network.changed()


def _take(network: Network, name: str, axis: int, size: int, keep: Units) -> None:
    layer = network.layer(name)
    tensor = network.array(layer.value)
    assert tensor is not None
    spread = tensor.shape[axis] // size
    positions = (keep[:, None] * spread + np.arange(spread)).ravel()
    network.set_tensor(layer, np.take(tensor, positions, axis))


def _resize(network: Network, sized: Sized, units: int) -> None:
    """Write the new number of units where a node has it spelled out; others may read the old constant."""
    old = sized.node.inputs[sized.index]
    assert old is not None
    array = np.array(network.array(old))
    array[sized.place] = units * sized.each
    sized.node.replace_input_with(sized.index, network.new_weight(f"{old.name}_cut", array))
    network.discard(old)
