"""Remove dead units: a channel, neuron or rank that cannot change an output is cut from its producers and consumers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.channels import find_coupled_channels
from gscompile.channels.coupled_channels import ChannelSource, CoupledChannels, MatrixUse, SizeConstant, VectorUse
from gscompile.channels.layer_axes import weight_axis
from gscompile.channels.union_find import Units
from gscompile.graph.network import Network, replace_held

__all__ = ["CoupledChannels", "MatrixUse", "Units", "dead_units", "drop_dead_units", "find_coupled_channels", "shrink"]


def dead_units(network: Network, space: CoupledChannels) -> NDArray[np.bool_]:
    """Return which units can be removed without changing an output, since nothing arrives or nothing is read. [size]"""
    if space.pinned is not None or not space.producers or not space.readers:
        return np.zeros(space.size, bool)
    is_zero = cache(partial(_is_zero, network, space))
    silent, unread = np.ones(space.size, bool), np.ones(space.size, bool)
    for reader in space.readers:
        silent &= np.any([_all(map(is_zero, sources), space.size) for sources in reader.zero or [()]], axis=0)
        silent &= bool(reader.zero)
    for side in space.consumers:
        unread &= _units_without_weight(network, side, axis=2, size=space.size)
    for meeting in space.meetings:
        unread[meeting.unit_of[meeting.unit_of >= 0]] = False
    return silent | unread


def _is_zero(network: Network, space: CoupledChannels, source: ChannelSource) -> NDArray[np.bool_]:
    """Return the units for which a producer, or a vector along the channels, is zero. [size]

    Units in which the source has no part count as zero.
    """
    if isinstance(source, str):
        sides = [side for side in space.producers if side.layer == source]
        filters = [side for side in space.filters if side.layer == source]
        made = (_units_without_weight(network, side, 1, space.size) for side in sides)
        return _all((*made, *(_units_without_filter(network, side, space.size) for side in filters)), space.size)
    vectors = (along for along in space.vectors if along.value is source)
    return _all((_zero_along(network, along, space.size) for along in vectors), space.size)


def _all(masks: Iterable[NDArray[np.bool_]], size: int) -> NDArray[np.bool_]:
    return np.asarray(np.all([np.ones(size, bool), *masks], axis=0))


def _units_without_weight(network: Network, side: MatrixUse, axis: int, size: int) -> NDArray[np.bool_]:
    return _none_of((network.matrices(side.layer) != 0).any(axis=(0, axis)), side.unit_of, size)


def _units_without_filter(network: Network, side: MatrixUse, size: int) -> NDArray[np.bool_]:
    return _none_of((network.matrices(side.layer) != 0).any(axis=(1, 2)), side.unit_of, size)


def _zero_along(network: Network, along: VectorUse, size: int) -> NDArray[np.bool_]:
    array = network.array(along.value)
    assert array is not None
    others = tuple(a for a in range(array.ndim) if a != along.axis % array.ndim)
    return _none_of((array != 0).any(axis=others), along.unit_of, size)


def _none_of(used: NDArray[np.bool_], unit_of: Units, size: int) -> NDArray[np.bool_]:
    """Return the units without any used entry; entries of other coupled channels (-1) are ignored. [size]"""
    mine = unit_of >= 0
    return np.asarray(np.bincount(unit_of[mine], weights=used[mine], minlength=size) == 0)


def drop_dead_units(network: Network) -> list[tuple[str, int, int]]:
    """Remove dead units of `network`, in place, until there are none; return (producing layer, before, after) of each.

    At least one unit stays in every tensor, since ONNX operators need not accept empty ones.
    """
    dropped: list[tuple[str, int, int]] = []
    while True:
        found = list(_drop_once(network))
        if not found:
            return dropped
        dropped += found


def _drop_once(network: Network) -> Iterator[tuple[str, int, int]]:
    """Drop the dead units of each group of coupled channels, and yield what was dropped.

    After a group that shares the rows or columns of a layer with others, the groups are found again.
    """
    for space in find_coupled_channels(network):
        dead = _with_survivors(space, dead_units(network, space))
        if dead.any():
            shrink(network, space, np.flatnonzero(~dead))
            yield space.producers[0].layer, space.size, int((~dead).sum())
            if space.is_shared:
                return


def _with_survivors(space: CoupledChannels, dead: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return `dead` with one unit of every tensor kept, since ONNX operators need not accept empty tensors."""
    for units in [along.unit_of for along in space.values]:
        if dead.any() and (units >= 0).all() and dead[units].all():
            dead[units[0]] = False
    return dead


def shrink(network: Network, space: CoupledChannels, keep: Units) -> None:
    """Keep only the units `keep`, in every weight and vector that has them; entries of other coupled channels stay."""
    kept = np.zeros(space.size + 1, bool)
    kept[keep] = kept[-1] = True  # -1: an entry of other coupled channels
    for sides, which in ((space.producers, "outputs"), (space.consumers, "inputs")):
        for side in sides:
            axis = weight_axis(network.layer(side.layer), which)
            assert axis is not None
            _take(network, side.layer, axis, kept[side.unit_of])
    for side in space.filters:
        node = network.layer(side.layer).uses[0].node
        _take(network, side.layer, 0, kept[side.unit_of])
        node.attributes["group"] = ir.AttrInt64("group", int(kept[side.unit_of].sum()))
    for along in {along.value: along for along in space.vectors}.values():
        array = network.array(along.value)
        assert array is not None
        replace_held(along.value, np.compress(kept[along.unit_of], array, along.axis))
    for sized in space.sized:
        _resize(network, sized, int(kept[sized.unit_of].sum()))
    for split in space.parted:
        _part(network, split.node, [int(kept[units].sum()) for units in split.unit_of])
    for along in space.values:
        along.value.shape = None  # the inferred shape no longer holds
    network.changed()


def _take(network: Network, name: str, axis: int, kept: NDArray[np.bool_]) -> None:
    """Keep the entries of one axis of a weight that belong to kept rows or columns; several may be one channel."""
    layer = network.layer(name)
    tensor = network.array(layer.value)
    assert tensor is not None
    each = len(kept) // tensor.shape[axis]
    network.set_tensor(layer, np.compress(kept[::each], tensor, axis))


def _resize(network: Network, sized: SizeConstant, units: int) -> None:
    """Write the new number of units into the constant that holds it, or into a copy where other nodes read it too."""
    node = sized.node if sized.reader is None else _joint_of(network, sized.reader)
    old = node.inputs[sized.index]
    assert old is not None
    array = np.array(network.array(old))
    array[sized.place] = units * sized.each
    _feed(network, node, sized.index, old, f"{old.name}_cut", array)


def _joint_of(network: Network, reader: ir.Node) -> ir.Node:
    """Return the `Concat` that joins the sizes a `Reshape` reads; a copy of it where other nodes read it too."""
    sizes = reader.inputs[1]
    joint = None if sizes is None else sizes.producer()
    assert sizes is not None
    assert joint is not None
    if len(sizes.uses()) == 1:
        return joint
    name = network.unique_name(f"{joint.name or sizes.name}_cut")
    own = ir.Node(joint.domain, joint.op_type, joint.inputs, joint.attributes.values(), name=name)
    own.outputs[0].name = network.unique_name(f"{name}_output")
    own.outputs[0].type = sizes.type
    network.graph.insert_before(reader, own)
    reader.replace_input_with(1, own.outputs[0])
    return own


def _part(network: Network, node: ir.Node, sizes: list[int]) -> None:
    """Write the sizes of the outputs of a `Split`, as an attribute or an input according to its opset."""
    if network.opset < 13:
        node.attributes["split"] = ir.AttrInt64s("split", sizes)
        return
    node.attributes.pop("num_outputs", None)
    node.resize_inputs(2)
    _feed(network, node, 1, node.inputs[1], f"{node.name or node.outputs[0].name}_sizes", np.array(sizes, np.int64))


def _feed(
    network: Network, node: ir.Node, index: int, old: ir.Value | None, name: str, array: NDArray[np.generic]
) -> None:
    node.replace_input_with(index, network.new_weight(name, array))
    if old is not None:
        network.discard(old)
