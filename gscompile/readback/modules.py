"""Facts of the module hierarchy that Verilog and Yosys JSON share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gscompile.crossbars.netlist import Matrix
from gscompile.readback.facts import Fact
from gscompile.targets.modules import Hierarchy, Instance, Module

BLACK_BOX, TOP = "blackbox", "top"


def module_fact(module: Module, mark: str | None = None) -> Fact:
    """Return a module with its mark, attributes, and ports by name, direction and width."""
    ports = tuple((port.name, port.direction, port.width) for port in module.ports)
    return ("module", module.name, mark, told(module.attributes), ports)


def told(attributes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return attributes in order of their names."""
    return tuple(sorted(attributes.items()))


def instance_fact(instance: Instance, tied: frozenset[str] = frozenset()) -> Fact:
    """Return an instance with its module, attributes, and nets by port, lowest bit first; tied nets are "0"."""
    nets = ((port, tuple("0" if n in tied else n for n in nets)) for port, nets in instance.connections.items())
    return ("instance", instance.name, instance.module, told(instance.attributes), tuple(nets))


def black_boxes(hierarchy: Hierarchy) -> Iterator[Module]:
    """Yield the modules without content: tiles by size, then digital blocks."""
    yield from hierarchy.tile_modules()
    yield from hierarchy.block_modules()


def tile_facts(hierarchy: Hierarchy, matrix: Matrix) -> Iterator[Fact]:
    """Yield the instances in the module of a matrix."""
    return (instance_fact(hierarchy.tile_instance(tile)) for tile in matrix.tiles)
