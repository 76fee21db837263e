"""The network that is compiled: an ONNX graph, its weighted layers as matrices, and the edits that compress it.

Edits of the graph live here, in `fold.py` (rewrites that keep the outputs) and in `units.py` (whole units that
disappear); everything else speaks matrices and layer names. The graph is held by onnx-ir, which keeps names,
doc strings, metadata and quantisation annotations, and leaves weights where they are until they are read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.errors import ModelError
from gscompile.graph.weight_ops import Matrices, MatrixLayout, as_matrices, factoring_op, weight_op
from gscompile.onnx_files.constants import (
    behind_identity,
    constant_array,
    constant_values,
    held_tensor,
    is_float,
    nodes_of,
    placed_nodes,
)
from gscompile.onnx_files.op_names import kind
from gscompile.onnx_files.roundtrip import SPARSE

if TYPE_CHECKING:
    from gscompile.graph.weight_store import WeightStore

_HOLD_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_GEMM_WITHOUT_C = 11  # the opset from which Gemm's third input may be left out
_MAX_NAME_CHARACTERS = 4000  # characters: the files of a netlist have names as well
_RECURRENT_OPS = {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}


@dataclass(frozen=True)
class Use:
    """A node that multiplies by a weight, and the index of that weight among its inputs."""

    node: ir.Node
    index: int

    @property
    def data(self) -> ir.Value:
        """The value that is multiplied by the weight."""
        op = weight_op(self.node)
        value = self.node.inputs[op.data_input(self.node, self.index)] if op else None
        assert value is not None
        return value


@dataclass(frozen=True)
class Layer:
    """Read-only view of one weight and the nodes that multiply by it.

    `origin` is the layer of the original network that this one came from; a factored layer leaves two of the
    same origin. `name` is unique in the network and stable under every edit but factoring.
    """

    name: str
    op: str
    layout: MatrixLayout
    origin: str
    value: ir.Value
    uses: tuple[Use, ...]
    _array: NDArray[np.generic] = field(repr=False)

    @cached_property
    def matrices(self) -> Matrices:
        """The weight as [parts, inputs, outputs], read-only."""
        view = as_matrices(self.layout, self._array)
        view.flags.writeable = False
        return view

    @property
    def matrix(self) -> NDArray[Any]:
        """The only matrix [inputs, outputs] of a layer that has one part."""
        only: NDArray[Any]
        (only,) = self.matrices
        return only

    @property
    def itemsize(self) -> int:
        """Bytes of one weight as it is computed with; the type that factors are stored in."""
        return self._array.dtype.itemsize

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """The type of the weight as the graph computes with it."""
        return self._array.dtype

    @property
    def part_names(self) -> tuple[str, ...]:
        """A name per matrix: the layer's own, or with the number of the part."""
        parts = self.layout.parts
        return (self.name,) if parts == 1 else tuple(f"{self.name}.{part}" for part in range(parts))


class Network:
    """An ONNX model whose weights are read and written as matrices, by layer name.

    Copies share weight arrays, which are never written in place; an edit replaces an array.
    """

    def __init__(self, model: ir.Model, origins: Mapping[str, str] | None = None) -> None:
        self.model = model
        self._origins = dict(origins or {})
        self._layers: dict[str, Layer] | None = None
        self._constants: set[ir.Value] | None = None
        self._names: set[str] | None = None
        self._derived: dict[ir.Value, NDArray[np.generic]] = {}
        self.files: dict[Path, tuple[int, int]] = {}  # those it was read from: bytes and time of change, in ns
        self.shelf: WeightStore | None = None  # where large new weights go; in memory when there is none

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read an ONNX file; external data stays on disk, memory-mapped. Raises ModelError in one line."""
        from gscompile.onnx_files.loading import DATA_FILES_KEY, load_model, state_of

        before = state_of(Path(path))
        network = cls._read(load_model(Path(path)))
        network.files = {file: state_of(file) for file in network.model.meta[DATA_FILES_KEY]} | {Path(path): before}
        return network

    @property
    def corrected(self) -> tuple[str, ...]:
        """Lines of text that name the shapes and the loops that were corrected when the network was read."""
        from gscompile.onnx_files.loading import CORRECTED

        return tuple(self.model.meta.get(CORRECTED, ()))

    def check_files(self) -> None:
        """Raise ModelError where a file has changed since the network was read from it."""
        from gscompile.onnx_files.loading import state_of

        for file, state in self.files.items():
            if state_of(file) != state:
                raise ModelError(f"{file}: changed while it was read; start again when it is complete")

    @classmethod
    def from_proto(cls, proto: onnx.ModelProto) -> Network:
        """Take a model in memory. Raises ModelError in one line."""
        from gscompile.onnx_files.loading import model_in_memory

        return cls._read(model_in_memory(proto))

    @classmethod
    def _read(cls, model: ir.Model) -> Network:
        """The network of a model that was read, weights that its loops carry unchanged read as constants."""
        from gscompile.graph.loop_constants import read_loop_constants
        from gscompile.onnx_files.loading import CORRECTED

        network = cls(model)
        model.meta[CORRECTED] = (*model.meta.get(CORRECTED, ()), *read_loop_constants(network))
        return network

    def copy(self) -> Network:
        """A network of its own that shares the weight arrays."""
        twin = Network(self.model.clone(), self._origins)
        twin.shelf, twin.files = self.shelf, self.files
        if self._derived:
            pairs = zip(nodes_of(self.graph), nodes_of(twin.graph), strict=True)
            values = {old: new for a, b in pairs for old, new in zip(a.outputs, b.outputs, strict=True)}
            twin._derived = {values[value]: array for value, array in self._derived.items() if value in values}
        return twin

    def in_memory(self) -> Network:
        """The network without a file that it depends on: itself, or a copy where weights are mapped from one."""
        from gscompile.onnx_files.loading import embed, tensors_of

        if not any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors_of(self.model)):
            return self
        twin = self.copy()
        embed(twin.model, copied=True)
        return twin

    @property
    def graph(self) -> ir.Graph:
        return self.model.graph

    @property
    def opset(self) -> int:
        """Version of ONNX's own operator set."""
        imports = self.model.opset_imports
        return imports.get("", imports.get("ai.onnx", 1))

    @property
    def inputs(self) -> tuple[ir.Value, ...]:
        """What must be fed: graph inputs that have no initializer."""
        return tuple(v for v in self.graph.inputs if not v.is_initializer())

    @property
    def outputs(self) -> tuple[ir.Value, ...]:
        return tuple(self.graph.outputs)

    # -- layers -----------------------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Weighted layers in graph order."""
        return tuple(self._by_name.values())

    def layer(self, name: str) -> Layer:
        """The layer of that name. Raises KeyError."""
        return self._by_name[name]

    def matrices(self, name: str) -> Matrices:
        """The weight of a layer as [parts, inputs, outputs], read-only."""
        return self._by_name[name].matrices

    @property
    def _by_name(self) -> dict[str, Layer]:
        if self._layers is None:
            self._layers = _find_layers(self)
        return self._layers

    @property
    def constants(self) -> Set[ir.Value]:
        """Values that do not depend on what is fed."""
        if self._constants is None:
            self._constants = {*constant_values(self.graph)}
        return self._constants

    def is_constant(self, value: ir.Value | None) -> bool:
        """Whether a value does not depend on what is fed; an absent input does not."""
        return value is None or value in self.constants

    def array(self, value: ir.Value) -> NDArray[np.generic] | None:
        """What a constant holds; one that is cast, transposed or dequantised is computed once. None for another."""
        if held_tensor(value) is not None:
            return constant_array(value, self.opset)
        if value not in self._derived and self.is_constant(value):
            array = constant_array(value, self.opset)
            if array is not None:
                self._derived[value] = array
        return self._derived.get(value)

    def changed(self) -> None:
        """Forget the layers: an edit moved nodes or weights. No edit makes a value depend on what is fed, or not."""
        self._layers = None

    def adopt_origins(self, other: Network) -> None:
        """Take over what `other`, the same network before it was written, knows of where its layers came from."""
        self._origins = dict(other._origins)
        self.changed()

    # -- edits ------------------------------------------------------------------------------------------------

    def set_matrices(self, name: str, matrices: Matrices) -> None:
        """Replace the weight of a layer; shape [parts, inputs, outputs] and stored type stay."""
        layer = self.layer(name)
        tensor = layer.layout.tensor(np.asarray(matrices)).astype(layer._array.dtype)
        self.set_tensor(layer, tensor)

    def holds_alone(self, layer: Layer) -> bool:
        """Whether the weight sits in a tensor that only the layer's own nodes read."""
        return _held_for(layer)

    def set_tensor(self, layer: Layer, tensor: NDArray[np.generic]) -> None:
        """Replace the weight of a layer by a tensor of the layout's shape."""
        value = layer.value
        if _held_for(layer):
            replace_held(value, tensor)
            self._read_again(layer)
        else:  # derived, or read by others too: these uses get a weight of their own
            fresh = self.new_weight(f"{value.name}_tuned", tensor, value.dtype)
            self._point_uses_at(layer, fresh)
            self.changed()

    def _read_again(self, layer: Layer) -> None:
        """Give one layer the array that its tensor holds now; no other layer reads that tensor."""
        if self._layers is not None:
            array = self.array(layer.value)
            assert array is not None
            self._layers[layer.name] = replace(self._layers[layer.name], _array=array)

    def own_initializer(self, layer: Layer) -> str:
        """Return the name of an initializer of the main graph that the nodes of a layer alone read; make one if needed.

        The weight stays. The network's layers are found anew only after `changed`.
        """
        value = layer.value
        is_own = value.is_initializer() and value.graph is self.graph and _held_for(layer)
        if not is_own or value.const_value is None or SPARSE in value.const_value.metadata_props:
            value = self.new_weight(f"{value.name}_own", layer._array, layer.value.dtype)
            self._point_uses_at(layer, value)
        assert value.name is not None
        return value.name

    def factor(self, name: str, u: Matrices, v: Matrices) -> tuple[str, str]:
        """Replace a layer by two: u [parts, inputs, rank] first, then v [parts, rank, outputs].

        Returns the names of the two layers. The second keeps the node, its outputs and its bias. A convolution may also
        be taken apart along the axes of its kernel, of which v then keeps so many taps: u [parts, inputs / taps, rank]
        and v [parts, rank * taps, outputs].
        """
        return self.factor_all([(name, u, v)])[name]

    def factor_all(self, factors: Iterable[tuple[str, Matrices, Matrices]]) -> dict[str, tuple[str, str]]:
        """The same for many layers, by name, which are looked for once; factors are asked for one by one."""
        values = [(self.layer(name), *self._factored(self.layer(name), u, v)) for name, u, v in factors]
        self.changed()
        by_value = {_root(new.value): new.name for new in self.layers}
        names = {layer.name: (by_value[u], by_value[v]) for layer, u, v in values}
        for layer, _, _ in values:
            self._origins |= dict.fromkeys(names[layer.name], layer.origin)
        self.changed()
        return names

    def _factored(self, layer: Layer, u: Matrices, v: Matrices) -> tuple[ir.Value, ir.Value]:
        """The weights that take the place of a layer's."""
        u_value, v_value = self._thin_weights(layer, u, v)
        for use in layer.uses:
            self._split(use, u_value, v_value, layer.name, _taps(u, v))
        self.discard(layer.value)
        return u_value, v_value

    def _thin_weights(self, layer: Layer, u: Matrices, v: Matrices) -> tuple[ir.Value, ir.Value]:
        u_layout, v_layout = _thin_layouts(layer.uses[0], layer.layout, u.shape[-1], _taps(u, v))
        dtype = layer._array.dtype
        first = self.new_weight(
            f"{layer.value.name}_u", u_layout.tensor(np.asarray(u)).astype(dtype), layer.value.dtype
        )
        second = self.new_weight(
            f"{layer.value.name}_v", v_layout.tensor(np.asarray(v)).astype(dtype), layer.value.dtype
        )
        return first, second

    def _split(self, use: Use, u: ir.Value, v: ir.Value, name: str, taps: int) -> None:
        assert use.node.graph is not None
        first = factoring_op(use.node, taps).split(use.node, use.index, u, v)
        if first.op_type == "Gemm" and self.opset < _GEMM_WITHOUT_C:
            first.op_type = "MatMul"
        first.name = self.unique_name(f"{use.node.name or use.node.outputs[0].name or name}_u")
        first.outputs[0].name = self.unique_name(f"{first.name}_output")
        first.outputs[0].type = u.type
        use.node.graph.insert_before(use.node, first)

    def _point_uses_at(self, layer: Layer, value: ir.Value) -> None:
        for use in layer.uses:
            use.node.replace_input_with(use.index, value)
        self.discard(layer.value)

    def new_weight(
        self, name: str, tensor: NDArray[np.generic], dtype: ir.DataType | None = None, named: bool = False
    ) -> ir.Value:
        """A new initializer of the main graph, which every subgraph sees; `named` if the name is known to be free."""
        name = name if named else self.unique_name(name)
        held: ir.TensorProtocol = ir.Tensor(np.asarray(tensor, order="C"), dtype=dtype, name=name)
        held = self.shelf.keep(held) if self.shelf else held
        shape, kind = ir.Shape(held.shape.numpy()), ir.TensorType(held.dtype)
        value = ir.Value(name=name, shape=shape, type=kind, const_value=held)
        self.graph.register_initializer(value)
        if self._constants is not None:
            self._constants.add(value)
        if self.model.ir_version < 4:  # before IR 4 every initializer is a graph input as well
            self.graph.inputs.append(value)
        return value

    def set_aside(self, array: NDArray[Any]) -> NDArray[Any]:
        """The same array, mapped from the shelf where the network has one."""
        return self.shelf.put(ir.Tensor(array, name="")).numpy() if self.shelf else array

    def discard(self, value: ir.Value) -> None:
        """Remove a constant, and what computed it, once nothing reads it but nodes that nothing reads.

        A constant that was removed before, as one that a node read twice, is left alone.
        """
        self._remove_unread(value)
        if value.uses() or value.is_graph_output():
            return
        producer = value.producer()
        if producer is not None and not any(v.uses() or v.is_graph_output() for v in producer.outputs):
            if producer.graph is None:
                return
            inputs = list(producer.inputs)
            producer.graph.remove(producer, safe=True)
            for source in inputs:
                if source is not None and (source.is_initializer() or source.producer() is not None):
                    self.discard(source)
        elif value.is_initializer() and value.graph is not None:
            _remove_initializer(value)

    def _remove_unread(self, value: ir.Value) -> None:
        """Remove the readers of a value whose outputs nothing reads, as an Identity that tied a weight to it.

        Layers stay, and so do nodes with a subgraph, which may hold layers.
        """
        for node in dict.fromkeys(use.node for use in value.uses()):
            if weight_op(node) is not None or any(a.type in _HOLD_GRAPHS for a in node.attributes.values()):
                continue
            for output in node.outputs:
                self._remove_unread(output)
            if node.graph is not None and not any(v.uses() or v.is_graph_output() for v in node.outputs):
                others = [source for source in node.inputs if source is not None and source is not value]
                node.graph.remove(node, safe=True)
                for source in others:
                    if self.is_constant(source):
                        self.discard(source)

    def bytes_freed(self, *layers: Layer) -> int:
        """Return how many bytes of stored tensors nothing reads once the nodes of these layers read no weights."""
        gone = {use.node for layer in layers for use in layer.uses}
        return sum(_bytes_freed(value, gone) for value in dict.fromkeys(layer.value for layer in layers))

    def unique_name(self, wanted: str) -> str:
        """`wanted`, or with a number behind it when a node or value has that name."""
        if self._names is None:
            self._names = self._taken_names()
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name

    def _taken_names(self) -> set[str]:
        taken = {v.name or "" for g in self.model.graphs() for v in (*g.inputs, *g.initializers.values())}
        for node in nodes_of(self.graph):
            taken.add(node.name or "")
            taken.update(v.name or "" for v in node.outputs)
        return taken

    # -- out --------------------------------------------------------------------------------------------------

    def to_proto(self) -> onnx.ModelProto:
        """The model as it will be written."""
        from gscompile.onnx_files.loading import proto_of

        return proto_of(self.model)

    def save(self, path: str | Path) -> None:
        """Write the model; weights beyond what one file may hold go to `<name>.data` beside it."""
        from gscompile.onnx_files.loading import save_model

        save_model(self.model, Path(path))


def _root(value: ir.Value) -> ir.Value:
    return behind_identity(value)


def replace_held(value: ir.Value, tensor: NDArray[np.generic]) -> None:
    """Put another array of the same type in an initializer or a `Constant` node."""
    old = held_tensor(value)
    assert old is not None
    new = ir.Tensor(np.asarray(tensor, order="C"), dtype=old.dtype, name=old.name, doc_string=old.doc_string)
    if value.is_initializer():
        value.const_value = new
        value.shape = new.shape
    else:
        producer = value.producer()
        assert producer is not None
        producer.attributes.clear()  # it may have spelled out its numbers
        producer.attributes["value"] = ir.AttrTensor("value", new)
        value.type, value.shape = ir.TensorType(new.dtype), new.shape


def _held_for(layer: Layer) -> bool:
    if held_tensor(layer.value) is None or any(value.is_graph_output() for value in _with_identities(layer.value)):
        return False
    own = {(use.node, use.index) for use in layer.uses}
    return all((node, index) in own for node, index in readers_behind_identity(layer.value))


def _with_identities(value: ir.Value) -> Iterator[ir.Value]:
    """Yield a value, and the outputs of the `Identity` nodes that pass it on."""
    yield value
    for use in value.uses():
        if kind(use.node) == "Identity":
            yield from _with_identities(use.node.outputs[0])


def readers_behind_identity(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """Nodes that read a value, and as which of their inputs, `Identity` nodes looked through."""
    for use in value.uses():
        if kind(use.node) == "Identity":
            yield from readers_behind_identity(use.node.outputs[0])
        else:
            yield use.node, use.idx


def _bytes_freed(value: ir.Value, gone: Set[ir.Node]) -> int:
    """Return the bytes of a value, or of what it is computed from, that only nodes in `gone` read."""
    if _is_read(value, gone):
        return 0
    held = held_tensor(value)
    if held is not None:
        return int(held.nbytes)
    producer = value.producer()
    if producer is None:
        return 0
    return sum(_bytes_freed(v, {*gone, producer}) for v in dict.fromkeys(producer.inputs) if v is not None)


def _is_read(value: ir.Value, gone: Set[ir.Node]) -> bool:
    """Return True if a node outside `gone` needs a value; an Identity needs it when a reader of its output does."""
    if value.is_graph_output():
        return True
    for node in {use.node for use in value.uses()} - gone:
        through = kind(node) == "Identity"
        if any(_is_read(v, gone) if through else v.uses() or v.is_graph_output() for v in node.outputs):
            return True
    return False


def _remove_initializer(value: ir.Value) -> None:
    graph = value.graph
    assert graph is not None
    assert value.name is not None
    if value in graph.inputs:
        graph.inputs.remove(value)
    graph.initializers.pop(value.name, None)


def _find_layers(network: Network) -> dict[str, Layer]:
    """Every weight of a weighted op, with all the nodes that share it, in graph order."""
    found: dict[tuple[ir.Value, MatrixLayout, object], list[Use]] = {}
    paths = {node: path for path, node in placed_nodes(network.graph)}
    for node in paths:
        for index, layout, root in _weights_of(node, network):
            use = Use(node, index)
            thin = _thin_layouts(use, layout, 1) if layout.factorable else None  # what is shared is factored alike
            found.setdefault((root, layout, thin), []).append(use)
    layers: dict[str, Layer] = {}
    for (root, layout, _), uses in found.items():
        name = _layer_name(paths[uses[0].node], uses[0], root, layers)
        layer = _make_layer(network, name, root, layout, uses)
        layers[layer.name] = layer
    return layers


def _weights_of(node: ir.Node, network: Network) -> Iterable[tuple[int, MatrixLayout, ir.Value]]:
    op = weight_op(node)
    if op is None:
        return
    roots = {i: behind_identity(v) for i, v in enumerate(node.inputs) if v is not None}
    shapes = {i: shape for i, v in roots.items() if (shape := _constant_shape(v, network)) is not None}
    for index, layout in op.layouts(node, shapes).items():
        whole = layout.rows * layout.cols * layout.parts == prod(layout.shape) > 0  # a broken file may say anything
        if whole and op.data_input(node, index) in roots:
            yield index, _checked(layout, roots[index]), roots[index]


def _checked(layout: MatrixLayout, value: ir.Value) -> MatrixLayout:
    held = held_tensor(value)
    if held is not None and not is_float(held.dtype) and layout.compressible:
        return replace(layout, compressible=False, factorable=False)
    return layout


def _constant_shape(value: ir.Value, network: Network) -> tuple[int, ...] | None:
    held = held_tensor(value)
    if held is not None:
        return tuple(held.shape.numpy())
    array = network.array(value)
    return None if array is None else array.shape


def _thin_layouts(use: Use, layout: MatrixLayout, rank: int, taps: int = 1) -> tuple[MatrixLayout, MatrixLayout]:
    return factoring_op(use.node, taps).factor_shapes(use.node, use.index, layout, rank)


def _taps(u: Matrices, v: Matrices) -> int:
    """How many taps of a kernel v keeps."""
    return int(v.shape[1] // u.shape[2])


def _make_layer(network: Network, name: str, root: ir.Value, layout: MatrixLayout, uses: list[Use]) -> Layer:
    array = network.array(root)
    if array is None:
        raise ModelError(f"weight {root.name!r} of {name!r}: no constant data was found")
    origin = network._origins.get(name, name)
    return Layer(
        name=name, op=uses[0].node.op_type, layout=layout, origin=origin, value=root, uses=tuple(uses), _array=array
    )


def _layer_name(path: str, use: Use, root: ir.Value, taken: Container[str]) -> str:
    """The node's name, behind the path of the subgraph it is in; of one beyond all measure the beginning."""
    label = use.node.name or use.node.outputs[0].name or root.name or use.node.op_type
    base = f"{path}{label}"[:_MAX_NAME_CHARACTERS].replace("\0", r"\x00")  # no name of a zip file's member holds a NUL
    name = wanted = f"{base}.{'?WR'[use.index]}" if use.node.op_type in _RECURRENT_OPS else base
    number = 1
    while name in taken:
        number += 1
        name = f"{wanted}#{number}"
    return name
