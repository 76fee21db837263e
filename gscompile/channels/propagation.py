"""Walk over the graph once and record, for every value, the channels that it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.channels.channel_axis import Channels
from gscompile.channels.coupled_channels import Contraction, MatrixUse, SizeConstant, SplitUse, VectorUse, Zero
from gscompile.channels.union_find import UnionFind, Units
from gscompile.graph.network import Layer, Network
from gscompile.onnx_files.constants import graphs_in, nodes_of
from gscompile.onnx_files.op_names import kind
from gscompile.onnx_files.shapes import OpenShape, known_shapes


class Walk:
    """One pass over the graph from inputs to outputs; `self.at` holds the channels of every value reached so far."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = known_shapes(network.model)
        self.at: dict[ir.Value, Channels] = {}
        self.sets = UnionFind()
        # Units by the layer that makes them (nodes that share a weight make the same), and by the layer that reads
        # them, None where they are not known.
        self.made: dict[str, Units] = {}
        self.read: dict[str, tuple[Units, Zero] | None] = {}
        self.vectors: list[VectorUse] = []
        self.filters: list[MatrixUse] = []
        self.sized: list[SizeConstant] = []
        self.parted: list[SplitUse] = []
        self.meetings: list[Contraction] = []
        self.values: list[VectorUse] = []
        self.weighted: dict[ir.Node, list[Layer]] = {}
        for layer in network.layers:
            for use in layer.uses:
                self.weighted.setdefault(use.node, []).append(layer)

    def run(self, rules: Mapping[str, Rule], weighted: Rule) -> None:
        """Apply to each node the rule for its op, or `weighted` for nodes with weights."""
        for node in self.network.graph:
            if node in self.weighted:
                weighted(self, node)
            elif kind(node) == "Constant" or self.is_constant(node.outputs[0]):
                continue
            else:
                rules.get(kind(node), Walk.unknown)(self, node)
            self.pin_captured(node)
        for value in self.network.outputs:
            self.pin(value, "a graph output")

    def channels(self, value: ir.Value | None) -> Channels | None:
        return self.at.get(value) if value is not None else None

    def sizes(self, value: ir.Value | None) -> OpenShape | None:
        return self.shapes.get(value.name) if value is not None and value.name is not None else None

    def pin(self, value: ir.Value | None, why: str) -> None:
        channels = self.channels(value)
        if channels is not None:
            self.sets.pin(channels.units, why)

    def unknown(self, node: ir.Node) -> None:
        for value in node.inputs:
            self.pin(value, f"{node.op_type} mixes or shows its channels")

    def pin_captured(self, node: ir.Node) -> None:
        for graph in graphs_in(node):
            inner = [v for n in nodes_of(graph) for g in graphs_in(n) for v in g.outputs]
            for value in (*graph.outputs, *inner, *(v for n in nodes_of(graph) for v in n.inputs)):
                self.pin(value, f"read inside {node.op_type}")

    def put(self, value: ir.Value, channels: Channels) -> None:
        sizes = self.sizes(value)
        if channels.count is None and sizes is not None:
            channels = replace(channels, count=len(sizes))
        self.at[value] = channels
        self.values.append(VectorUse(value, channels.axis, channels.units))

    def put_all(self, node: ir.Node, channels: list[Channels]) -> None:
        for value, known in zip(node.outputs, channels, strict=True):
            self.put(value, known)

    def is_constant(self, value: ir.Value | None) -> bool:
        return self.network.is_constant(value)

    def array(self, value: ir.Value | None) -> NDArray[np.generic] | None:
        return None if value is None else self.network.array(value)

    def numbers(self, node: ir.Node, index: int, attribute: str) -> list[int] | None:
        """Return integers given as an attribute or, in newer opsets, as a constant input; None for anything else."""
        if attribute in node.attributes:
            return [int(n) for n in node.attributes.get_ints(attribute, [])]
        value = node.inputs[index] if index < len(node.inputs) else None
        array = self.array(value)
        return None if array is None or array.ndim > 1 else [int(n) for n in np.atleast_1d(array)]

    def front_axes(self, node: ir.Node, channels: Channels, index: int = 1) -> set[int]:
        """Return the axes that a node names, counted from the front; empty where they are not known."""
        axes, count = self.numbers(node, index, "axes"), channels.count
        return set() if axes is None or count is None else {axis % count for axis in axes}


Rule = Callable[[Walk, ir.Node], None]
