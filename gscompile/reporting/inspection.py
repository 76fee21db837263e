"""The mapping of a network without compression, a row per layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from gscompile.crossbars.crossbar import TileGrid
from gscompile.crossbars.mapping import MapOptions
from gscompile.graph.network import Layer, Network
from gscompile.printable import printable
from gscompile.reporting.names import TABLE_NAME, shortened


@dataclass(frozen=True)
class MappedLayer:
    """The matrices of a layer on crossbars: `inputs` x `outputs` each, with cells, tiles and wires of all `parts`."""

    layer: str
    op: str
    parts: int
    inputs: int
    outputs: int
    cells: int
    tiles: int
    wires: int


def inspect_network(network: Network, options: MapOptions) -> tuple[MappedLayer, ...]:
    """Return a row for every weighted layer of the network; zero weights take no cells."""
    return tuple(_mapped(layer, options) for layer in network.layers)


def _mapped(layer: Layer, options: MapOptions) -> MappedLayer:
    layout = layer.layout
    grid = TileGrid(layout.inputs, layout.outputs, options.crossbar, options.tiling)
    found = [grid.occupancy(matrix) for matrix in layer.matrices]
    cells, tiles, wires = (sum(getattr(f, what) for f in found) for what in ("cells", "tiles", "wires"))
    return MappedLayer(layer.name, layer.op, layout.parts, layout.inputs, layout.outputs, cells, tiles, wires)


def table(rows: Sequence[MappedLayer]) -> str:
    """Return the rows as a table for a terminal, with a total."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return "no weighted layers: nothing to map\n"
    view = Table(box=SIMPLE_HEAD, show_footer=True)
    for heading, footer in _columns(rows):
        view.add_column(heading, footer=footer, justify="left" if heading in ("layer", "op") else "right")
    names = shortened((printable(row.layer) for row in rows), TABLE_NAME)
    for row in rows:
        shape = f"{row.inputs} x {row.outputs}" + (f" ({row.parts} of them)" if row.parts > 1 else "")
        view.add_row(
            names[printable(row.layer)], printable(row.op), shape, f"{row.cells:,}", f"{row.tiles:,}", f"{row.wires:,}"
        )
    out = StringIO()
    Console(file=out, width=120, color_system=None, highlight=False, markup=False, emoji=False).print(view)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _columns(rows: Sequence[MappedLayer]) -> Iterator[tuple[str, str]]:
    yield from (("layer", "all"), ("op", ""), ("matrix", ""))
    for what in ("cells", "tiles", "wires"):
        yield what, f"{sum(getattr(row, what) for row in rows):,}"
