"""Channels: which axes of which values hold the units that one layer produces and another consumes.

A *space* is a set of channels that several values of the graph share: what one layer's columns produce and
the rows of the next consume, with everything between them that treats channels alike (activations, pooling,
biases, depthwise filters, residual additions and gates, which tie several producers; concatenations and splits,
whose parts stay spaces of their own; the heads of an attention, in which a place of the heads is one unit). The
ranks between two factors U and V are a space as well, so one mechanism removes neurons, channels and ranks. A space
is *pinned* where an op between is not known to keep channels apart, or where a channel can be seen from outside.

The walk also keeps, for every value, when its channel is zero: *alternatives*, each a set of sources
(producing layers, vectors) that must all be zero there. A sum needs both sides to be, a product one of them,
and a sigmoid never is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.constants import behind_identity, graphs_in, held_tensor, nodes_of
from gscompile.einsum import Product, parse_product
from gscompile.network import Layer, Network, Use, readers_behind_identity
from gscompile.shapes import Sizes, known_shapes
from gscompile.unit_sets import Units, UnitSets

Source = str | ir.Value  # a producing layer, by name, or a vector
Zero = tuple[frozenset[Source], ...]  # alternatives; none: not known to be zero ever
MOST = 4  # alternatives that are kept


@dataclass(frozen=True, eq=False)
class Side:
    """Rows or columns of a layer's matrices that belong to a space; `unit_of` numbers the unit of each.

    It is -1 where a row belongs to another space: what was concatenated is read together. `zero` says of a consumer
    when what it reads of a channel is zero.
    """

    layer: str
    unit_of: Units
    zero: Zero = ()


@dataclass(frozen=True, eq=False)
class Along:
    """A constant, or any other value, whose `axis` holds units; `unit_of` numbers them, -1 being another space's."""

    value: ir.Value
    axis: int
    unit_of: Units


@dataclass(frozen=True, eq=False)
class Sized:
    """A constant that spells out how many channels there are: entry `place` of an input, `each` for a unit.

    Where a Concat puts it together with computed sizes, `reader` is the node that this is for; others may read it too.
    """

    node: ir.Node
    index: int
    place: int
    each: int
    unit_of: Units
    reader: ir.Node | None = None


@dataclass(frozen=True, eq=False)
class Parted:
    """A `Split` along the units: those of each of its outputs, one after another."""

    node: ir.Node
    unit_of: tuple[Units, ...]


@dataclass(frozen=True, eq=False)
class Meeting:
    """A product of two computed values that sums over units; `zero` says when what is summed is zero."""

    unit_of: Units
    zero: Zero


Record = Side | Along | Sized | Meeting


@dataclass(eq=False)
class Space:
    """`size` channels: who produces and consumes them, what is cut with them, and what pins them.

    `vectors` are constants with a channel axis, `filters` depthwise layers, `sized` and `parted` what tells `size`;
    `meetings` read the channels as consumers do, but by no weights.
    """

    size: int
    producers: list[Side] = field(default_factory=list)
    consumers: list[Side] = field(default_factory=list)
    meetings: list[Meeting] = field(default_factory=list)
    vectors: list[Along] = field(default_factory=list)
    filters: list[Side] = field(default_factory=list)
    sized: list[Sized] = field(default_factory=list)
    parted: list[Parted] = field(default_factory=list)
    values: list[Along] = field(default_factory=list)  # tensors that have these channels
    pinned: str | None = None

    @property
    def readers(self) -> tuple[Side | Meeting, ...]:
        return (*self.consumers, *self.meetings)

    @property
    def zero_safe(self) -> bool:
        """Whether what is read is zero once all producers and vectors are zero."""
        return all(reader.zero for reader in self.readers)

    @property
    def is_shared(self) -> bool:
        """Whether something holds units of other spaces as well."""
        sides: tuple[Record, ...] = (*self.producers, *self.readers, *self.vectors, *self.filters, *self.sized)
        return any(bool((record.unit_of < 0).any()) for record in (*sides, *self.values))


@dataclass(frozen=True, eq=False)
class _Channels:
    """Which axis of a value holds units, which ones, and how many neighbours on it make up one unit.

    `axis` counts from the end (-1 is the last), as broadcasting does; `count` is the number of axes where it
    is known.
    """

    units: Units  # as `UnitSets` numbers them
    axis: int
    count: int | None
    zero: Zero
    spread: int | None = 1  # None: flattened, known only where it is consumed

    @property
    def size(self) -> int:
        return len(self.units)

    @property
    def place(self) -> int | None:
        """The axis counted from the front."""
        return None if self.count is None else self.axis + self.count

    @property
    def is_second(self) -> bool:
        """Whether the units are on axis 1, where ONNX's pooling and normalisation expect channels."""
        return self.place == 1

    def moved(self, place: int, count: int) -> _Channels:
        """The same units on another axis, `place` from the front."""
        return replace(self, axis=place - count, count=count)


def find_spaces(network: Network) -> tuple[Space, ...]:
    """The spaces of the main graph, pinned ones included, in the order of their first producer."""
    return _Walk(network).run()


# f(0) = 0, and channels are treated alike.
_ZERO_SAFE = set(
    "Relu LeakyRelu "  # noqa: SIM905
    "Elu Selu Celu Tanh Abs Neg Sign Sin Sinh Asinh Atan Tan Erf Sqrt Ceil Floor Round Identity Cast "
    "Dropout MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool Softsign ThresholdedRelu Gelu HardSwish Mish "
    "Swish QuickGelu FastGelu".split()
)
_ELEMENTWISE = set("Sigmoid HardSigmoid Softplus Exp Log Reciprocal Cos Cosh Acos Asin Not".split())  # noqa: SIM905
_PRODUCTS = {"Mul", "PRelu"}
_BINARY = {"Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min", "BiasGelu"}
_POOLS = {"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"}
_REDUCTIONS = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare"}
_CONVS = {"Conv", "FusedConv"}
_LINEAR = {"Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
_FROM_ZERO = {"", "Relu", "LeakyRelu", "Tanh"}  # activations fused into a node
_NEAR = {"constant", "reflect", "edge", "wrap"}


class _Walk:
    """One pass over the graph, front to back; `self.at` knows the channels of every value seen so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = known_shapes(network.model)
        self.at: dict[ir.Value, _Channels] = {}
        self.sets = UnitSets()
        self.made: dict[str, Units] = {}  # by the layer that makes them: nodes that share a weight make the same
        self.read: dict[str, tuple[Units, Zero] | None] = {}  # by the layer that reads them; None where not known
        self.vectors: list[Along] = []
        self.filters: list[Side] = []
        self.sized: list[Sized] = []
        self.parted: list[Parted] = []
        self.meetings: list[Meeting] = []
        self.values: list[Along] = []
        self.weighted: dict[ir.Node, list[Layer]] = {}
        for layer in network.layers:
            for use in layer.uses:
                self.weighted.setdefault(use.node, []).append(layer)
        self.rules: dict[str, Callable[[ir.Node], None]] = {
            **dict.fromkeys((*_ZERO_SAFE, *_ELEMENTWISE), self._unary),
            **dict.fromkeys(_BINARY, self._binary),
            **dict.fromkeys(_REDUCTIONS, self._reduce),
            "BatchNormalization": self._batch_norm,
            "Clip": self._clip,
            "Concat": self._concat,
            "Flatten": self._flatten,
            "Gather": self._gather,
            "InstanceNormalization": self._instance_norm,
            "MatMul": self._product,
            "Pad": self._pad,
            "Reshape": self._reshape,
            "Resize": self._resize,
            "Shape": self._shape,
            "Slice": self._slice,
            "Split": self._split,
            "Squeeze": self._squeeze,
            "Transpose": self._transpose,
            "Unsqueeze": self._unsqueeze,
            "Upsample": self._resize,
        }

    def run(self) -> tuple[Space, ...]:
        for node in self.network.graph:
            if node not in self.weighted and (
                node.op_type == "Constant" or self._is_constant(node.outputs[0])
            ):
                continue
            rule = self._weighted if node in self.weighted else self.rules.get(node.op_type, self._unknown)
            rule(node)
            self._pin_captured(node)
        for value in self.network.outputs:
            self._pin(value, "a graph output")
        return self._spaces()

    # -- spaces -----------------------------------------------------------------------------------------------

    def _spaces(self) -> tuple[Space, ...]:
        """What was found, space by space; a vector that is read elsewhere too pins its own."""
        for value, units in self._by_vector().items():
            if not _runs_along_only(value, self.vectors):
                self.sets.pin(units, "a vector along it is read elsewhere")
        settled = self.sets.settled()
        found = [Space(size, pinned=why) for size, why in zip(settled.sizes, settled.pinned, strict=True)]
        for kind, records in self._records().items():
            for record in records:
                for number, units in settled.views(record.unit_of):
                    getattr(found[number], kind).append(replace(record, unit_of=units))
        for split in self.parted:
            edges = np.cumsum([len(units) for units in split.unit_of])[:-1]
            for number, units in settled.views(np.concatenate(split.unit_of)):
                found[number].parted.append(Parted(split.node, tuple(np.split(units, edges))))
        return tuple(space for space in found if space.producers)

    def _records(self) -> dict[str, list[Record]]:
        """All that holds units, by the field of a space that it belongs to."""
        outputs = {name: self.network.layer(name).layout.outputs for name in self.made}
        return {
            "producers": [Side(name, u.repeat(outputs[name] // len(u))) for name, u in self.made.items()],
            "consumers": [Side(name, *seen) for name, seen in self.read.items() if seen is not None],
            "vectors": [*self.vectors],
            "filters": [*self.filters],
            "meetings": [*self.meetings],
            "sized": [*self.sized],
            "values": [*self.values],
        }

    def _by_vector(self) -> dict[ir.Value, Units]:
        """The units along every vector; where it is used twice, both uses have the same."""
        found: dict[ir.Value, Units] = {}
        for vector in self.vectors:
            self.sets.unite(found.setdefault(vector.value, vector.unit_of), vector.unit_of)
        return found

    def _channels(self, value: ir.Value | None) -> _Channels | None:
        return self.at.get(value) if value is not None else None

    def _sizes(self, value: ir.Value | None) -> Sizes | None:
        return self.shapes.get(value.name) if value is not None and value.name is not None else None

    def _pin(self, value: ir.Value | None, why: str) -> None:
        channels = self._channels(value)
        if channels is not None:
            self.sets.pin(channels.units, why)

    def _put(self, value: ir.Value, channels: _Channels) -> None:
        sizes = self._sizes(value)
        if channels.count is None and sizes is not None:
            channels = replace(channels, count=len(sizes))
        self.at[value] = channels
        self.values.append(Along(value, channels.axis, channels.units))

    def _put_all(self, node: ir.Node, channels: list[_Channels]) -> None:
        for value, known in zip(node.outputs, channels, strict=True):
            self._put(value, known)

    # -- constants --------------------------------------------------------------------------------------------

    def _is_constant(self, value: ir.Value | None) -> bool:
        return self.network.is_constant(value)

    def _array(self, value: ir.Value | None) -> NDArray[np.generic] | None:
        return None if value is None else self.network.array(value)

    def _numbers(self, node: ir.Node, index: int, attribute: str) -> list[int] | None:
        """Whole numbers given as an attribute or, by newer opsets, as a constant input; None for anything else."""
        if attribute in node.attributes:
            return [int(n) for n in node.attributes.get_ints(attribute, [])]
        value = node.inputs[index] if index < len(node.inputs) else None
        array = self._array(value)
        return None if array is None or array.ndim > 1 else [int(n) for n in np.atleast_1d(array)]

    # -- rules: every channel for itself ----------------------------------------------------------------------

    def _unknown(self, node: ir.Node) -> None:
        for value in node.inputs:
            self._pin(value, f"{node.op_type} mixes or shows its channels")

    def _pin_captured(self, node: ir.Node) -> None:
        for graph in graphs_in(node):
            inner = [v for n in nodes_of(graph) for g in graphs_in(n) for v in g.outputs]
            for value in (*graph.outputs, *inner, *(v for n in nodes_of(graph) for v in n.inputs)):
                self._pin(value, f"read inside {node.op_type}")

    def _unary(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        if (node.op_type in _POOLS and not channels.is_second) or len(node.outputs) > 1:
            return self._unknown(node)
        zero = () if node.op_type in _ELEMENTWISE else channels.zero
        return self._put(node.outputs[0], replace(channels, zero=zero))

    def _clip(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        low, high = (self._bound(node, index, name) for index, name in ((1, "min"), (2, "max")))
        if low is None or high is None:
            return self._unknown(node)
        inside = low <= 0 <= high
        return self._put(node.outputs[0], replace(channels, zero=channels.zero if inside else ()))

    def _bound(self, node: ir.Node, index: int, name: str) -> float | None:
        """An end of a Clip, 0 where there is none; None where it is not constant."""
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is None:
            return node.attributes.get_float(name, 0.0)
        array = self._array(value)
        return None if array is None or array.size != 1 else float(array.reshape(-1)[0])

    def _batch_norm(self, node: ir.Node) -> None:
        """scale (x - mean) / deviation + shift: zero where scale and shift are."""
        channels = self._channels(node.inputs[0])
        vectors = [behind_identity(v) for v in node.inputs[1:] if v is not None]
        if channels is None:
            return None
        held = all(held_tensor(v) is not None for v in vectors)
        if not channels.is_second or channels.spread != 1 or not held:
            return self._unknown(node)
        self.vectors += [Along(v, 0, channels.units) for v in vectors]
        return self._put(node.outputs[0], replace(channels, zero=(frozenset(vectors[:2]),)))

    def _instance_norm(self, node: ir.Node) -> None:
        """scale (x - mean) / deviation + shift over the positions of a channel: of zeros, shift is left."""
        channels = self._channels(node.inputs[0])
        scale, shift = (behind_identity(v) if v is not None else None for v in node.inputs[1:3])
        if channels is None:
            return None
        held = scale is not None and shift is not None and None not in (held_tensor(scale), held_tensor(shift))
        if not (held and channels.is_second and channels.spread == 1):
            return self._unknown(node)
        assert scale is not None
        assert shift is not None
        self.vectors += [Along(v, 0, channels.units) for v in (scale, shift)]
        silent = _both_zero((*channels.zero, frozenset([scale])), (frozenset([shift]),))
        return self._put(node.outputs[0], replace(channels, zero=silent))

    # -- rules: two values ------------------------------------------------------------------------------------

    def _product(self, node: ir.Node) -> None:
        """Two computed values: units that both sum over meet, and others stay on their side."""
        first, second = (self._channels(v) for v in node.inputs)
        if first is not None and second is not None and (first.axis, second.axis) == (-1, -2):
            return self._meet(node, first, second)
        kept = [c for c, axis in ((first, -2), (second, -1)) if c is not None and c.axis == axis and c.spread == 1]
        counts = [len(sizes) for v in node.inputs if (sizes := self._sizes(v)) is not None]
        if len(kept) != 1 or None not in (first, second) or len(counts) < 2 or min(counts) < 2:
            return self._unknown(node)
        return self._put(node.outputs[0], replace(kept[0], count=max(counts)))

    def _meet(self, node: ir.Node, first: _Channels, second: _Channels) -> None:
        if {first.spread, second.spread} != {1} or first.size != second.size:
            return self._unknown(node)
        self.sets.unite(first.units, second.units)
        self.meetings.append(Meeting(first.units, _either(first.zero, second.zero)))
        return None

    def _binary(self, node: ir.Node) -> None:
        carriers = [self._channels(v) for v in node.inputs]
        known = [c for c in carriers if c is not None]
        if not known:
            return None
        if len(carriers) == 2 and {c.size == 1 for c in known} == {True, False}:
            carriers = [self._unless_single(v, c) for v, c in zip(node.inputs, carriers, strict=True)]
            known = [c for c in carriers if c is not None]
        if len(known) == len(carriers):
            return self._both(node, known)
        (channels,) = known[:1]
        other = next(v for v, c in zip(node.inputs, carriers, strict=True) if c is None)
        if len(carriers) != 2 or other is None:
            return self._unknown(node)
        if not self._is_constant(other):
            return self._with_other(node, channels, other)
        source = self._along(other, channels)
        if source is None:
            return self._unknown(node)
        zero, axes = self._zero_with(node, channels, other, source), self._array(other)
        assert axes is not None
        count = None if channels.count is None else max(channels.count, axes.ndim)
        return self._put(node.outputs[0], replace(channels, zero=zero, count=count))

    def _unless_single(self, value: ir.Value | None, channels: _Channels | None) -> _Channels | None:
        """One channel that is broadcast to all others stays as it is."""
        if channels is not None and channels.size == 1:
            self._pin(value, "it meets all channels of another")
            return None
        return channels

    def _both(self, node: ir.Node, known: list[_Channels]) -> None:
        first, *rest = known
        if not all(_alike(first, c) for c in rest):
            return self._unknown(node)
        zero = first.zero
        for channels in rest:
            self.sets.unite(first.units, channels.units)
            zero = (
                _either(zero, channels.zero) if node.op_type in _PRODUCTS else _both_zero(zero, channels.zero)
            )
        if node.op_type in ("Div", "Pow"):
            zero = first.zero if self._one_over_one_plus(node) else ()
        counts = [c.count for c in known]
        count = None if None in counts else max(c for c in counts if c is not None)
        return self._put(node.outputs[0], replace(first, zero=zero, count=count))

    def _with_other(self, node: ir.Node, channels: _Channels, other: ir.Value) -> None:
        """A computed value without these channels may stand beside them where it is the same for all of them."""
        size = _size_at(self._sizes(other), channels)
        if size != 1 or channels.spread != 1:
            return self._unknown(node)
        zero = channels.zero if node.op_type in _PRODUCTS else ()
        return self._put(node.outputs[0], replace(channels, zero=zero))

    def _zero_with(self, node: ir.Node, channels: _Channels, other: ir.Value, source: Source | float) -> Zero:
        """When the result of a channel and a constant is zero: x * c and x / c keep zeros, x + b needs b as well."""
        in_front = node.inputs[1] is other
        if node.op_type in _PRODUCTS or (node.op_type in ("Div", "Pow") and in_front):
            return channels.zero
        if node.op_type in ("Div", "Pow"):
            return ()
        if isinstance(source, float):
            return channels.zero if source == 0 else ()
        return _both_zero(channels.zero, (frozenset([source]),)) if node.op_type in ("Add", "Sub") else ()

    def _one_over_one_plus(self, node: ir.Node) -> bool:
        """x / (k + a x^2)^b, local normalisation: zero over something that is not zero."""
        below = node.inputs[1]
        while below is not None and (producer := below.producer()) is not None:
            if producer.op_type == "Add":
                constants = [self._array(v) for v in producer.inputs if self._is_constant(v)]
                return any(c is not None and bool(np.all(c > 0)) for c in constants)  # type: ignore[operator]
            if producer.op_type not in ("Pow", "Sqrt"):
                return False
            below = producer.inputs[0]
        return False

    def _along(self, value: ir.Value, channels: _Channels) -> Source | float | None:
        """A constant beside channels: a number, or a vector along their axis, which then is cut with them."""
        array = self._array(value)
        if array is None:
            return None
        if array.size == 1:
            return float(array.reshape(-1)[0]) if array.dtype.kind in "fiu" else 1.0
        axis, root = _vector_axis(array.shape, channels), behind_identity(value)
        if axis is None or held_tensor(root) is None:
            return None
        self.vectors.append(Along(root, axis, channels.units))
        return root

    # -- rules: axes ------------------------------------------------------------------------------------------

    def _pad(self, node: ir.Node) -> None:
        channels, pads = self._channels(node.inputs[0]), self._numbers(node, 1, "pads")
        if channels is None:
            return None
        axes = self._pad_axes(node, channels, pads or [])
        mode = node.attributes.get_string("mode", "constant")
        if pads is None or axes is None or mode not in _NEAR:
            return self._unknown(node)
        half = len(pads) // 2
        if any(axis == channels.axis and (pads[n] or pads[half + n]) for n, axis in enumerate(axes)):
            return self._unknown(node)
        zero = channels.zero if mode != "constant" or self._pads_with_zero(node) else ()
        return self._put(node.outputs[0], replace(channels, zero=zero))

    def _pad_axes(self, node: ir.Node, channels: _Channels, pads: list[int]) -> list[int] | None:
        """The axes that are padded, from the end; None when that is not known."""
        half = len(pads) // 2
        if len(node.inputs) < 4 or node.inputs[3] is None:
            return list(range(-half, 0))
        axes = self._numbers(node, 3, "")
        if axes is None or (channels.count is None and any(axis >= 0 for axis in axes)):
            return None
        return [axis if axis < 0 else axis - (channels.count or 0) for axis in axes]

    def _pads_with_zero(self, node: ir.Node) -> bool:
        value = node.inputs[2] if len(node.inputs) > 2 else None
        if value is None:
            return node.attributes.get_float("value", 0.0) == 0
        array = self._array(value)
        return array is not None and not np.any(array)

    def _resize(self, node: ir.Node) -> None:
        """Positions only: a scale of 1 for the channels, or their number spelled out in the sizes."""
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        axis = channels.place
        mode = node.attributes.get_string("coordinate_transformation_mode", "")
        if axis is None or channels.spread != 1 or mode == "tf_crop_and_resize" or "axes" in node.attributes:
            return self._unknown(node)
        if not self._keeps_size(node, axis, channels):
            return self._unknown(node)
        return self._put(node.outputs[0], channels)

    def _keeps_size(self, node: ir.Node, axis: int, channels: _Channels) -> bool:
        if "scales" in node.attributes:
            return [*node.attributes.get_floats("scales", [])][axis] == 1
        inputs = [*node.inputs, None, None, None]
        scales = inputs[1] if node.op_type == "Upsample" or len(node.inputs) == 2 else inputs[2]
        array = self._array(scales)
        if array is not None and array.size > axis:
            return bool(array.reshape(-1)[axis] == 1)
        sizes = self._array(inputs[3]) if len(node.inputs) > 3 else None
        if sizes is None or sizes.size <= axis or int(sizes[axis]) != channels.size:
            return False
        self.sized.append(Sized(node, 3, axis, 1, channels.units))
        return True

    def _shape(self, node: ir.Node) -> None:
        """The sizes of other axes may be read: of those that are told, every reader picks one of those."""
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        axis, count = channels.place, channels.count
        if axis is None or count is None:
            return self._unknown(node)
        end = node.attributes.get_int("end", count)
        told = list(range(count))[node.attributes.get_int("start", 0) : end]
        if axis in told and not self._reads_others(node.outputs[0], told, axis):
            return self._unknown(node)
        return None

    def _reads_others(self, sizes: ir.Value, told: list[int], axis: int) -> bool:
        """Whether all readers of the sizes `told` pick such as are not that of `axis`."""
        picked = [self._picked(use.node, told) for use in sizes.uses()]
        return not sizes.is_graph_output() and all(axes is not None and axis not in axes for axes in picked)

    def _picked(self, node: ir.Node, told: list[int]) -> list[int] | None:
        """The axes whose sizes a node picks out of those `told`; None where that is not known."""
        if node.op_type == "Gather":
            places = self._numbers(node, 1, "")
            return None if places is None else [told[n] for n in places if -len(told) <= n < len(told)]
        if node.op_type != "Slice":
            return None
        ends = [self._numbers(node, n, name) for n, name in ((1, "starts"), (2, "ends"), (4, ""))]
        start, end, step = (None if numbers is None or len(numbers) != 1 else numbers[0] for numbers in ends)
        spelled = len(node.inputs) > 4 and node.inputs[4] is not None
        return None if start is None or end is None or (spelled and step is None) else told[start:end:step]

    def _reduce(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        gone = self._front_axes(node, channels)
        if not gone or channels.place in gone or channels.spread != 1:
            return self._unknown(node)
        kept = bool(node.attributes.get_int("keepdims", 1))
        return self._put(node.outputs[0], channels if kept else _without(channels, gone))

    def _slice(self, node: ir.Node) -> None:
        """Of other axes, whatever is left of them."""
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        named = len(node.inputs) > 3 or "axes" in node.attributes
        starts = [] if named else self._numbers(node, 1, "starts") or []
        cut = self._front_axes(node, channels, 3) if named else set(range(len(starts)))
        if not cut or channels.place is None or channels.place in cut:
            return self._unknown(node)
        return self._put(node.outputs[0], channels)

    def _gather(self, node: ir.Node) -> None:
        """Of other axes, whichever entries."""
        channels, indices = (self._channels(v) for v in node.inputs)
        if channels is None and indices is None:
            return None
        sizes = self._sizes(node.inputs[1])
        array = self._array(node.inputs[1])
        rank = array.ndim if array is not None else None if sizes is None else len(sizes)
        if channels is None or channels.place is None or indices is not None or rank is None:
            return self._unknown(node)
        count = channels.count or 0
        axis = node.attributes.get_int("axis", 0) % count
        if axis == channels.place or channels.spread != 1:
            return self._unknown(node)
        place = channels.place + (rank - 1 if axis < channels.place else 0)
        return self._put(node.outputs[0], channels.moved(place, count - 1 + rank))

    def _concat(self, node: ir.Node) -> None:
        """Units one after another; or other axes, where all have the same units."""
        parts = [self._channels(v) for v in node.inputs]
        first = next((c for c in parts if c is not None), None)
        if first is None:
            return None
        place = node.attributes.get_int("axis", 0)
        if first.count is not None and place % first.count == first.place:
            parts = [c or self._foreign(v, first) for v, c in zip(node.inputs, parts, strict=True)]
        known = [c for c in parts if c is not None and (c.axis, c.count, c.spread) == (first.axis, first.count, 1)]
        if first.count is None or len(known) < len(parts):
            return self._unknown(node)
        return self._beside(node, known) if place % first.count == first.place else self._both(node, known)

    def _foreign(self, value: ir.Value | None, beside: _Channels) -> _Channels | None:
        """Entries beside channels that no layer makes: they stay, whatever they hold."""
        sizes = self._sizes(value)
        size = sizes[beside.axis] if sizes is not None and len(sizes) == beside.count else None
        if size is None:
            return None
        units = self.sets.new(size)
        self.sets.pin(units, "no layer makes them")
        return replace(beside, units=units, zero=(frozenset(),), spread=1)

    def _beside(self, node: ir.Node, parts: list[_Channels]) -> None:
        zero = parts[0].zero
        for channels in parts[1:]:
            zero = _both_zero(zero, channels.zero)
        units = np.concatenate([c.units for c in parts])
        return self._put(node.outputs[0], replace(parts[0], units=units, zero=zero))

    def _split(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        axis, sizes = node.attributes.get_int("axis", 0), self._split_sizes(node, channels)
        if channels.count is None or channels.spread != 1:
            return self._unknown(node)
        if axis % channels.count != channels.place:
            return self._put_all(node, [channels] * len(node.outputs))
        if sizes is None or sum(sizes) != channels.size or len(sizes) != len(node.outputs):
            return self._unknown(node)
        parts = tuple(np.split(channels.units, np.cumsum(sizes)[:-1]))
        self.parted.append(Parted(node, parts))
        return self._put_all(node, [replace(channels, units=units) for units in parts])

    def _split_sizes(self, node: ir.Node, channels: _Channels) -> list[int] | None:
        """As they are given, or in equal parts, of which the last may be smaller."""
        if "split" in node.attributes or len(node.inputs) > 1:
            return self._numbers(node, 1, "split")
        count = len(node.outputs)
        each = -(-channels.size // count)
        return [each] * (count - 1) + [channels.size - each * (count - 1)]

    def _squeeze(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        gone = self._front_axes(node, channels)
        if not gone or channels.place in gone:
            return self._unknown(node)
        return self._put(node.outputs[0], _without(channels, gone))

    def _front_axes(self, node: ir.Node, channels: _Channels, index: int = 1) -> set[int]:
        """The axes that a node names, from the front; empty when they are not known."""
        axes, count = self._numbers(node, index, "axes"), channels.count
        return set() if axes is None or count is None else {axis % count for axis in axes}

    def _unsqueeze(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        new = self._numbers(node, 1, "axes")
        if new is None or channels.place is None or channels.count is None:
            return self._unknown(node)
        count = channels.count + len(new)
        free = [a for a in range(count) if a not in {n % count for n in new}]
        return self._put(node.outputs[0], channels.moved(free[channels.place], count))

    def _transpose(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        perm = [*node.attributes.get_ints("perm", [])]
        if not perm:
            return self._unknown(node)
        place = perm.index(channels.axis + len(perm))
        return self._put(node.outputs[0], channels.moved(place, len(perm)))

    def _flatten(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        if node.attributes.get_int("axis", 1) != 1 or channels.spread != 1:
            return self._unknown(node)
        flat = self._again_and_again(node, channels)
        if channels.is_second:
            flat = replace(channels, axis=-1, count=2, spread=None)
        return self._unknown(node) if flat is None else self._put(node.outputs[0], flat)

    def _again_and_again(self, node: ir.Node, channels: _Channels) -> _Channels | None:
        """[n, *positions, channels] to [n, positions * channels]."""
        inner = (self._sizes(node.inputs[0]) or (None, None))[1:-1]
        if channels.axis != -1 or None in inner:
            return None
        return replace(channels, units=np.tile(channels.units, prod(n or 0 for n in inner)), count=2)

    def _reshape(self, node: ir.Node) -> None:
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        target, new = self._numbers(node, 1, "shape"), None
        literal = node.attributes.get_int("allowzero", 0) and 0 in (target or ())
        if target is not None and channels.spread == 1 and not literal:
            new = self._to_rows(node, channels, target) or self._kept(node, channels, target)
        if new is None and channels.spread == 1 and not literal:
            new = self._regrouped(node, channels)
        return self._unknown(node) if new is None else self._put(node.outputs[0], new)

    def _regrouped(self, node: ir.Node, channels: _Channels) -> _Channels | None:
        """Units split into groups of n, of which the same place is one unit in all; or groups joined again.

        Entries are in row-major order: where as many lie behind an axis of n as lay behind the channels, entry c of
        these is entry c mod n of that axis, or entry c of every group there, whatever became of the axes in front.
        """
        sizes, spelled = self._sizes(node.inputs[0]), self._spelled(node)
        behind = 1 if channels.axis == -1 else _product_of((sizes or (None,) * -channels.axis)[channels.axis + 1 :])
        place = next((n for n in range(len(spelled)) if behind and _product_of(spelled[n + 1 :]) == behind), None)
        size = None if place is None else spelled[place]
        if place is None or not size or size == 1 or channels.size == 1:
            return None
        if size % channels.size and channels.size % size:
            return None
        units, times = channels.units, max(1, size // channels.size)
        for group in np.split(units, max(1, channels.size // size))[1:]:
            self.sets.unite(units[:size], group)
        if not self._note_size(node, place, times, units[:size]):
            return None
        return replace(channels, units=np.tile(units[:size], times)).moved(place, len(spelled))

    def _spelled(self, node: ir.Node) -> Sizes:
        """The sizes a Reshape gives its axes; None where one is not known."""
        written = [size for size, *_ in self._entries(node)]
        made = self._sizes(node.outputs[0]) or (None,) * len(written)
        if written and len(written) != len(made):
            return ()
        return tuple(size if size and size > 0 else known for size, known in zip(written or made, made, strict=True))

    def _entries(self, node: ir.Node) -> list[tuple[int | None, ir.Node, int, int]]:
        """What a Reshape's target is made of: entries, None where computed, and the node, input and place of each."""
        numbers = self._numbers(node, 1, "shape")
        if numbers is not None:
            return [(number, node, 1, place) for place, number in enumerate(numbers)]
        source = node.inputs[1] if len(node.inputs) > 1 else None
        joint = None if source is None else source.producer()
        if joint is None or joint.op_type != "Concat":
            return []
        found: list[tuple[int | None, ir.Node, int, int]] = []
        for index, value in enumerate(joint.inputs):
            numbers, sizes = self._numbers(joint, index, ""), self._sizes(value)
            if numbers is None and (sizes is None or len(sizes) != 1 or sizes[0] is None):
                return []
            each: list[int | None] = [None] * (sizes[0] or 0) if numbers is None and sizes else [*(numbers or ())]
            found += [(number, joint, index, place) for place, number in enumerate(each)]
        return found

    def _note_size(self, node: ir.Node, place: int, each: int, units: Units) -> bool:
        """Remember where the size of an axis is spelled out; False where it is computed."""
        entries = self._entries(node)
        if not entries:
            return False
        number, holder, index, within = entries[place]
        if number == -1:
            return True
        if not number:
            return False
        self.sized.append(Sized(holder, index, within, each, units, None if holder is node else node))
        return True

    def _to_rows(self, node: ir.Node, channels: _Channels, target: list[int]) -> _Channels | None:
        """[n, channels, positions] to [n, channels * positions], with -1 in either place."""
        if len(target) != 2 or not channels.is_second:
            return None
        flat = replace(channels, axis=-1, count=2, spread=None)
        sizes = self._sizes(node.inputs[0]) or ()
        if target == [0, -1] or (sizes and target == [sizes[0], -1]):
            return flat
        inner = [size for size in sizes[1:] if isinstance(size, int)]
        known = bool(sizes) and len(inner) == len(sizes) - 1 and prod(inner) == target[1]
        if not known or target[0] not in (-1, 0, sizes[0]):
            return None
        self.sized.append(Sized(node, 1, 1, target[1] // channels.size, channels.units))
        return flat

    def _kept(self, node: ir.Node, channels: _Channels, target: list[int]) -> _Channels | None:
        """The channel axis and all in front of it, or all behind it, stay as they are."""
        size, count, place = channels.size, len(target), channels.place
        if channels.axis == -1 and target[-1] == size:
            self.sized.append(Sized(node, 1, count - 1, 1, channels.units))
            return channels.moved(count - 1, count)
        if place is None or place >= count or any(target[:place]) or target[place] not in (0, size):
            return None
        if target[place] == size:
            self.sized.append(Sized(node, 1, place, 1, channels.units))
        return channels.moved(place, count)

    # -- weighted nodes ---------------------------------------------------------------------------------------

    def _weighted(self, node: ir.Node) -> None:
        layers = self.weighted[node]
        data = {use.data for layer in layers for use in layer.uses if use.node is node}
        for value in node.inputs:
            if value not in data:
                self._pin(value, f"{node.op_type} adds it")
        if len(layers) > 1:  # of the weights of a recurrent node, W reads its input
            layers = [layer for layer in layers if weight_axis(layer, "inputs") is not None]
        if len(layers) != 1 or not self._is_followed(layers[0]):
            return self._unknown(node)
        (layer,) = layers
        if layer.op in _CONVS and layer.layout.parts > 1:
            return self._depthwise(node, layer) if len(layer.uses) == 1 else self._unknown(node)
        self._consume(node, layer)
        return self._produce(node, layer)

    def _is_followed(self, layer: Layer) -> bool:
        """Whether the walk sees all nodes that multiply by a weight, and they are alike."""
        here = all(use.node.graph is self.network.graph for use in layer.uses)
        alike = {
            (use.node.op_type, use.index, _axis_in(use, layer), _axis_out(use, layer)) for use in layer.uses
        }
        return here and len(alike) == 1

    def _produce(self, node: ir.Node, layer: Layer) -> None:
        use = next(use for use in layer.uses if use.node is node)
        axis, place = weight_axis(layer, "outputs"), _axis_out(use, layer)
        count = self._count(use, layer)
        if axis is None or place is None or (place < -1 and (count or 1) < -place):
            return  # of a vector, multiplied from the left, there would be one axis less
        units = self._units_made(layer, axis)
        zero = self._add_bias(node, units, (frozenset([layer.name]),), "Gemm" in layer.op and use.index == 0)
        self._put(node.outputs[0], _Channels(units, place, count, zero if _keeps_zero(node) else ()))

    def _units_made(self, layer: Layer, axis: int) -> Units:
        if layer.name not in self.made:
            self.made[layer.name] = self.sets.new(layer.layout.shape[axis])
        return self.made[layer.name]

    def _consume(self, node: ir.Node, layer: Layer) -> None:
        use = next(use for use in layer.uses if use.node is node)
        channels = self._channels(use.data)
        units = None if channels is None else self._units_read(use, layer, channels)
        seen = None if units is None or channels is None else (units, channels.zero)
        known = self.read.setdefault(layer.name, seen)
        if seen is None or known is None:
            self._pin(use.data, f"{node.op_type} reads another axis")
            if known is not None:
                self.sets.pin(known[0], f"{node.op_type} reads something else by the same weight")
        elif known is not seen:  # another node reads by the same weight: both spaces are one
            self.sets.unite(known[0], seen[0])
            self.read[layer.name] = known[0], _both_zero(known[1], seen[1])

    def _units_read(self, use: Use, layer: Layer, channels: _Channels) -> Units | None:
        """The unit of every row of a layer's matrix, in what it is fed with; None where that is another axis."""
        axis, rows, size = weight_axis(layer, "inputs"), layer.layout.inputs, channels.size
        counts = (self._count(use, layer), None)
        if axis is None or channels.axis != _axis_in(use, layer) or channels.count not in counts:
            return None
        kernel = rows // layer.layout.shape[axis]
        spread = rows // (size * kernel) if channels.spread is None else channels.spread
        return channels.units.repeat(kernel * spread) if size * kernel * spread == rows else None

    def _count(self, use: Use, layer: Layer) -> int | None:
        """The number of axes of what a layer takes and, stacked matrices aside, gives."""
        if "Conv" in layer.op or "Gemm" in layer.op:
            return len(layer.layout.shape)
        sizes, channels = self._sizes(use.data), self._channels(use.data)
        return len(sizes) if sizes is not None else channels.count if channels is not None else None

    def _add_bias(self, node: ir.Node, units: Units, zero: Zero, by_row: bool = False) -> Zero:
        bias = (
            node.inputs[2]
            if len(node.inputs) > 2 and node.op_type not in ("Einsum", "MatMul", "FusedMatMul")
            else None
        )
        if bias is None:
            return zero
        root = behind_identity(bias)
        held = held_tensor(root)
        along: dict[tuple[int, ...], int] = {(len(units),): 0, (1, len(units)): 1}
        along = {(len(units), 1): 0} if by_row else along
        if held is None or tuple(held.shape) not in along:
            self.sets.pin(units, "its bias is not a vector of its own")
        else:
            self.vectors.append(Along(root, along[tuple(held.shape.numpy())], units))
            return _both_zero(zero, (frozenset([root]),))
        return zero

    def _depthwise(self, node: ir.Node, layer: Layer) -> None:
        """A filter for each channel is cut with it; other groups mix channels."""
        channels = self._channels(node.inputs[0])
        if channels is None:
            return None
        if not (channels.is_second and channels.spread == 1 and layer.layout.shape[:2] == (channels.size, 1)):
            return self._unknown(node)
        zero = self._add_bias(node, channels.units, channels.zero)
        self.filters.append(Side(layer.name, channels.units))
        return self._put(node.outputs[0], replace(channels, zero=zero if _keeps_zero(node) else ()))


# -- when zero --------------------------------------------------------------------------------------------------


def _both_zero(a: Zero, b: Zero) -> Zero:
    return tuple(dict.fromkeys(x | y for x in a for y in b))[:MOST]


def _either(a: Zero, b: Zero) -> Zero:
    return tuple(dict.fromkeys((*a, *b)))[:MOST]


# -- axes -------------------------------------------------------------------------------------------------------


def _alike(a: _Channels, b: _Channels) -> bool:
    """Whether two values line up, channel by channel, when they are added or multiplied."""
    return (a.axis, a.spread, a.size) == (b.axis, b.spread, b.size)


def _product_of(sizes: Sizes) -> int | None:
    return None if None in sizes else prod(size or 0 for size in sizes)


def _without(channels: _Channels, gone: set[int]) -> _Channels:
    """The channels after other axes went."""
    place, count = channels.place, channels.count
    assert place is not None
    assert count is not None
    return channels.moved(place - sum(axis < place for axis in gone), count - len(gone))


def _vector_axis(shape: tuple[int, ...], channels: _Channels) -> int | None:
    """The axis of a constant that runs along the channels and nothing else."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1 or channels.spread != 1 or shape[long[0]] != channels.size:
        return None
    return long[0] if long[0] - len(shape) == channels.axis else None


def _size_at(sizes: Sizes | None, channels: _Channels) -> int | None:
    """The size of another value where it lines up with the channels; 1 where it does not reach so far."""
    if sizes is None or channels.count is None or len(sizes) > channels.count:
        return None
    return sizes[channels.axis] if -channels.axis <= len(sizes) else 1


def _runs_along_only(value: ir.Value, vectors: list[Along]) -> bool:
    """Whether every reader of a vector was seen to use it along units, always by the same axis."""
    axes = [vector.axis for vector in vectors if vector.value is value]
    seen = len(list(readers_behind_identity(value))) == len(axes) and not value.is_graph_output()
    return seen and len(set(axes)) == 1


# -- layers -----------------------------------------------------------------------------------------------------


def weight_axis(layer: Layer, side: str) -> int | None:
    """The axis of the weight that holds its input units (`inputs`) or output units; None where none does."""
    place = 0 if side == "inputs" else 1
    shape, turned = layer.layout.shape, layer.layout.transposed
    if layer.op in _CONVS and layer.layout.parts == 1:
        return (1, 0)[place]
    if layer.op == "ConvTranspose" and layer.layout.parts == 1:
        return (0, 1)[place]
    if layer.op in _LINEAR:
        return len(shape) - 2 + (place != turned)
    if layer.op == "Einsum":
        return _einsum_axis(layer, side)
    if layer.op == "Attention" and side == "inputs":
        return 0
    is_input = layer.op in ("LSTM", "GRU", "RNN") and layer.uses[0].index == 1 and side == "inputs"
    return 2 if is_input else None


def _product(use: Use) -> Product | None:
    return parse_product(use.node.attributes.get_string("equation", ""), use.index)


def _einsum_axis(layer: Layer, side: str) -> int | None:
    product = _product(layer.uses[0])
    labels = "" if product is None else product.contracted if side == "inputs" else product.free
    return product.weight.index(labels) if product is not None and len(labels) == 1 else None


def _axis_out(use: Use, layer: Layer) -> int | None:
    """The axis of a node's output that holds its units, from the end."""
    if layer.op == "Einsum":
        product = _product(use)
        return None if product is None else _place(product.output, product.free)
    if layer.op in _LINEAR:
        return -2 if use.index == 0 else -1
    return 1 - len(layer.layout.shape)


def _axis_in(use: Use, layer: Layer) -> int | None:
    """The axis of a node's data that it sums over, from the end."""
    if layer.op == "Einsum":
        product = _product(use)
        return None if product is None else _place(product.data, product.contracted)
    if "Conv" in layer.op:
        return 1 - len(layer.layout.shape)
    if any(use.node.attributes.get_int(name, 0) for name in ("transBatchA", "transBatchB")):
        return None
    turned = use.node.attributes.get_int("transA" if use.index == 1 else "transB", 0)
    return -1 if (use.index == 1) != bool(turned) else -2


def _place(term: str, label: str) -> int | None:
    """Where a label stands among the axes, from the end; dots behind it hide that."""
    return (
        term.index(label) - len(term) if len(label) == 1 and "..." not in term.partition(label)[2] else None
    )


def _keeps_zero(node: ir.Node) -> bool:
    """Whether what is fused into a node keeps zeros: its activation does, and no fourth input is added before."""
    adds = node.op_type == "FusedConv" and len(node.inputs) > 3 and node.inputs[3] is not None
    return node.attributes.get_string("activation", "") in _FROM_ZERO and not adds
