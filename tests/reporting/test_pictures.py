"""Pictures say what the netlist says: live, deleted, not built."""

from __future__ import annotations

import zlib
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, cut
from gscompile.crossbars.netlist import Matrix, Netlist, Tile
from gscompile.reporting.pictures import (
    PictureFrame,
    alpha_png,
    floor_of,
    gaps,
    matrix_picture,
    parts_picture,
    shrink,
)

FOUR = Crossbar(4, 4)


def matrix_of(name: str, weights: NDArray[np.float64]) -> Matrix:
    inputs, outputs = weights.shape
    return Matrix(name, name, 0, inputs, outputs, "a", "b", tuple(cut(name, weights, MapOptions(FOUR))))


def netlist_of(*weights: NDArray[np.float64]) -> Netlist:
    matrices = tuple(matrix_of(f"m{i}", w) for i, w in enumerate(weights))
    return Netlist("net", FOUR, "full", (), matrices, (), ())


def paths(svg: str) -> dict[str, str]:
    """The path of every class; tooltips left out."""
    shapes = ElementTree.fromstring(svg).iter("path")
    return {p.attrib["class"]: p.attrib["d"] for p in shapes if p.attrib["class"] != "tile"}


def draw(weights: NDArray[np.float64], detail: bool = True) -> str:
    netlist = netlist_of(weights)
    return matrix_picture(netlist, netlist.matrices[0], PictureFrame(8, 8, 1, 1), detail)


def test_a_dense_matrix_is_all_live_with_a_line_between_its_tiles() -> None:
    drawn = paths(draw(np.ones((8, 4))))
    assert drawn == {"live": "M0 0h4v8h-4z", "seam": "M0 4H4"}


def test_a_deleted_row_group_is_drawn_where_it_was() -> None:
    weights = np.ones((4, 8))
    weights[1, :4] = 0  # row 1 of the first of two tiles
    assert paths(draw(weights))["dead"] == "M0 1h4v1h-4z"


def test_a_deleted_column_group_is_drawn_where_it_was() -> None:
    weights = np.ones((8, 4))
    weights[4:, 3] = 0
    assert paths(draw(weights))["dead"] == "M3 5h1v4h-1z"  # below a gap of one cell


def test_a_tile_without_weights_is_not_built() -> None:
    weights = np.ones((8, 8))
    weights[4:, 4:] = 0
    drawn = paths(draw(weights))
    assert drawn["gone"] == "M5 5h4v4h-4z"
    assert drawn["live"].count("M") == 3
    assert 'aria-label="3 of 4 tiles built"' in draw(weights)


def test_a_matrix_of_zeros_is_all_gone() -> None:
    assert paths(draw(np.zeros((4, 4)))) == {"gone": "M0 0h4v4h-4z"}


def test_gaps_shift_what_follows_them() -> None:
    weights = np.ones((8, 4))
    weights[5] = 0
    floor = floor_of(netlist_of(weights), netlist_of(weights).matrices[0]).spread(2, 0)
    assert (floor.rows.starts, floor.rows.stops) == ((0, 6), (4, 10))
    assert floor.rows.spot.tolist() == [0, 1, 2, 3, 6, 7, 8, 9]


def test_rows_left_out_before_cutting_are_drawn_as_deleted() -> None:
    weights = np.ones((9, 4))
    weights[[0, 3, 6, 7, 8]] = 0  # four live rows: one tile in the place of three
    [matrix] = netlist_of(weights).matrices
    assert len(matrix.tiles) == 1
    assert paths(draw(weights))["dead"] == "M0 0h4v1h-4zM0 3h4v1h-4zM0 6h4v3h-4z"


def test_moved_rows_are_drawn_with_their_tile() -> None:
    odd, even = np.array([1, 3]), np.array([0, 2])
    cols = np.arange(2)
    tiles = (Tile("m/0_0", "m", odd, cols, "m/0_0"), Tile("m/1_0", "m", even, cols, "m/1_0"))
    matrix = Matrix("m", "m", 0, 4, 2, "a", "b", tiles)
    floor = floor_of(Netlist("net", Crossbar(2, 2), "full", (), (matrix,), (), ()), matrix)
    assert floor.rows.spot.tolist() == [2, 0, 3, 1]
    assert floor.rows.starts == (0, 2)


def test_gaps_are_what_is_not_taken() -> None:
    assert list(gaps(np.array([], np.int64), 4, 6)) == [(4, 6)]
    assert list(gaps(np.array([4, 5]), 4, 6)) == []


def test_without_detail_a_pixel_stands_for_a_tile() -> None:
    weights = np.ones((8, 8))
    weights[4:, 4:] = 0
    svg = draw(weights, detail=False)
    assert "data:image/png;base64," in svg
    assert "dead" not in paths(svg)


def pixels(png: bytes, height: int, width: int) -> list[list[int]]:
    start = png.index(b"IDAT")
    size = int.from_bytes(png[start - 4 : start], "big")
    lines = np.frombuffer(zlib.decompress(png[start + 4 : start + 4 + size]), np.uint8)
    return [[int(v) for v in line] for line in lines.reshape(height, width + 1)[:, 1:]]


def test_a_png_goes_from_transparent_to_opaque() -> None:
    assert pixels(alpha_png(np.array([[0.0, 1.0], [0.5, 0.001]])), 2, 2) == [[0, 11], [6, 1]]


def test_a_large_map_is_averaged_over_blocks() -> None:
    assert shrink(np.array([[0.0, 1.0, 1.0]]), 2).tolist() == [[0.5, 1.0]]


def test_parts_of_a_grouped_layer_share_one_picture() -> None:
    netlist = netlist_of(*[np.ones((3, 1))] * 5)
    svg = parts_picture(netlist.matrices, across=2)
    assert ElementTree.fromstring(svg).attrib["viewBox"] == "0 0 2 3"
