"""Pictures of matrices as inline SVG: a matrix as its grid of tiles, the parts of a grouped layer as squares.

A matrix is drawn with a row per input and a column per output, in cells of the matrix; CSS classes carry the
colours, so that one drawing serves light, dark and paper. Live cells are `live`, the deleted row and column
groups of a tile that is built are `dead`, a place where no tile is built is `gone`. Where there are too many
tiles to draw each, a picture with one pixel a tile tells how much of it is live.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from struct import pack

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.crossbar import TileGrid
from gscompile.crossbars.netlist import Matrix, Netlist, Tile
from gscompile.crossbars.pins import Indices

TilePosition = tuple[int, int]  # tile row, tile column

# -- where tiles are ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PictureAxis:
    """One side of a matrix, cut into bands: band b is drawn from `starts[b]` to `stops[b]`, in cells.

    `spot` says where each index is drawn: in its own order, unless the mapping has moved rows or columns.
    """

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    spot: Indices

    @property
    def length(self) -> int:
        """Return the length of the axis in cells, gaps included."""
        return self.stops[-1] if self.stops else 0

    def spread(self, gap: int) -> PictureAxis:
        """Return the edges with `gap` empty cells between bands."""
        shift = gap * np.arange(len(self.starts))
        band = np.searchsorted(self.starts, self.spot, side="right") - 1
        starts, stops = (tuple((np.array(ends) + shift).tolist()) for ends in (self.starts, self.stops))
        return PictureAxis(starts, stops, self.spot + gap * band)


@dataclass(frozen=True, eq=False)
class Floor:
    """A matrix laid out for drawing: its two axes, and the tile at every place that has one."""

    rows: PictureAxis
    cols: PictureAxis
    tiles: dict[TilePosition, Tile]

    @property
    def shape(self) -> tuple[int, int]:
        """Return tile rows, tile columns."""
        return len(self.rows.starts), len(self.cols.starts)

    def spread(self, rows: int, cols: int) -> Floor:
        """Return the floor with gaps between tiles, in cells."""
        return Floor(self.rows.spread(rows), self.cols.spread(cols), self.tiles)


def floor_of(netlist: Netlist, matrix: Matrix) -> Floor:
    """Lay out a matrix [inputs, outputs] as its grid of tiles."""
    tiles = _places(matrix.tiles)
    grid = TileGrid(matrix.inputs, matrix.outputs, netlist.crossbar, netlist.tiling)
    rows = {place: (place[0], tile.inputs) for place, tile in tiles.items()}
    cols = {place: (place[1], tile.outputs) for place, tile in tiles.items()}
    return Floor(_axis(rows.values(), grid.row_edges), _axis(cols.values(), grid.col_edges), tiles)


def _places(tiles: Sequence[Tile]) -> dict[TilePosition, Tile]:
    """Return the tiles by position; names other than `matrix/ROW_COLUMN` are placed along the diagonal."""
    try:
        return {_place(tile.name): tile for tile in tiles}
    except ValueError:
        return {(i, i): tile for i, tile in enumerate(tiles)}


def _place(name: str) -> TilePosition:
    row, col = name.rpartition("/")[2].split("_")
    return int(row), int(col)


def _axis(bands: Iterable[tuple[int, Indices]], edges: Sequence[int]) -> PictureAxis:
    """Return bands at the edges of the grid if every tile keeps to them, else bands that the pins of the tiles make."""
    pins = list(bands)
    length = edges[-1]
    kept = all(b + 1 < len(edges) and edges[b] <= p.min() and p.max() < edges[b + 1] for b, p in pins)
    return (
        PictureAxis(tuple(edges[:-1]), tuple(edges[1:]), np.arange(length)) if kept else _axis_from_pins(pins, length)
    )


def _axis_from_pins(pins: Sequence[tuple[int, Indices]], length: int) -> PictureAxis:
    """Return bands by the pins of the tiles; an index without a tile follows the index before it."""
    band = np.full(length, -1, np.int64)
    for number, indices in pins:
        band[indices] = number
    live = np.flatnonzero(band >= 0)
    leader = live[np.maximum(np.searchsorted(live, np.arange(length), side="right") - 1, 0)]
    band = band[leader]
    spot = np.empty(length, np.int64)
    spot[np.argsort(band, kind="stable")] = np.arange(length)
    starts = np.searchsorted(np.sort(band), np.arange(int(band.max()) + 1), side="left").tolist()
    return PictureAxis(tuple(starts), (*starts[1:], length), spot)


# -- a matrix -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PictureFrame:
    """The largest size of a drawing in CSS pixels, the least size of a side, and the largest size of a cell."""

    width: float = 420.0
    height: float = 300.0
    least: float = 56.0
    zoom: float = 5.0

    def fit(self, inputs: int, outputs: int) -> tuple[float, float]:
        """Return width and height of a matrix, to scale; a thin side is widened until it is visible.

        >>> PictureFrame().fit(600, 300)
        (150.0, 300.0)
        >>> PictureFrame().fit(600, 12)
        (56.0, 300.0)
        """
        scale = min(self.width / max(outputs, 1), self.height / max(inputs, 1), self.zoom)
        wide, high = scale * outputs, scale * inputs
        return max(wide, min(self.least, self.zoom * outputs)), max(high, min(self.least, self.zoom * inputs))


def matrix_picture(netlist: Netlist, matrix: Matrix, frame: PictureFrame, detail: bool = True) -> str:
    """Return a matrix as its grid of tiles; without `detail`, one pixel a tile."""
    floor = floor_of(netlist, matrix)
    wide, high = frame.fit(matrix.inputs, matrix.outputs)
    if matrix.cells == matrix.inputs * matrix.outputs:
        body = _dense(floor, _gap(floor, wide, high))
    elif detail:
        gap = _gap(floor, wide, high)
        floor = floor.spread(ceil(gap * matrix.inputs / high), ceil(gap * matrix.outputs / wide))
        body = _in_detail(floor)
    else:
        body = _in_short(floor)
    return _canvas(floor, wide, high, len(matrix.tiles), body)


def _canvas(floor: Floor, wide: float, high: float, tiles: int, body: str) -> str:
    down, across = floor.shape
    return (
        f'<svg class="matrix" role="img" aria-label="{tiles} of {down * across} tiles built" '
        f'width="{wide:.0f}" height="{high:.0f}" viewBox="0 0 {floor.cols.length} {floor.rows.length}" '
        f'preserveAspectRatio="none">{body}</svg>'
    )


def _gap(floor: Floor, wide: float, high: float) -> float:
    """Return the pixels between tiles, in proportion to a tile."""
    down, across = floor.shape
    return min(0.12 * high / max(down, 1), 0.12 * wide / max(across, 1), 4)


def _dense(floor: Floor, gap: float) -> str:
    """Return a full matrix, with the lines between tiles where there is room for them."""
    whole = _rect(0, 0, floor.cols.length, floor.rows.length)
    down = "".join(f"M0 {y}H{floor.cols.length}" for y in floor.rows.starts[1:])
    across = "".join(f"M{x} 0V{floor.rows.length}" for x in floor.cols.starts[1:])
    lines = f'<path class="seam" stroke-width="{gap:.1f}" d="{down}{across}"/>' if gap > 0.25 else ""
    return f'<path class="live" d="{whole}"/>{lines if down or across else ""}'


def _in_detail(floor: Floor) -> str:
    places = list(np.ndindex(floor.shape))
    gone = "".join(_rect(*_box(floor, place)) for place in places if place not in floor.tiles)
    built = "".join(_rect(*_box(floor, place)) for place in floor.tiles)
    dead = "".join(_dead_groups(floor, place) for place in floor.tiles)
    shapes = (("gone", gone), ("live", built), ("dead", dead))
    names = "".join(_tooltip(floor, place) for place in floor.tiles)
    return "".join(f'<path class="{kind}" d="{path}"/>' for kind, path in shapes if path) + names


def _box(floor: Floor, place: TilePosition) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the tile at `place`, in cells."""
    (i, j), rows, cols = place, floor.rows, floor.cols
    return cols.starts[j], rows.starts[i], cols.stops[j] - cols.starts[j], rows.stops[i] - rows.starts[i]


def _rect(x: int, y: int, width: int, height: int) -> str:
    return f"M{x} {y}h{width}v{height}h{-width}z"


def _dead_groups(floor: Floor, place: TilePosition) -> str:
    """Return the rows and columns of a tile that have no wire."""
    x, y, width, height = _box(floor, place)
    tile = floor.tiles[place]
    rows = (_rect(x, a, width, b - a) for a, b in gaps(floor.rows.spot[tile.inputs], y, y + height))
    cols = (_rect(a, y, b - a, height) for a, b in gaps(floor.cols.spot[tile.outputs], x, x + width))
    return "".join((*rows, *cols))


def gaps(taken: Indices, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the half-open runs of [start, stop) that are not taken.

    >>> list(gaps(np.array([2, 3, 6]), 0, 8))
    [(0, 2), (4, 6), (7, 8)]
    """
    fences = [start - 1, *sorted(taken.tolist()), stop]
    return ((a + 1, b) for a, b in pairwise(fences) if b > a + 1)


def _tooltip(floor: Floor, place: TilePosition) -> str:
    x, y, width, height = _box(floor, place)
    tile = floor.tiles[place]
    pins = f"{len(tile.inputs)} of {height} rows, {len(tile.outputs)} of {width} columns"
    words = f"tile {place[0]}, {place[1]}: {pins}"
    return f'<path class="tile" d="{_rect(x, y, width, height)}"><title>{words}</title></path>'


def _in_short(floor: Floor) -> str:
    levels = np.zeros(floor.shape)
    for place, tile in floor.tiles.items():
        _, _, width, height = _box(floor, place)
        levels[place] = tile.cells / (width * height)
    whole = _rect(0, 0, floor.cols.length, floor.rows.length)
    picture = heat(shrink(levels, 256), floor.cols.length, floor.rows.length)
    return f'<path class="gone" d="{whole}"/>{picture}'


def shrink(levels: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the levels averaged over blocks, so that neither side is longer than `side`."""
    down, across = (-(-n // side) for n in levels.shape)
    padded = np.pad(levels, [(0, -levels.shape[0] % down), (0, -levels.shape[1] % across)], mode="edge")
    blocks = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across)
    mean: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return mean


def heat(levels: NDArray[np.float64], width: float, height: float) -> str:
    """Return levels from 0 to 1 as a picture of `width` by `height`, one pixel each."""
    data = b64encode(alpha_png(levels)).decode()
    return (
        f'<image class="heat" width="{width}" height="{height}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>'
    )


_COLOUR_STEPS = 12
_INK = bytes((42, 120, 214))  # `--live` of report.css; visible on white and on black


def alpha_png(levels: NDArray[np.float64]) -> bytes:
    """Return a palette PNG of `levels` [height, width] in 0 to 1: one colour, from transparent to opaque."""
    height, width = levels.shape
    pixels = np.ceil(np.clip(levels, 0, 1) * (_COLOUR_STEPS - 1)).astype(np.uint8)
    lines = np.zeros((height, width + 1), np.uint8)  # each line starts with its filter: none
    lines[:, 1:] = pixels
    alpha = bytes(255 * step // (_COLOUR_STEPS - 1) for step in range(_COLOUR_STEPS))
    header = pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", _INK * _COLOUR_STEPS),
        (b"tRNS", alpha),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))


def parts_picture(matrices: Sequence[Matrix], across: int = 48, pixel: int = 9) -> str:
    """Return the parts of one layer (a grouped convolution) as squares, each shaded by its live share."""
    live = [m.cells / max(m.inputs * m.outputs, 1) for m in matrices]
    across = min(across, len(live))
    down = -(-len(live) // across)
    levels = np.zeros(down * across)
    levels[: len(live)] = live
    empty = _rect(0, 0, across, down - 1) + _rect(0, down - 1, (len(live) - 1) % across + 1, 1)
    return (
        f'<svg class="matrix" role="img" aria-label="{len(live)} parts" width="{pixel * across}" '
        f'height="{pixel * down}" viewBox="0 0 {across} {down}"><path class="gone" d="{empty}"/>'
        f"{heat(levels.reshape(down, across), across, down)}</svg>"
    )
