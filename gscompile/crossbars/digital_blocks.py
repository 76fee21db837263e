"""Find the digital blocks between the matrices, and the buses that join blocks, matrices and ports.

A node's *depth* is the largest number of matrices on a way to it from the graph's inputs. Digital nodes that are
connected and of one depth form a block, so the blocks of a feed-forward network never wait for each other in a
circle, whatever its branches and residual connections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import onnx_ir as ir

from gscompile.crossbars.netlist import Block, Bus, Port
from gscompile.graph.factor_pairs import factor_pairs, is_state
from gscompile.graph.network import Layer, Network, Use


@dataclass(frozen=True)
class Wiring:
    """Buses, blocks and ports of a network, and the (input, output) bus of every matrix by name."""

    buses: tuple[Bus, ...]
    blocks: tuple[Block, ...]
    ports: tuple[Port, ...]
    sides: dict[str, tuple[str, str]]


@dataclass
class _BlockPart:
    """A piece of digital work before blocks are formed: `reads` and `drives` are buses or tensor names."""

    label: str
    depth: int
    reads: list[str] = field(default_factory=list)
    drives: list[str] = field(default_factory=list)


def wire_up(network: Network) -> Wiring:
    """Return the buses, digital blocks and ports of a network's netlist."""
    direct = factor_pairs(network)
    sides = _sides(network, direct)
    parts = [*_constant_parts(network), *_parts(network, direct, sides)]
    ports = tuple(_ports(network))
    blocks = _merge(parts, {port.bus for port in ports})
    return Wiring(tuple(_buses(network, sides, blocks, ports)), blocks, ports, sides)


# -- matrices ---------------------------------------------------------------------------------------------------


def _sides(network: Network, direct: dict[str, str]) -> dict[str, tuple[str, str]]:
    sides: dict[str, tuple[str, str]] = {}
    parts = {layer.name: layer.part_names for layer in network.layers}
    for layer in network.layers:
        for number, name in enumerate(layer.part_names):
            source = direct.get(layer.name)
            before = f"{parts[source][number]}.out" if source else f"{name}.in"
            sides[name] = (before, f"{name}.out")
    return sides


# -- digital work -----------------------------------------------------------------------------------------------


def _constant_parts(network: Network) -> Iterator[_BlockPart]:
    """Return blocks that drive graph outputs which depend on no input."""
    for value in network.outputs:
        if network.is_constant(value):
            yield _BlockPart(f"{value.name}:constant", 0, [], [_tensor(value)])


def _parts(network: Network, direct: dict[str, str], sides: dict[str, tuple[str, str]]) -> Iterator[_BlockPart]:
    weighted: dict[ir.Node, list[tuple[Layer, Use]]] = defaultdict(list)
    for layer in network.layers:
        for use in layer.uses:
            weighted[use.node].append((layer, use))
    depth: dict[ir.Value, int] = defaultdict(int)
    feeders = set(direct.values())
    for node in network.graph:
        inner = [*_nested(node)]
        held = [pair for n in (node, *inner) for pair in weighted.get(n, [])]
        inputs = [v for v in _reads(node, inner) if not network.is_constant(v)]
        level = max((depth[v] for v in inputs), default=0)
        steps = 1 if held else 0
        depth.update(dict.fromkeys(node.outputs, level + steps))
        if held:
            yield from _weighted_parts(node, held, inputs, level, direct, feeders, sides)
        elif inputs or not network.is_constant(node.outputs[0]):
            yield _BlockPart(
                _label(node),
                level,
                [_tensor(v) for v in inputs],
                [_tensor(v) for v in node.outputs if v.name],
            )


def _nested(node: ir.Node) -> Iterator[ir.Node]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield from attribute.as_graph().all_nodes()
        elif attribute.type == ir.AttributeType.GRAPHS:
            for graph in attribute.as_graphs():
                yield from graph.all_nodes()


def _reads(node: ir.Node, inner: Iterable[ir.Node]) -> list[ir.Value]:
    """Return the values that a node reads of its own graph, those captured by its subgraphs included."""
    values = [v for v in node.inputs if v is not None]
    values += [v for n in inner for v in n.inputs if v is not None and _scope(v) is node.graph]
    return list(dict.fromkeys(values))


def _scope(value: ir.Value) -> ir.Graph | ir.Function | None:
    producer = value.producer()
    return value.graph if producer is None else producer.graph


def _weighted_parts(
    node: ir.Node,
    held: list[tuple[Layer, Use]],
    inputs: list[ir.Value],
    level: int,
    direct: dict[str, str],
    feeders: set[str],
    sides: dict[str, tuple[str, str]],
) -> Iterator[_BlockPart]:
    """Return the blocks that form the inputs of the node's matrices, and those that take the outputs."""
    before = _BlockPart(f"{_label(node)}:input", level)
    after = _BlockPart(f"{_label(node)}:output", level + 1)
    for layer, _ in held:
        for name in layer.part_names:
            if layer.name not in direct:
                before.drives.append(sides[name][0])
            if layer.name not in feeders:
                after.reads.append(sides[name][1])
    fed = {use.data for layer, use in held if layer.name in direct}
    streams = [_tensor(v) for v in inputs if v not in fed]
    if _in_turn(node, held):
        yield _BlockPart(_label(node), level, streams + after.reads, before.drives + _outputs(node))
        return
    before.reads, after.drives = streams, _outputs(node)
    if before.drives:
        yield before
    if after.reads:
        yield after


def _in_turn(node: ir.Node, held: list[tuple[Layer, Use]]) -> bool:
    """Return whether one block drives and reads the matrices in turn.

    This holds for the gates and states of a recurrent node, for values that a loop carries, and for branches.
    """
    inside = any(use.node is not node for _, use in held)
    return inside or len(held) > 1 or any(is_state(layer) for layer, _ in held)


def _outputs(node: ir.Node) -> list[str]:
    return [_tensor(v) for v in node.outputs if v.name]


def _label(node: ir.Node) -> str:
    return node.name or node.outputs[0].name or node.op_type


def _tensor(value: ir.Value) -> str:
    return f"tensor:{value.name}"


def _is_tensor(bus: str) -> bool:
    return bus.startswith("tensor:")


# -- blocks -----------------------------------------------------------------------------------------------------


def _merge(parts: list[_BlockPart], kept: set[str]) -> tuple[Block, ...]:
    """Return blocks: parts of one depth that a tensor joins, and parts that drive the same bus (a shared matrix).

    Tensors that stay inside a block become no buses, unless `kept` names them (graph outputs).
    """
    leader = list(range(len(parts)))
    _join_shared(parts, leader)
    _join_neighbours(parts, leader)
    groups: dict[int, list[_BlockPart]] = defaultdict(list)
    for i, part in enumerate(parts):
        groups[_find(leader, i)].append(part)
    readers: dict[str, set[int]] = defaultdict(set)
    for i, group in groups.items():
        for bus in (bus for part in group for bus in part.reads):
            readers[bus].add(i)
    return tuple(_named_apart(_block(group, partial(_leaves, i, kept, readers)) for i, group in groups.items()))


def _leaves(block: int, kept: set[str], readers: Mapping[str, set[int]], bus: str) -> bool:
    return bus in kept or bool(readers.get(bus, set()) - {block})


def _named_apart(blocks: Iterable[Block]) -> Iterator[Block]:
    """Rename blocks of equal name, since ONNX nodes may share a name: the second `add` becomes `add~2`."""
    taken = set[str]()
    for block in blocks:
        name, number = block.name, 1
        while name in taken:
            number += 1
            name = f"{block.name}~{number}"
        taken.add(name)
        yield replace(block, name=name)


def _join_neighbours(parts: list[_BlockPart], leader: list[int]) -> None:
    driver = {bus: i for i, part in enumerate(parts) for bus in part.drives}
    for i, part in enumerate(parts):
        for bus in part.reads:
            source = driver.get(bus)
            if source is not None and parts[source].depth == part.depth and _is_tensor(bus):
                _unite(leader, source, i)


def _join_shared(parts: list[_BlockPart], leader: list[int]) -> None:
    first: dict[str, int] = {}
    for i, part in enumerate(parts):
        for bus in (*part.drives, *(b for b in part.reads if not _is_tensor(b))):
            _unite(leader, first.setdefault(bus, i), i)


def _find(leader: list[int], i: int) -> int:
    while leader[i] != i:
        leader[i] = leader[leader[i]]
        i = leader[i]
    return i


def _unite(leader: list[int], a: int, b: int) -> None:
    a, b = _find(leader, a), _find(leader, b)
    leader[max(a, b)] = min(a, b)


def _block(group: list[_BlockPart], leaves: Callable[[str], bool]) -> Block:
    drives = dict.fromkeys(bus for part in group for bus in part.drives)
    reads = dict.fromkeys(bus for part in group for bus in part.reads if bus not in drives)
    kept = tuple(bus for bus in drives if leaves(bus) or not _is_tensor(bus))
    return Block(group[0].label, tuple(part.label for part in group), tuple(reads), kept)


# -- buses and ports --------------------------------------------------------------------------------------------


def _ports(network: Network) -> Iterator[Port]:
    for value in network.inputs:
        yield Port(value.name or "", "input", _tensor(value))
    for value in dict.fromkeys(network.outputs):  # a value may be an output twice
        yield Port(value.name or "", "output", _tensor(value))


def _buses(
    network: Network, sides: dict[str, tuple[str, str]], blocks: tuple[Block, ...], ports: tuple[Port, ...]
) -> Iterator[Bus]:
    seen = set[str]()
    for layer in network.layers:
        for name in layer.part_names:
            for bus, width in zip(sides[name], (layer.layout.inputs, layer.layout.outputs), strict=True):
                if bus not in seen:
                    seen.add(bus)
                    yield Bus(bus, width, "analog")
    streams = (*(p.bus for p in ports), *(bus for b in blocks for bus in (*b.inputs, *b.outputs)))
    for bus in dict.fromkeys(streams):
        if bus not in seen:
            yield Bus(bus, 1, "tensor")
