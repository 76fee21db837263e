"""What is joined to each bus: found once, when a netlist is made, so that no writer of it needs a table of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gscompile.crossbars.netlist import Block, Matrix, Netlist


@dataclass(eq=False, slots=True)
class Ends:
    """Who drives a bus and who reads it, in netlist order.

    `stream` says that it is a tensor bus, one net; `start` counts the nets that are declared before it.
    """

    stream: bool = False
    start: int = 0
    driving_matrices: tuple[Matrix, ...] = ()
    reading_matrices: tuple[Matrix, ...] = ()
    driving_blocks: tuple[Block, ...] = ()
    reading_blocks: tuple[Block, ...] = ()


def ends_of(netlist: Netlist) -> dict[str, Ends]:
    """The ends of every bus that is declared or connected, by its name."""
    found: dict[str, Ends] = {}
    start = 0
    for bus in netlist.buses:
        stream = bus.kind == "tensor"
        found[bus.name] = Ends(stream, start)
        start += 1 if stream else bus.width
    for matrix in netlist.matrices:
        _at(found, matrix.output_bus).driving_matrices += (matrix,)
        _at(found, matrix.input_bus).reading_matrices += (matrix,)
    for block in netlist.blocks:
        for driven in block.outputs:
            _at(found, driven).driving_blocks += (block,)
        for read in block.inputs:
            _at(found, read).reading_blocks += (block,)
    return found


def _at(found: dict[str, Ends], bus: str) -> Ends:
    return found.setdefault(bus, Ends())
