"""Units: the channels that layers hand to each other, and how a dead one disappears from both neighbours.

A *space* is a set of channels that several values of the graph share: what one layer's columns produce and the
rows of the next consume, with everything between them that treats channels alike (activations, pooling, biases,
residual additions, which tie several producers). The ranks between two factors U and V are a space as well, so
one mechanism removes neurons, channels and ranks. A space is *pinned* where an op between is not known to keep
channels apart, or where a channel can be seen from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.constants import behind_identity, constant_array, held_tensor
from gscompile.network import Layer, Network, readers_behind_identity, replace_held

Units = NDArray[np.int64]  # the unit of every row, or of every column, of a matrix

# f(0) = 0: a channel of zeros stays one. The others treat channels alike but would turn zeros into something.
_ZERO_SAFE = set(
    "Relu LeakyRelu PRelu Elu Selu Celu Tanh Abs Neg Sign Sin Sinh Asinh Atan Erf Sqrt Ceil Floor Round Identity Cast "
    "Dropout MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool Softsign ThresholdedRelu Gelu HardSwish Mish "
    "Swish QuickGelu FastGelu".split()
)
_ELEMENTWISE = set("Sigmoid HardSigmoid Softplus Exp Log Reciprocal Clip Cos Cosh Acos Asin Not".split())
_BINARY = {"Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min", "BiasGelu"}
_POOLS = {"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"}


@dataclass(frozen=True)
class Side:
    """Rows or columns of a layer's matrix that belong to a space; `unit_of` numbers the unit of each."""

    layer: str
    unit_of: Units


@dataclass(eq=False)
class Space:
    """`size` channels: who produces and who consumes them, the vectors that run along, and what pins them."""

    size: int
    producers: list[Side] = field(default_factory=list)
    consumers: list[Side] = field(default_factory=list)
    vectors: list[tuple[ir.Value, int]] = field(default_factory=list)  # constants with a channel axis
    values: list[ir.Value] = field(default_factory=list)  # tensors that have these channels
    pinned: str | None = None
    zero_safe: bool = True


@dataclass(frozen=True)
class _Channels:
    """Which axis of a value holds the units of a space, and how many neighbours on it make up one unit.

    `axis` counts from the end (-1 is the last), as broadcasting does; `count` is the number of axes where it is known.
    """

    space: Space
    axis: int
    count: int | None
    spread: int | None = 1  # None: flattened, known only where it is consumed

    @property
    def is_second(self) -> bool:
        """Whether the units are on axis 1, where ONNX's pooling and normalisation expect channels."""
        return self.count is not None and self.axis == 1 - self.count


def find_spaces(network: Network) -> tuple[Space, ...]:
    """The spaces of the main graph, pinned ones included, in the order of their first producer."""
    return _Walk(network).run()


class _Walk:
    """One pass over the graph, front to back; `self.at` knows the channels of every value seen so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.at: dict[ir.Value, _Channels] = {}
        self.spaces: list[Space] = []
        self.merged: dict[int, Space] = {}
        self.weighted = {use.node: layer for layer in network.layers for use in layer.uses}
        self.rules: dict[str, Callable[[ir.Node], None]] = {
            **dict.fromkeys((*_ZERO_SAFE, *_ELEMENTWISE), self._unary),
            **dict.fromkeys(_BINARY, self._binary),
            "BatchNormalization": self._batch_norm,
            "Flatten": self._flatten,
            "Reshape": self._reshape,
            "Transpose": self._transpose,
        }

    def run(self) -> tuple[Space, ...]:
        for node in self.network.graph:
            if node.op_type == "Constant" or (node not in self.weighted and self.network.is_constant(node.outputs[0])):
                continue
            rule = self._weighted if node in self.weighted else self.rules.get(node.op_type, self._unknown)
            rule(node)
            self._pin_captured(node)
        for value in self.network.outputs:
            self._pin(value, "a graph output")
        spaces = tuple(dict.fromkeys(self._real(space) for space in self.spaces))
        for space in spaces:
            if space.pinned is None and not all(_runs_along_only(value, space) for value, _ in space.vectors):
                space.pinned = "a vector along it is read elsewhere"
        return spaces

    # -- spaces -----------------------------------------------------------------------------------------------

    def _real(self, space: Space) -> Space:
        while id(space) in self.merged:
            space = self.merged[id(space)]
        return space

    def _channels(self, value: ir.Value | None) -> _Channels | None:
        found = self.at.get(value) if value is not None else None
        return None if found is None else replace(found, space=self._real(found.space))

    def _pin(self, value: ir.Value | None, why: str) -> None:
        channels = self._channels(value)
        if channels is not None and channels.space.pinned is None:
            channels.space.pinned = why

    def _put(self, value: ir.Value, channels: _Channels) -> None:
        self.at[value] = channels
        channels.space.values.append(value)

    def _unite(self, a: Space, b: Space) -> Space:
        if a is b:
            return a
        a.producers += b.producers
        a.consumers += b.consumers
        a.vectors += b.vectors
        a.values += b.values
        a.pinned = a.pinned or b.pinned
        a.zero_safe = a.zero_safe and b.zero_safe
        self.merged[id(b)] = a
        return a

    # -- rules ------------------------------------------------------------------------------------------------

    def _unknown(self, node: ir.Node) -> None:
        for value in node.inputs:
            self._pin(value, f"{node.op_type} mixes or shows its channels")

    def _pin_captured(self, node: ir.Node) -> None:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                for inner in attribute.as_graph().all_nodes():
                    for value in inner.inputs:
                        self._pin(value, f"read inside {node.op_type}")

    def _unary(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return
        if (node.op_type in _POOLS and not channels.is_second) or len(node.outputs) > 1:
            return self._unknown(node)
        if node.op_type in _ELEMENTWISE:
            channels.space.zero_safe = False
        return self._put(node.outputs[0], channels)

    def _binary(self, node: ir.Node) -> None:
        carriers = [self._channels(v) for v in node.inputs]
        known = [c for c in carriers if c is not None]
        if not known:
            return None
        if len(known) == len(carriers):
            return self._both(node, known)
        (channels,) = known[:1]
        other = next(v for v, c in zip(node.inputs, carriers, strict=True) if c is None)
        axes = None if len(carriers) != 2 or other is None else self._along(other, channels)
        if axes is None or other is None:
            return self._unknown(node)
        # x / c and x * c keep zeros; whatever adds or stands under the bar does not
        if not (node.op_type in ("Mul", "PRelu") or (node.op_type in ("Div", "Pow") and carriers[0] is not None)):
            channels.space.zero_safe = channels.space.zero_safe and self._is_bias(node, other, channels)
        count = None if channels.count is None else max(channels.count, axes)
        return self._put(node.outputs[0], replace(channels, count=count))

    def _both(self, node: ir.Node, known: list[_Channels]) -> None:
        first, *rest = known
        if any((c.axis, c.spread, c.space.size) != (first.axis, first.spread, first.space.size) for c in rest):
            return self._unknown(node)
        space = first.space
        for channels in rest:
            space = self._unite(space, self._real(channels.space))
        if node.op_type in ("Div", "Pow"):
            space.zero_safe = space.zero_safe and self._one_over_one_plus(node)
        counts = [c.count for c in known]
        count = None if None in counts else max(c for c in counts if c is not None)
        return self._put(node.outputs[0], _Channels(space, first.axis, count, first.spread))

    def _one_over_one_plus(self, node: ir.Node) -> bool:
        """x / (k + a x^2)^b, local normalisation: zero over something that is not zero."""
        below = node.inputs[1]
        while below is not None and (producer := below.producer()) is not None:
            if producer.op_type == "Add":
                constants = [constant_array(v, self.network.opset) for v in producer.inputs if v and self.network.is_constant(v)]
                return any(c is not None and bool((c > 0).all()) for c in constants)
            if producer.op_type not in ("Pow", "Sqrt"):
                return False
            below = producer.inputs[0]
        return False

    def _along(self, value: ir.Value, channels: _Channels) -> int | None:
        """The axes of a constant that is a scalar, or a vector along the channel axis (which then is cut with it)."""
        array = self.network.array(value)
        if array is None:
            return None
        if array.size != 1:
            axis = _vector_axis(array.shape, channels)
            if axis is None or held_tensor(behind_identity(value)) is None:
                return None
            channels.space.vectors.append((behind_identity(value), axis))
        return array.ndim

    def _is_bias(self, node: ir.Node, value: ir.Value, channels: _Channels) -> bool:
        """An addition of a vector that was registered: it is zero where a unit is deleted."""
        return node.op_type in ("Add", "Sub") and any(v is behind_identity(value) for v, _ in channels.space.vectors)

    def _batch_norm(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        vectors = [behind_identity(v) for v in node.inputs[1:] if v is not None]
        if channels is None:
            return None
        if not channels.is_second or channels.spread != 1 or any(held_tensor(v) is None for v in vectors):
            return self._unknown(node)
        channels.space.zero_safe = False
        channels.space.vectors += [(v, 0) for v in vectors]
        return self._put(node.outputs[0], channels)

    def _flatten(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        if node.attributes.get_int("axis", 1) != 1 or not channels.is_second:
            return self._unknown(node)
        return self._put(node.outputs[0], _Channels(channels.space, -1, 2, None))

    def _reshape(self, node: ir.Node) -> None:
        channels, shape = self._channels(node.inputs[0]), node.inputs[1]
        if channels is None:
            return None
        target = constant_array(shape, self.network.opset) if shape is not None and self.network.is_constant(shape) else None
        sizes = [] if node.inputs[0] is None or node.inputs[0].shape is None else [*node.inputs[0].shape]
        if not channels.is_second or target is None or not _to_rows(target.tolist(), sizes):
            return self._unknown(node)
        return self._put(node.outputs[0], _Channels(channels.space, -1, 2, None))

    def _transpose(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        perm = [*node.attributes.get_ints("perm", [])]
        if not perm:
            return self._unknown(node)
        axis = perm.index(channels.axis + len(perm)) - len(perm)
        return self._put(node.outputs[0], _Channels(channels.space, axis, len(perm), channels.spread))

    # -- weighted nodes ---------------------------------------------------------------------------------------

    def _weighted(self, node: ir.Node) -> None:
        layer = self.weighted[node]
        axes = unit_axes(layer)
        if axes is None or len(layer.uses) > 1 or layer.layout.parts > 1:
            return self._depthwise(node, layer) if _is_depthwise(layer) else self._unknown(node)
        data = layer.uses[0].data
        count = self._count(layer, data)
        self._consume(node, layer)
        for value in node.inputs:
            if value is not data:
                self._pin(value, f"{node.op_type} adds it")
        if layer.op == "MatMul" and layer.uses[0].index == 0 and count is None:
            return None  # of a vector there would be one axis less
        space = Space(_units_out(layer))
        per_unit = layer.layout.outputs // space.size
        space.producers.append(Side(layer.name, np.arange(layer.layout.outputs) // per_unit))
        self.spaces.append(space)
        self._add_bias(node, space)
        if node.attributes.get_string("activation", "Relu") not in ("Relu", "LeakyRelu", "Tanh"):
            space.zero_safe = False
        return self._put(node.outputs[0], _Channels(space, _axis_out(layer), count))

    def _count(self, layer: Layer, data: ir.Value) -> int | None:
        """The number of axes of what a layer takes and gives."""
        if layer.op != "MatMul":
            return len(layer.layout.shape)
        channels = self._channels(data)
        return len(data.shape) if data.shape is not None else channels.count if channels is not None else None

    def _consume(self, node: ir.Node, layer: Layer) -> None:
        data = layer.uses[0].data
        channels = self._channels(data)
        if channels is None:
            return
        rows, size = layer.layout.inputs, channels.space.size
        axis_fits = channels.axis == _axis_in(layer) and channels.count in (self._count(layer, data), None)
        kernel = prod(layer.layout.shape[2:]) if layer.op in ("Conv", "FusedConv") else 1
        spread = rows // (size * kernel) if channels.spread is None else channels.spread
        if not axis_fits or size * kernel * spread != rows:
            return self._pin(data, f"{node.op_type} reads another axis")
        channels.space.consumers.append(Side(layer.name, np.arange(rows) // (kernel * spread)))

    def _add_bias(self, node: ir.Node, space: Space) -> None:
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if bias is None:
            return
        root = behind_identity(bias)
        held = held_tensor(root)
        if held is None or tuple(held.shape) not in ((space.size,), (1, space.size)):
            space.pinned = "its bias is not a vector of its own"
        elif len(root.uses()) > 1:
            space.pinned = "its bias is shared"
        else:
            space.vectors.append((root, len(held.shape) - 1))

    def _depthwise(self, node: ir.Node, layer: Layer) -> None:
        """A filter per channel: its units are those of its input."""
        channels = self._channels(node.inputs[0])
        if channels is not None:
            self._pin(node.inputs[0], "depthwise filters run along")
        return None


def _vector_axis(shape: tuple[int, ...], channels: _Channels) -> int | None:
    """The axis of a constant that runs along the channels and nothing else."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1 or channels.spread != 1 or shape[long[0]] != channels.space.size:
        return None
    return long[0] if long[0] - len(shape) == channels.axis else None


def _runs_along_only(value: ir.Value, space: Space) -> bool:
    """Whether every reader of a vector was seen to use it along the space, always by the same axis."""
    axes = [axis for vector, axis in space.vectors if vector is value]
    return len(set(axes)) == 1 and len(list(readers_behind_identity(value))) == len(axes) and not value.is_graph_output()


def _to_rows(target: list[int], sizes: list[int | ir.SymbolicDim]) -> bool:
    """Whether a Reshape keeps the first axis and joins all others; `sizes` of its input as far as they are known."""
    if len(target) != 2 or not sizes:
        return target in ([0, -1],)
    rest = prod(size for size in sizes[1:] if isinstance(size, int))
    joins = all(isinstance(size, int) for size in sizes[1:]) and target[1] in (-1, rest)
    return (target[0] == 0 and (target[1] == -1 or joins)) or (joins and (target[0] == sizes[0] or target == [-1, rest]))


def unit_axes(layer: Layer) -> tuple[int, int] | None:
    """The axes of the weight tensor that hold input units and output units; None where units are not separable."""
    if layer.op in ("Conv", "FusedConv"):
        return (1, 0)
    if layer.op == "ConvTranspose":
        return (0, 1)
    if layer.op in ("Gemm", "MatMul") and len(layer.layout.shape) == 2:
        return (1, 0) if layer.layout.transposed else (0, 1)
    return None


def _is_depthwise(layer: Layer) -> bool:
    return layer.op == "Conv" and layer.layout.parts > 1


def _units_out(layer: Layer) -> int:
    axes = unit_axes(layer)
    assert axes is not None
    return layer.layout.shape[axes[1]]


def _axis_in(layer: Layer) -> int:
    """The axis of the data that a layer sums over, from the end."""
    if layer.op == "MatMul":
        return -2 if layer.uses[0].index == 0 else -1
    if layer.op == "Gemm":
        return -2 if layer.uses[0].node.attributes.get_int("transA", 0) else -1
    return 1 - len(layer.layout.shape)


def _axis_out(layer: Layer) -> int:
    """The axis of the output that holds a layer's units, from the end."""
    if layer.op == "MatMul":
        return -2 if layer.uses[0].index == 0 else -1
    return -1 if layer.op == "Gemm" else 1 - len(layer.layout.shape)


# -- dead units -------------------------------------------------------------------------------------------------


def dead_units(network: Network, space: Space) -> NDArray[np.bool_]:
    """Which units of a space can go without changing an output: nothing arrives, or nothing is read. [size]"""
    if space.pinned is not None or not space.producers:
        return np.zeros(space.size, bool)
    silent = np.full(space.size, space.zero_safe)
    for side in space.producers:
        silent &= _units_without_weight(network, side, axis=1, size=space.size)
    for value, axis in space.vectors:
        silent &= _zero_along(network, value, axis)
    unread = np.full(space.size, bool(space.consumers))
    for side in space.consumers:
        unread &= _units_without_weight(network, side, axis=2, size=space.size)
    return silent | unread


def _units_without_weight(network: Network, side: Side, axis: int, size: int) -> NDArray[np.bool_]:
    used = (network.matrices(side.layer) != 0).any(axis=(0, axis))
    return np.bincount(side.unit_of, weights=used, minlength=size) == 0


def _zero_along(network: Network, value: ir.Value, axis: int) -> NDArray[np.bool_]:
    array = constant_array(value, network.opset)
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
    for space in find_spaces(network):
        dead = dead_units(network, space)
        if dead.all():
            dead[0] = False
        if dead.any():
            name = space.producers[0].layer
            shrink(network, space, np.flatnonzero(~dead))
            yield name, space.size, int((~dead).sum())
            return  # layers and sides have moved: look again


def shrink(network: Network, space: Space, keep: Units) -> None:
    """Keep only the units `keep` of a space, in that order, in every weight and vector that has them."""
    sides = [(side, 1) for side in space.producers] + [(side, 0) for side in space.consumers]
    for side, which in sides:
        layer = network.layer(side.layer)
        axes = unit_axes(layer)
        assert axes is not None
        _take(network, layer, axes[which], space.size, keep)
    for value, axis in dict.fromkeys(space.vectors):
        array = constant_array(value, network.opset)
        assert array is not None
        replace_held(value, np.take(array, keep, axis))
    for value in space.values:
        value.shape = None  # what was inferred is no longer true
    network.changed()


def _take(network: Network, layer: Layer, axis: int, size: int, keep: Units) -> None:
    tensor = constant_array(layer.value, network.opset)
    assert tensor is not None
    spread = tensor.shape[axis] // size
    positions = (keep[:, None] * spread + np.arange(spread)).ravel()
    network.set_tensor(layer, np.take(tensor, positions, axis))
