"""Define groups of weights that are deleted together, and what deleting each saves.

A group is a block of a partition of a matrix's rows times a partition of its columns.

| group | rows | columns |
|---|---|---|
| row group of a tile (an incoming wire) | one by one | by tile |
| column group of a tile (an outgoing wire) | by tile | one by one |
| unit, where it is produced | all together | by unit |
| unit, where it is consumed | by unit | all together |

A unit has several members: its columns in every producer, its rows in every consumer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gscompile.channels.dead_units import CoupledChannels, find_coupled_channels
from gscompile.crossbars.mapping import Footprint, MapOptions, live_order, tile_grid
from gscompile.graph.network import Layer, Network

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GroupMember:
    """A partition of one matrix into groups, numbered row block x column block in row-major order.

    `rows` [inputs] and `cols` [outputs] give the block of each row and column, -1 for none. `blocks` gives the number
    of blocks where some have no row or column in this matrix.
    """

    layer: str
    part: int
    rows: Indices
    cols: Indices
    blocks: tuple[int, int] | None = None

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Return the number of row blocks and of column blocks."""
        return self.blocks or (int(self.rows.max(initial=-1)) + 1, int(self.cols.max(initial=-1)) + 1)

    def total(self, matrix: NDArray[np.generic]) -> Values:
        """Return the sum of a matrix [inputs, outputs] over every group. [row blocks, column blocks]"""
        down, across = self.shape
        return _block_sum(_block_sum(np.asarray(matrix, np.float64), self.rows, down).T, self.cols, across).T

    def spread(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the cells that belong to the chosen groups. [inputs, outputs]"""
        return np.pad(chosen.reshape(self.shape), (0, 1))[np.ix_(self.rows, self.cols)]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Return which groups have a row and a column in this matrix. [row blocks * column blocks]"""
        down, across = (np.isin(np.arange(n), of) for n, of in zip(self.shape, (self.rows, self.cols), strict=True))
        return np.outer(down, across).ravel()


def _block_sum(matrix: Values, block: Indices, count: int) -> Values:
    """Return the sums of the rows of each block [count, ...]; rows of block -1 are left out."""
    if len(block) == count and np.array_equal(block, np.arange(count)):
        return matrix
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    runs = len(starts) == count and np.array_equal(block[starts], np.arange(count))
    return np.add.reduceat(matrix, starts, axis=0) if runs else _scattered(matrix, block, count)


def _scattered(matrix: Values, block: Indices, count: int) -> Values:
    total = np.zeros((count + 1, matrix.shape[1]))
    np.add.at(total, block, matrix)
    return total[:count]


@dataclass(frozen=True, eq=False)
class Family:
    """Groups of one kind: all `members` have the same number of groups, and group g is the union of their g-th.

    `space` is set where the groups are units of coupled channels, whose biases are deleted with them.
    """

    kind: str
    members: tuple[GroupMember, ...]
    space: CoupledChannels | None = None

    @property
    def size(self) -> int:
        down, across = self.members[0].shape
        return down * across

    @cached_property
    def cover(self) -> Values:
        """Return the number of members in which each group has a row and a column. [size]"""
        return np.asarray(np.sum([member.covered for member in self.members], axis=0), np.float64)


def families(network: Network, mapping: MapOptions, units: bool = True) -> tuple[Family, ...]:
    """Return every family of groups that may be deleted: the rows and columns of tiles, and whole units."""
    found = [
        family for layer in network.layers if layer.layout.compressible for family in _tile_families(layer, mapping)
    ]
    if units:
        found += _unit_families(network)
    return tuple(found)


def _tile_families(layer: Layer, mapping: MapOptions) -> Iterator[Family]:
    """Return the row and column groups of a layer's tiles; rows and columns left out before cutting have none."""
    for part, matrix in enumerate(layer.matrices):
        rows, cols = live_order(matrix != 0, mapping)
        grid = tile_grid((rows, cols), mapping)
        (inputs, outputs), (down, across) = matrix.shape, grid.shape
        tile_row, tile_col = _placed(rows, grid.row_slices, inputs), _placed(cols, grid.col_slices, outputs)
        yield Family(
            "row group",
            (GroupMember(layer=layer.name, part=part, rows=np.arange(inputs), cols=tile_col, blocks=(inputs, across)),),
        )
        yield Family(
            "column group",
            (GroupMember(layer=layer.name, part=part, rows=tile_row, cols=np.arange(outputs), blocks=(down, outputs)),),
        )


def _numbered(slices: tuple[slice, ...], length: int) -> Indices:
    return _placed(np.arange(length), slices, length)


def _placed(order: Indices, slices: tuple[slice, ...], length: int) -> Indices:
    """Return the tile of each of `length` rows, of which those in `order` are cut into tiles. [length]"""
    numbers = np.full(length, -1, np.int64)
    for number, span in enumerate(slices):
        numbers[order[span]] = number
    return numbers


def _unit_families(network: Network) -> Iterator[Family]:
    for space in find_coupled_channels(network):
        if space.pinned is None and space.zero_safe and space.producers and space.readers:
            yield Family("unit", tuple(_unit_members(network, space)), space)


def _unit_members(network: Network, space: CoupledChannels) -> Iterator[GroupMember]:
    for side in space.producers:
        layout = network.layer(side.layer).layout
        for part in range(layout.parts):
            yield GroupMember(
                layer=side.layer,
                part=part,
                rows=np.zeros(layout.inputs, np.int64),
                cols=side.unit_of,
                blocks=(1, space.size),
            )
    for side in space.consumers:
        layout = network.layer(side.layer).layout
        for part in range(layout.parts):
            yield GroupMember(
                layer=side.layer,
                part=part,
                rows=side.unit_of,
                cols=np.zeros(layout.outputs, np.int64),
                blocks=(space.size, 1),
            )


@dataclass(frozen=True)
class Price:
    """The price of a cell, a wire and a tile, by which groups of all kinds are compared."""

    cell: float
    wire: float
    tile: float = 0.0

    def of(self, taken: Footprint) -> float:
        """Return the price of these cells, wires and tiles together."""
        return self.cell * taken.cells + self.wire * taken.wires + self.tile * taken.tiles

    def saved(self, before: Footprint, after: Footprint) -> float:
        """Return the saving of `after` over `before`, as a share where the price is that of `before`."""
        return self.of(before) - self.of(after)


def savings(network: Network, family: Family, mapping: MapOptions, price: Price) -> Values:
    """Return the saving of deleting each group of a family. [size]"""
    parts = [_member_savings(network, member, mapping, price) for member in family.members]
    return np.asarray(np.sum(parts, axis=0), np.float64)


def _member_savings(network: Network, member: GroupMember, mapping: MapOptions, price: Price) -> Values:
    """Return the cells, wires and tiles that deleting each group saves, weighted by `price`.

    A row group of a tile is one wire: the wire is saved when the group contains all of the tile's live columns. A wire
    is divided evenly among the cells of its row (or column), which is exact for groups of whole rows; a tile is
    divided among all of its cells, so that the rest of a nearly empty tile is worth the most. If a row leaves all
    tiles, the rows behind it move up, and after enough rows a row of tiles is saved.
    """
    alive = network.matrices(member.layer)[member.part] != 0
    rows, cols = live_order(alive, mapping)
    member = replace(member, rows=member.rows[rows], cols=member.cols[cols], blocks=member.shape)
    grid = tile_grid((rows, cols), mapping)
    live = grid.occupancy(alive[np.ix_(rows, cols)])
    tile_row, tile_col = _numbered(grid.row_slices, grid.inputs), _numbered(grid.col_slices, grid.outputs)
    built = live.rows[:, tile_col] & live.cols[tile_row]
    down, across = member.shape
    cells = member.total(built)
    wires = np.zeros_like(cells)
    if across <= len(grid.col_slices):  # whole rows of tiles, or more
        wires += member.total(built / np.maximum(live.live_cols[np.ix_(tile_row, tile_col)], 1))
    if down <= len(grid.row_slices):
        wires += member.total(built / np.maximum(live.live_rows[np.ix_(tile_row, tile_col)], 1))
    if across == 1:
        wires += _moving_up(member.rows, down, built, live.live_cols)
    if down == 1:
        wires += _moving_up(member.cols, across, built.T, live.live_rows.T).T
    tile = np.maximum(live.live_rows * live.live_cols, 1)[np.ix_(tile_row, tile_col)]
    tiles = member.total(built / tile) if price.tile else 0.0
    return np.asarray(price.cell * cells + price.wire * wires + price.tile * tiles).ravel()


def _moving_up(block: Indices, blocks: int, built: NDArray[np.bool_], columns: NDArray[np.int64]) -> Values:
    """Return the wires saved as rows of tiles disappear, divided evenly among all rows. [blocks, 1]

    They are computed from the live columns of each tile [tile rows, tile columns]; those of one tile remain to the
    last.
    """
    rows = np.asarray(built.any(axis=1, keepdims=True), np.float64)
    share = float(columns.sum() - columns.max(axis=0).sum()) / max(float(rows.sum()), 1.0)
    return np.asarray(_block_sum(rows, block, blocks) * share)


def deleted(network: Network, chosen: Mapping[Family, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    """Return the cells of all chosen groups, by layer. [parts, inputs, outputs]"""
    gone: dict[str, NDArray[np.bool_]] = {}
    for family, which in chosen.items():
        for member in family.members:
            mask = gone.setdefault(member.layer, np.zeros(network.matrices(member.layer).shape, bool))
            mask[member.part] |= member.spread(which)
    return gone
