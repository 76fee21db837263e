"""The figures of the Group Scissor paper (DAC 2017, arXiv 1702.03443), from the shapes of the matrices alone.

Area is counted in crossbar cells, wires in pins: one for every row and every column of every crossbar. No function here
reads weights; what is left of a network after deletion is counted in its netlist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from gscompile.crossbars.crossbar import Crossbar, TileGrid, Tiling

Shape = tuple[int, int]  # inputs, outputs of one matrix

LENET: dict[str, Shape] = {"conv1": (25, 20), "conv2": (500, 50), "fc1": (800, 500), "fc2": (500, 10)}
CONVNET: dict[str, Shape] = {"conv1": (75, 32), "conv2": (800, 32), "conv3": (800, 64), "fc": (1024, 10)}
SIXTY_FOUR = Crossbar(64, 64)


@dataclass(frozen=True)
class DenseMatrix:
    """One line of the paper's routing tables: a dense matrix, the crossbars it takes and their wires.

    `tile` is the size of the largest crossbar the matrix is cut into, [inputs, outputs].
    """

    name: str
    inputs: int
    outputs: int
    tile: Shape
    crossbars: int
    wires: int

    @property
    def cells(self) -> int:
        """Return the crossbar cells of the matrix: inputs times outputs."""
        return self.inputs * self.outputs


def routing_table(
    shapes: Mapping[str, Shape], crossbar: Crossbar = SIXTY_FOUR, tiling: Tiling = "equal"
) -> tuple[DenseMatrix, ...]:
    """Return crossbars and dense wires of every matrix (section 3.2; the paper cuts with `equal` tiling).

    >>> [row] = routing_table({"fc1 U": (800, 36)})
    >>> row.tile, row.crossbars, row.wires
    ((50, 36), 16, 1376)
    """
    return tuple(_dense(name, TileGrid(*shape, crossbar, tiling)) for name, shape in shapes.items())


def _dense(name: str, grid: TileGrid) -> DenseMatrix:
    tile = max(s.stop - s.start for s in grid.row_slices), max(s.stop - s.start for s in grid.col_slices)
    return DenseMatrix(name, grid.inputs, grid.outputs, tile, grid.tiles, grid.wires)


def clip_shapes(shapes: Mapping[str, Shape], ranks: Mapping[str, int]) -> dict[str, Shape]:
    """Return the shapes after rank clipping: [n, m] at rank k becomes U [n, k] and V [k, m]; others stay.

    >>> clip_shapes({"fc1": (800, 500), "fc2": (500, 10)}, {"fc1": 36})
    {'fc1 U': (800, 36), 'fc1 V': (36, 500), 'fc2': (500, 10)}
    """
    clipped: dict[str, Shape] = {}
    for name, (n, m) in shapes.items():
        if name in ranks:
            clipped |= {f"{name} U": (n, ranks[name]), f"{name} V": (ranks[name], m)}
        else:
            clipped[name] = (n, m)
    return clipped


def cells(shapes: Mapping[str, Shape]) -> int:
    """Return the crossbar cells of dense matrices: n m each, so k (n + m) for a factored pair (section 3.1)."""
    return sum(n * m for n, m in shapes.values())


def several_crossbars(table: Iterable[DenseMatrix]) -> tuple[DenseMatrix, ...]:
    """Return the matrices that do not fit one crossbar; the paper counts the wires of these."""
    return tuple(row for row in table if row.crossbars > 1)


def routing_ratio(wires: int, dense_wires: int) -> float:
    """Return the routing area relative to the dense matrix: the square of the ratio of wires (section 3.2).

    >>> routing_ratio(310, 620)
    0.25
    """
    return (wires / dense_wires) ** 2 if dense_wires else 0.0


def routing_area(matrices: Iterable[tuple[int, int]]) -> float | None:
    """Return the mean of `routing_ratio` over pairs (remaining, dense) of wires, as the paper does; None without pairs.

    >>> routing_area([(310, 620), (600, 600)])
    0.625
    """
    ratios = [routing_ratio(wires, dense) for wires, dense in matrices]
    return fmean(ratios) if ratios else None
