"""Linear maps whose weights can be solved for: what they read, what they are to give, and what follows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from gscompile.compensation.moments import Array
from gscompile.compression.linear_maps import LinearMap, linear_maps
from gscompile.graph.network import Layer, Network
from gscompile.onnx_files.constants import held_tensor


@dataclass(frozen=True, eq=False)
class Bias:
    """A constant vector that is added to a layer's outputs; `apart` where another node than the layer's adds it."""

    value: ir.Value
    apart: bool

    @property
    def array(self) -> Array:
        held = held_tensor(self.value)
        assert held is not None
        return held.numpy().astype(np.float64).ravel()


@dataclass(frozen=True, eq=False)
class Site:
    """A linear map to refit: `fitted` are the layers that change, one or two factors.

    `source` tells how input vectors lie in the data that `first` reads, `prior` [parts, inputs, outputs] is the
    original's weight, `target` the original's output, and `shortcuts` what is added to the output, in both networks.
    """

    linear: LinearMap
    fitted: tuple[Layer, ...]
    source: Layer
    prior: Array
    target: ir.Value
    bias: Bias | None
    shortcuts: tuple[ir.Value, ir.Value] | None

    @property
    def first(self) -> ir.Node:
        return self.fitted[0].uses[0].node

    @property
    def last(self) -> Layer:
        return self.fitted[-1]

    @property
    def taps(self) -> int:
        return self.linear.taps if len(self.fitted) == 2 else 1

    @property
    def current(self) -> Array:
        """The weight as it is, of the shape of the prior."""
        w = self.linear.product if len(self.fitted) == 2 else self.last.matrices
        return w.reshape(self.prior.shape).astype(np.float64)


_SOLVED_OPS = {"Conv", "Gemm", "MatMul", "Einsum"}
_OPS_WITH_BIAS = {"Conv", "Gemm"}


def find_sites(original: Network, network: Network) -> Iterator[Site]:
    known = {linear.origin: linear for linear in linear_maps(original)}
    values = {value.name: value for node in original.graph for value in node.outputs}
    values |= {value.name: value for value in original.graph.inputs}
    for linear in linear_maps(network):
        reference, last = known.get(linear.origin), linear.v or linear.u
        target = values.get(last.uses[0].node.outputs[0].name)
        if reference is None or target is None or not (_is_fitted(last, network) and _is_fitted(linear.u, network)):
            continue
        if reference.v is not None and reference.shape != linear.shape:
            continue  # another pair of factors of the original has this origin, or units were cut from it
        if reference.v is None:
            fitted: tuple[Layer, ...] = (linear.u,) if linear.v is None else (linear.u, linear.v)
            source, prior = reference.u, reference.u.matrices
            if prior.size != np.prod(linear.shape) or reference.shape[0] != linear.shape[0]:
                continue  # units were cut from it: what is left of the original is not known
        else:  # it came as two factors: the second is fitted
            fitted, source, prior = (last,), last, last.matrices
        shortcuts = _shortcuts(network, last.uses[0].node.outputs[0], values)
        yield Site(
            linear=linear,
            fitted=fitted,
            source=source,
            prior=np.asarray(prior, np.float64),
            target=target,
            bias=_bias(last),
            shortcuts=shortcuts,
        )


def _is_fitted(layer: Layer, network: Network) -> bool:
    """Whether a layer's outputs are its product and a bias, and nothing else reads its weight."""
    node = layer.uses[0].node
    plain = all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return (
        layer.op in _SOLVED_OPS
        and len(layer.uses) == 1
        and node.graph is network.graph
        and layer.layout.factorable
        and bool(node.outputs[0].uses() or node.outputs[0].is_graph_output())
        and plain
        and not (layer.op in _OPS_WITH_BIAS and _third(node) is not None and not _is_vector(_third(node), layer))
    )


def _third(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _is_vector(value: ir.Value | None, layer: Layer) -> bool:
    """Whether a value is a constant with a number for each output of a layer that nothing else reads."""
    if value is None or len(value.uses()) != 1:
        return False
    held, size = held_tensor(value), layer.layout.parts * layer.layout.outputs
    along_rows = layer.op == "Conv" or layer.uses[0].index == 1
    return held is not None and held.size == size == held.shape.numpy()[-1] and along_rows


def give_biases(network: Network) -> None:
    """Add a bias of zeros to convolutions and Gemm that have none and are no first factors."""
    firsts = {linear.u.name for linear in linear_maps(network) if linear.v is not None}
    for layer in network.layers:
        node = layer.uses[0].node
        alone = (
            layer.op in _OPS_WITH_BIAS
            and len(layer.uses) == 1
            and layer.name not in firsts
            and layer.uses[0].index == 1
        )
        if alone and _third(node) is None and node.graph is network.graph:
            held = held_tensor(layer.value)
            assert held is not None
            zeros = np.zeros(layer.layout.parts * layer.layout.outputs, held.dtype.numpy())
            node.resize_inputs(3)
            node.replace_input_with(2, network.new_weight(f"{layer.value.name}_bias", zeros, held.dtype))
    network.changed()


def _bias(layer: Layer) -> Bias | None:
    """What can take over the mean of a layer's errors: its own bias, or that of an Add behind it."""
    node = layer.uses[0].node
    if layer.op in _OPS_WITH_BIAS:
        value = _third(node)
        return Bias(value, apart=False) if value is not None else None
    added = _added_to(node.outputs[0])
    if added is None or layer.layout.parts > 1 or layer.uses[0].index != 1 or not _is_vector(added[1], layer):
        return None
    assert added[1] is not None
    return Bias(added[1], apart=True)


def _added_to(value: ir.Value) -> tuple[ir.Node, ir.Value | None] | None:
    """The Add that is the only reader of a value, and its other operand."""
    uses = [*value.uses()]
    if len(uses) != 1 or uses[0].node.op_type != "Add" or value.is_graph_output():
        return None
    return uses[0].node, uses[0].node.inputs[1 - uses[0].idx]


def _shortcuts(
    network: Network, value: ir.Value, originals: Mapping[str | None, ir.Value]
) -> tuple[ir.Value, ir.Value] | None:
    """What is added to an output, in the original and here; through biases that are added before."""
    added = _added_to(value)
    while added is not None and network.is_constant(added[1]):
        added = _added_to(added[0].outputs[0])
    other = None if added is None else added[1]
    theirs = None if other is None else originals.get(other.name)
    return None if other is None or theirs is None else (theirs, other)
