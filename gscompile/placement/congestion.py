"""How crowded the wires are: every net routed over a coarse grid, and the tracks it takes counted.

The grid has a square a row's height. Nets with pins in the same squares are routed together, each along the
cheapest tree of paths (rustworkx, PyPI), where an edge costs the more the fuller it is. Without rustworkx
the wire of a net is spread evenly over its bounding box (RUDY, Spindler and Johannes, DATE 2007).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.netlist import Netlist
from gscompile.hardware.components import net_ends, pad
from gscompile.hardware.floorplan import Floorplan
from gscompile.hardware.target import Target

MOST_SQUARES = 64  # along a side: a picture, not a router
Terminals = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Congestion:
    """Tracks taken and there between squares: `across` [rows, cols - 1] to the right, `up` [rows - 1,
    cols]."""

    engine: str
    square_nm: int
    across: NDArray[np.float64]
    up: NDArray[np.float64]
    tracks: float

    @property
    def worst(self) -> float:
        """The fullest edge: tracks taken over tracks there."""
        return max((float(edges.max()) for edges in (self.across, self.up) if edges.size), default=0) / self.tracks

    @property
    def overfull(self) -> float:
        """Part of the edges that take more tracks than there are."""
        edges = np.concatenate([self.across.ravel(), self.up.ravel()])
        return float((edges > self.tracks).mean()) if edges.size else 0.0

    @property
    def map(self) -> NDArray[np.float64]:
        """Fullness of every square [rows, cols]: the fullest of its edges."""
        worst = np.zeros((self.across.shape[0], self.up.shape[1]))
        for edges, left, right in (
            (self.across, np.s_[:, :-1], np.s_[:, 1:]),
            (self.up, np.s_[:-1], np.s_[1:]),
        ):
            worst[left] = np.maximum(worst[left], edges)
            worst[right] = np.maximum(worst[right], edges)
        return worst / self.tracks

    def to_json(self) -> dict[str, Any]:
        """Headline figures."""
        figures = {"engine": self.engine, "square_um": self.square_nm / 1000, "tracks": self.tracks}
        return figures | {"worst": self.worst, "overfull": self.overfull}


@dataclass(frozen=True)
class Squares:
    """The grid over a die, and for every net the squares that hold a pin of it, in order."""

    side: int
    rows: int
    cols: int
    nets: list[Terminals]

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.cols


def congestion(netlist: Netlist, plan: Floorplan, target: Target) -> Congestion:
    """Route every net of a placed netlist over the grid; one inside a single square needs no track."""
    grid = net_squares(netlist, plan)
    groups = Counter(squares for squares in grid.nets if len(squares) > 1)
    tracks = _tracks(grid.side, target)
    try:
        engine, (across, up) = "rustworkx", _routed(groups, grid.shape, tracks)
    except ImportError:
        engine, (across, up) = "rudy", _spread(groups, grid.shape)
    return Congestion(engine=engine, square_nm=grid.side, across=across, up=up, tracks=tracks)


def net_squares(netlist: Netlist, plan: Floorplan) -> Squares:
    """Lay the grid and find every net on it, the pads of ports included."""
    side = max(plan.row_height, -(-max(plan.width, plan.height) // MOST_SQUARES), 1)
    rows, cols = max(-(-plan.height // side), 1), max(-(-plan.width // side), 1)
    pads = {port.bus: pad(plan, port, netlist.ports) for port in netlist.ports}
    nets = []
    for bus, _, ends in net_ends(netlist, plan):
        points = [(plan.components[e.component].x + e.x, plan.components[e.component].y + e.y) for e in ends]
        points += [pads[bus]] if bus in pads else []
        squares = {min(y // side, rows - 1) * cols + min(x // side, cols - 1) for x, y in points}
        nets.append(tuple(sorted(squares)))
    return Squares(side, rows, cols, nets)


def _tracks(side: int, target: Target) -> float:
    """Tracks through one side of a square: half of the layers run each way."""
    return max(target.routing.layers / 2, 1) * side / target.routing.pitch_nm


# -- routed ------------------------------------------------------------------------------------------------


def _routed(
    groups: Counter[Terminals], shape: tuple[int, int], tracks: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import rustworkx

    graph, ends = _grid(rustworkx, shape)
    taken = np.zeros(len(ends))
    edge_of = {end: number for number, end in enumerate(ends)}
    for squares, nets in sorted(groups.items(), key=lambda item: (len(item[0]), item[0])):
        for edge in _tree(rustworkx, graph, edge_of, squares, shape[1]):
            taken[edge] += nets
            graph.update_edge_by_index(edge, 1 + (taken[edge] / tracks) ** 2)
    across, up = np.zeros((shape[0], shape[1] - 1)), np.zeros((shape[0] - 1, shape[1]))
    for (a, b), load in zip(ends, taken, strict=True):
        (across if b == a + 1 else up)[divmod(a, shape[1])] = load
    return across, up


def _grid(rustworkx: Any, shape: tuple[int, int]) -> tuple[Any, list[tuple[int, int]]]:
    """A graph of squares; edge number k joins the squares `ends[k]`."""
    rows, cols = shape
    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(rows * cols))
    nodes = np.arange(rows * cols).reshape(shape)
    pairs = [*zip(nodes[:, :-1].ravel(), nodes[:, 1:].ravel(), strict=True)]
    pairs += [*zip(nodes[:-1].ravel(), nodes[1:].ravel(), strict=True)]
    ends = [(int(a), int(b)) for a, b in pairs if a != b]
    ends = [end for end in ends if cols > 1 or end[1] - end[0] == cols]
    graph.add_edges_from([(a, b, 1.0) for a, b in ends])
    return graph, ends


def _tree(rustworkx: Any, graph: Any, edge_of: dict[tuple[int, int], int], squares: Terminals, cols: int) -> set[int]:
    """Edges of a tree that joins the squares: each joined to the nearest one before it by the cheapest
    path."""
    edges: set[int] = set()
    joined = [squares[0]]
    for square in squares[1:]:
        near = min(joined, key=lambda other: _distance(square, other, cols))
        path = rustworkx.dijkstra_shortest_paths(graph, square, target=near, weight_fn=float)[near]
        steps = zip(list(path)[:-1], list(path)[1:], strict=True)
        edges |= {edge_of[min(a, b), max(a, b)] for a, b in steps}
        joined.append(square)
    return edges


def _distance(a: int, b: int, cols: int) -> int:
    return abs(a // cols - b // cols) + abs(a % cols - b % cols)


# -- spread ------------------------------------------------------------------------------------------------


def _spread(groups: Counter[Terminals], shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every net's wire spread evenly over its bounding box, once across and once up."""
    across, up = np.zeros((shape[0], shape[1] - 1)), np.zeros((shape[0] - 1, shape[1]))
    for squares, nets in groups.items():
        rows, cols = np.divmod(np.array(squares), shape[1])
        y0, y1, x0, x1 = rows.min(), rows.max(), cols.min(), cols.max()
        across[y0 : y1 + 1, x0:x1] += nets / (y1 - y0 + 1)
        up[y0:y1, x0 : x1 + 1] += nets / (x1 - x0 + 1)
    return across, up
