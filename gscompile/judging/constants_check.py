"""Find constants of a network that are not finite: a NaN that is computed with spoils outputs, an infinity is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.errors import ModelError
from gscompile.graph.network import Network, readers_behind_identity
from gscompile.onnx_files.constants import graphs_in, held_tensor, nodes_of
from gscompile.onnx_files.op_names import is_standard

NOT_FINITE = "constants that are not finite"
_MAX_NAMED_CONSTANTS = 3  # constants that the line names one by one
_STEP = 1 << 20  # elements looked at together
# Ops that choose, compare or move values: a NaN among their constants need not reach an output.
_SELECTING = {"Where", "IsNaN", "Equal", "Pad", "Concat", "Expand", "Reshape", "Squeeze", "Unsqueeze", "OneHot"}
_SELECTING |= {"Gather", "GatherND", "GatherElements", "ScatterElements", "ScatterND", "Slice", "ConstantOfShape"}


@dataclass(frozen=True)
class Odd:
    """A constant with elements that are not finite; `spoils` names the op that computes with a NaN of it."""

    name: str
    nans: int
    infinite: int
    elements: int
    spoils: str | None

    def __str__(self) -> str:
        parts = [f"{count} {what}" for count, what in ((self.nans, "NaN"), (self.infinite, "infinite")) if count]
        return f"{self.name!r} ({' and '.join(parts)} of {self.elements})"


def odd_constants(network: Network) -> Iterator[Odd]:
    """Yield the constants of a network that are not finite, but for the weights of its layers.

    Initializers, the tensors of `Constant` nodes, and numbers and tensors among the attributes of other nodes count.
    """
    weights = {layer.value for layer in network.layers}
    nodes = [*nodes_of(network.graph)]
    graphs = [network.graph, *(graph for node in nodes for graph in graphs_in(node))]
    values = [value for graph in graphs for value in graph.initializers.values()]
    values += [value for node in nodes if node.op_type == "Constant" for value in node.outputs]
    for value in values:
        tensor = held_tensor(value)
        if value not in weights and tensor is not None:
            yield from _odd(str(value.name), tensor, _spoiled(value))
    for node in nodes:
        if node.op_type != "Constant" and is_standard(node):
            yield from _in_attributes(node)


def _in_attributes(node: ir.Node) -> Iterator[Odd]:
    for name, attribute in node.attributes.items():
        if isinstance(attribute, ir.Attr) and not attribute.is_ref():
            called = f"{node.name or node.outputs[0].name}.{name}"
            spoils = None if node.op_type in _SELECTING else node.op_type
            if attribute.type is ir.AttributeType.TENSOR:
                yield from _odd(called, attribute.as_tensor(), spoils)
            elif attribute.type in (ir.AttributeType.FLOAT, ir.AttributeType.FLOATS):
                yield from _odd(called, ir.Tensor(np.atleast_1d(np.asarray(attribute.value, np.float64))), spoils)


def _odd(name: str, tensor: ir.TensorProtocol, spoils: str | None) -> Iterator[Odd]:
    if not tensor.dtype.is_floating_point():
        return
    flat = np.reshape(tensor.numpy(), -1)
    nans = infinite = 0
    for start in range(0, len(flat), _STEP):
        part = _as_numbers(flat[start : start + _STEP])
        if not np.isfinite(part).all():
            nans += int(np.isnan(part).sum())
            infinite += int(np.isinf(part).sum())
    if nans or infinite:
        yield Odd(name=name, nans=nans, infinite=infinite, elements=len(flat), spoils=spoils if nans else None)


def _as_numbers(part: NDArray[np.generic]) -> NDArray[np.generic]:
    """Types that numpy does not know, as bfloat16 and those of eight bits, are wider as float32."""
    return part if part.dtype.kind == "f" else part.astype(np.float32)


def _spoiled(value: ir.Value) -> str | None:
    """The first op that computes with a constant; None where it is chosen, compared or moved."""
    return next((node.op_type for node, _ in readers_behind_identity(value) if node.op_type not in _SELECTING), None)


def check_original(network: Network) -> None:
    """Raise ModelError where a constant of the network that comes in holds a NaN that something computes with."""
    spoiled = next((odd for odd in odd_constants(network) if odd.spoils), None)
    if spoiled is not None:
        raise ModelError(spoiled_line(spoiled))


def spoiled_line(found: Odd) -> str:
    """What is the matter with a constant that spoils what is computed with it."""
    return f"constant {found}: {found.spoils} computes with it; expected numbers"


def named_line(found: list[Odd]) -> str:
    """The line of a verification that names the constants."""
    more = f" and {len(found) - _MAX_NAMED_CONSTANTS} more" if len(found) > _MAX_NAMED_CONSTANTS else ""
    return f"{NOT_FINITE}: {', '.join(map(str, found[:_MAX_NAMED_CONSTANTS]))}{more}"
