"""Map the final network to its netlist: matrices cut into tiles, and the buses and blocks that join them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.arrangement import gathered
from gscompile.crossbars.crossbar import Crossbar, Occupancy, TileGrid, Tiling
from gscompile.crossbars.digital_blocks import Wiring, wire_up
from gscompile.crossbars.netlist import Matrix, Netlist, Tile
from gscompile.crossbars.packing import Area, pack
from gscompile.crossbars.pins import block
from gscompile.graph.network import Layer, Network

Order = tuple[NDArray[np.int64], NDArray[np.int64]]  # row indices, column indices


@dataclass(frozen=True)
class MapOptions:
    """The rules by which matrices are cut: the array size, the tiling, and with `pack`, small tiles sharing arrays.

    `array_um2` gives the area of an array of some rows and columns where a target has one: tiles that would take more
    area together do not share. With `arrange`, inputs and outputs are reordered among the tiles of a matrix where that
    takes fewer wires.
    """

    crossbar: Crossbar
    tiling: Tiling = "full"
    pack: bool = False
    arrange: bool = False
    array_um2: Area | None = field(default=None, compare=False)


def map_network(network: Network, options: MapOptions, name: str = "network") -> Netlist:
    """Return the netlist of a network: a matrix for every part of every layer, tiles only where weights are nonzero."""
    wiring = wire_up(network)
    cuts = ([*_matrices(layer, options, wiring)] for layer in network.layers)
    matrices = tuple(m for cut_ in cuts for m in (_packed(cut_, options) if options.pack else cut_))
    return Netlist(
        name=name,
        crossbar=options.crossbar,
        tiling=options.tiling,
        buses=wiring.buses,
        matrices=matrices,
        blocks=wiring.blocks,
        ports=wiring.ports,
    )


def _matrices(layer: Layer, options: MapOptions, wiring: Wiring) -> Iterator[Matrix]:
    inputs, outputs = layer.layout.inputs, layer.layout.outputs
    for part, name in enumerate(layer.part_names):
        tiles = tuple(cut(name, layer.matrices[part], options))
        input_bus, output_bus = wiring.sides[name]
        yield Matrix(
            name=name,
            layer=layer.name,
            part=part,
            inputs=inputs,
            outputs=outputs,
            input_bus=input_bus,
            output_bus=output_bus,
            tiles=tiles,
        )


def _packed(matrices: list[Matrix], options: MapOptions) -> Iterator[Matrix]:
    """Return the matrices of one layer with their tiles placed on shared arrays."""
    small = [tile for matrix in matrices for tile in matrix.tiles]
    tiles = iter(pack(small, options.crossbar, matrices[0].layer, options.array_um2))
    for matrix in matrices:
        yield replace(matrix, tiles=tuple(islice(tiles, len(matrix.tiles))))


def cut(name: str, matrix: NDArray[np.generic], options: MapOptions) -> Iterator[Tile]:
    """Return the tiles of a matrix [inputs, outputs], by tile row then column; a tile without weights does not exist.

    Rows and columns without any weight are left out before cutting, if that takes no more wires than cutting in place.
    With `arrange` the remaining ones may be ordered differently.
    """
    alive = np.asarray(matrix != 0)
    rows, cols = order = live_order(alive, options)
    grid = tile_grid(order, options)
    occupancy = grid.occupancy(_in_order(alive, order))
    for (i, down), (j, across) in product(enumerate(grid.row_slices), enumerate(grid.col_slices)):
        if occupancy.live_rows[i, j]:
            tile_rows = rows[down][occupancy.rows[down, j]]
            tile_cols = cols[across][occupancy.cols[i, across]]
            tile = f"{name}/{i}_{j}"
            yield Tile(name=tile, matrix=name, inputs=tile_rows, outputs=tile_cols, array=tile)


def live_order(alive: NDArray[np.bool_], options: MapOptions) -> Order:
    """Row and column indices in the order in which they are cut into tiles, by where weights are not zero."""
    everything = np.arange(alive.shape[0]), np.arange(alive.shape[1])
    one_tile = alive.shape[0] <= options.crossbar.rows and alive.shape[1] <= options.crossbar.cols
    if one_tile or alive.all():  # a tile has no more than its live rows and columns, in whatever order
        return everything
    compact = np.flatnonzero(alive.any(axis=1)), np.flatnonzero(alive.any(axis=0))
    orders = [everything] if (len(compact[0]), len(compact[1])) == alive.shape else [everything, compact]
    if options.arrange and _may_gain(alive, compact, options):
        orders.append(_arranged(alive, compact, options))
    return min(orders, key=lambda order: _cost(alive, order, options)) if len(orders) > 1 else everything


def _in_order(alive: NDArray[np.bool_], order: Order) -> NDArray[np.bool_]:
    rows, cols = order
    as_it_is = alive.shape == (len(rows), len(cols)) and all((np.diff(side) == 1).all() for side in order)
    return alive if as_it_is else alive[np.ix_(rows, cols)]


def tile_grid(order: Order, options: MapOptions) -> TileGrid:
    """Return the grid by which the rows and columns of an order are cut."""
    return TileGrid(len(order[0]), len(order[1]), options.crossbar, options.tiling)


def _cost(alive: NDArray[np.generic], order: Order, options: MapOptions) -> tuple[int, int, int]:
    occupancy = tile_grid(order, options).occupancy(alive[np.ix_(*order)])
    return occupancy.wires, occupancy.tiles, occupancy.cells


def _may_gain(alive: NDArray[np.bool_], order: Order, options: MapOptions) -> bool:
    """Return whether a column or row has enough zeros to be dead in a tile; otherwise no order saves a wire."""
    grid, here = tile_grid(order, options), alive[np.ix_(*order)]
    if not grid.tiles:
        return False
    zeros = [len(here) - here.sum(axis=0).min(), here.shape[1] - here.sum(axis=1).min()]
    return any(z >= min(np.diff(edges)) for z, edges in zip(zeros, (grid.row_edges, grid.col_edges), strict=True))


def _arranged(alive: NDArray[np.bool_], order: Order, options: MapOptions) -> Order:
    """Return the order with rows and columns that are live together gathered in the same tiles."""
    rows, cols = order
    grid, here = tile_grid(order, options), alive[np.ix_(rows, cols)]
    return rows[gathered(here, grid.row_edges)], cols[gathered(here.T, grid.col_edges)]


@dataclass(frozen=True)
class Footprint:
    """The size of a network on crossbars: live cells, tiles and wires."""

    cells: int
    tiles: int
    wires: int


def footprint(network: Network, options: MapOptions) -> Footprint:
    """Return the totals of the netlist without building it; the search and the progress display use them."""
    return footprint_of(network.layers, options)


def footprint_of(layers: Iterable[Layer], options: MapOptions) -> Footprint:
    """Return the footprint of these layers."""
    return _total(_occupancy(matrix, options) for layer in layers for matrix in layer.matrices)


def dense_footprint(shapes: Iterable[tuple[int, int]], options: MapOptions) -> Footprint:
    """Return the footprint of matrices without zeros, given their numbers of inputs and outputs.

    >>> dense_footprint([(100, 20), (20, 10)], MapOptions(Crossbar(64, 64)))
    Footprint(cells=2200, tiles=3, wires=170)
    """
    return _total(TileGrid(*shape, options.crossbar, options.tiling) for shape in shapes)


def _total(found: Iterable[Occupancy | TileGrid]) -> Footprint:
    counted = [(f.cells, f.tiles, f.wires) for f in found]
    return Footprint(*map(sum, zip(*counted, strict=True))) if counted else Footprint(0, 0, 0)


def _occupancy(matrix: NDArray[np.generic], options: MapOptions) -> Occupancy:
    alive = np.asarray(matrix != 0)
    order = live_order(alive, options)
    return tile_grid(order, options).occupancy(_in_order(alive, order))


def tile_weights(network: Network, netlist: Netlist) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Every tile's weights, live rows by live columns, in netlist order."""
    layers: Mapping[str, Layer] = {layer.name: layer for layer in network.layers}
    for matrix in netlist.matrices:
        dense = layers[matrix.layer].matrices[matrix.part]
        for tile in matrix.tiles:
            yield tile.name, dense[block(tile.inputs, tile.outputs)]
