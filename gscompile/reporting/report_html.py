"""The report as one HTML file: no script, nothing loaded from elsewhere, for screens light and dark and for paper.

The page is the template `report.html.j2`, which escapes whatever the network brought along (names above all). Here are
the pictures and figures that it shows. The file stays small for large networks: pictures are drawn tile by tile until
a budget is spent, and long lists are folded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

from markupsafe import Markup

from gscompile.charts import Bar, bar_chart
from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.printable import printable
from gscompile.reporting.grouped import Untouched, unusual, usual
from gscompile.reporting.pictures import PictureFrame, matrix_picture, parts_picture
from gscompile.reporting.report import (
    Chip,
    CompileReport,
    LayerRow,
    MatrixFigures,
    area,
    digits,
    length,
    micro,
    percent,
    ratio,
)
from gscompile.reporting.templates import render

DETAILED_TILES = 1500  # drawn one by one in a netlist, smallest matrices first
DETAILED_MATRICES = 250
MAX_UNFOLDED = 40  # lines of a list, a chart or a gallery before it folds
LISTED = 1000  # rows of a table, folded ones included
PARTS = 6  # matrices of one layer before they become one picture
BEFORE, AFTER = PictureFrame(180, 140, 14, 3), PictureFrame(460, 340, 64, 5)


def html(report: CompileReport, before: Netlist, after: Netlist, floorplans: Markup | None = None) -> str:
    """Return the report page.

    `before` and `after` are the netlists of the original and of the result, `floorplans` is what `floorplan_html` made
    of a placement.
    """
    style = files("gscompile.reporting").joinpath("report.css").read_text("utf-8")
    page = Page(
        Markup(style),
        tuple(_charts(report)),
        tuple(_chip_rows(report.chip)) if report.chip else (),
        floorplans or Markup(),
        tuple(_gallery(report, before, after)),
        unusual(report.untouched),
        tuple(usual(report.untouched)),
    )
    helpers: dict[str, Callable[..., object]] = {"percent": percent, "ratio": ratio, "area": _area, "points": _points}
    return render("gscompile.reporting", "report.html.j2", page=page, report=report, **helpers)


@dataclass(frozen=True)
class Page:
    """Pictures and figures of the page that are not fields of the report."""

    style: Markup
    charts: tuple[tuple[str, Markup], ...]  # title, picture
    chip_rows: tuple[tuple[str, ...], ...]  # name, before, after, after / before
    floorplans: Markup
    gallery: tuple[DrawnLayer, ...]
    unusual: tuple[Untouched, ...]
    usual: tuple[str, ...]
    max_unfolded: int = MAX_UNFOLDED
    max_listed: int = LISTED


# -- charts ----------------------------------------------------------------------------------------------


def _charts(report: CompileReport) -> Iterator[tuple[str, Markup]]:
    for title, what in (("Crossbar area, in cells", "cells"), ("Wires", "wires")):
        bars = [Bar(printable(row.name), getattr(row.before, what), getattr(row.after, what)) for row in report.layers]
        yield title, Markup(bar_chart(title, _shown(bars)))


def _shown(bars: Sequence[Bar]) -> Sequence[Bar]:
    """Return the first bars in network order, and one bar for all the others."""
    if len(bars) <= MAX_UNFOLDED:
        return bars
    rest = bars[MAX_UNFOLDED:]
    others = Bar(f"{len(rest):,} other layers", sum(b.before for b in rest), sum(b.after for b in rest))
    return [*bars[:MAX_UNFOLDED], others]


# -- the chip --------------------------------------------------------------------------------------------


def _chip_rows(chip: Chip) -> Iterator[tuple[str, ...]]:
    """Yield name, figure before, figure after and their ratio; a figure that is 0 on both sides is left out."""
    for name, before, after, unit in _chip_figures(chip):
        if before or after:
            yield name, unit(before), unit(after), percent(ratio(after, before))


def _chip_figures(chip: Chip) -> Iterator[tuple[str, float, float, Callable[[float], str]]]:
    """Yield name, figure before, figure after and the function that writes a figure with its unit."""
    old, new = chip.before, chip.after
    yield "chip area", old.chip_um2, new.chip_um2, _area
    yield "arrays", old.array_um2, new.array_um2, _area
    yield "converters", old.periphery_um2, new.periphery_um2, _area
    yield "digital blocks", old.block_um2, new.block_um2, _area
    yield "wires between arrays", old.interconnect_um2, new.interconnect_um2, _area
    yield "read energy", old.energy_pj, new.energy_pj, lambda pj: f"{digits(pj / 1000)} nJ"
    yield "latency", old.latency_ns, new.latency_ns, lambda ns: f"{digits(ns / 1000)} µs"
    yield "die", old.die_um2 or 0, new.die_um2 or 0, _area
    yield "die in use", old.utilisation or 0, new.utilisation or 0, percent
    yield "wire length", old.wire_um or 0, new.wire_um or 0, _length
    yield "the paper's estimate, wires squared", 1.0, chip.wires_squared, percent
    yield "longest net", old.longest_um or 0, new.longest_um or 0, _length
    yield "fullest channel", old.crowding or 0, new.crowding or 0, percent


def _area(um2: float) -> str:
    return micro(area(um2))


def _length(um: float) -> str:
    return micro(length(um))


def _points(difference: float) -> str:
    """Return a signed difference in percentage points, with a true minus.

    >>> _points(-0.041), _points(0.0)
    ('−0.04 points', '0.00 points')
    """
    text = f"{difference:+.2f}"
    return ("0.00" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")) + " points"


# -- matrices --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Drawing:
    """The picture of a matrix; or one picture for the `parts` matrices of a grouped layer, `built` of which have tiles.

    `figures` are there for a matrix of the result, whose tiles and wires are compared with the dense ones.
    """

    picture: Markup
    matrix: Matrix
    figures: MatrixFigures | None = None
    is_named: bool = False
    parts: int = 0
    built: int = 0


@dataclass(frozen=True, eq=False)
class DrawnLayer:
    """A layer of the original network: its matrices before, and the factors after in the order of their product."""

    row: LayerRow
    before: tuple[Drawing, ...]
    after: tuple[tuple[Drawing, ...], ...]

    @property
    def wires_ratio(self) -> float:
        """Return wires after over wires before."""
        return ratio(self.row.after.wires, self.row.before.wires)


@dataclass(frozen=True, eq=False)
class _Column:
    """The matrices of one netlist by original layer, and those of them that are drawn tile by tile."""

    netlist: Netlist
    by_origin: Mapping[str, Sequence[Matrix]]
    detailed: frozenset[str]

    @classmethod
    def of(cls, netlist: Netlist, origins: Mapping[str, str]) -> _Column:
        """Return the matrices of a netlist by the layer of the original network that `origins` maps them to."""
        found: dict[str, list[Matrix]] = {}
        for matrix in netlist.matrices:
            found.setdefault(origins.get(matrix.layer, matrix.layer), []).append(matrix)
        return cls(netlist, found, frozenset(_detailed(netlist)))

    def picture(self, matrix: Matrix, frame: PictureFrame) -> Markup:
        return Markup(matrix_picture(self.netlist, matrix, frame, matrix.name in self.detailed))


def _detailed(netlist: Netlist) -> Iterator[str]:
    """Yield the smallest matrices, until a budget of tiles is spent; parts of a grouped layer are not drawn singly."""
    left = DETAILED_TILES
    parts = Counter(m.layer for m in netlist.matrices)
    single = [m for m in netlist.matrices if parts[m.layer] <= PARTS]
    for matrix in sorted(single, key=lambda m: len(m.tiles))[:DETAILED_MATRICES]:
        left -= len(matrix.tiles)
        if left < 0:
            return
        yield matrix.name


def _gallery(report: CompileReport, before: Netlist, after: Netlist) -> Iterator[DrawnLayer]:
    old, new = _Column.of(before, {}), _Column.of(after, {m.layer: m.origin for m in report.matrices})
    dense = {m.name: m for m in report.matrices}
    for row in report.layers:
        yield DrawnLayer(row, tuple(_before(row, old)), tuple(_after(row, new, dense)))


def _before(row: LayerRow, side: _Column) -> Iterator[Drawing]:
    matrices = side.by_origin.get(row.name, ())
    if len(matrices) > PARTS:
        yield _in_one(matrices, 24)
    else:
        yield from (Drawing(side.picture(m, BEFORE), m) for m in matrices)


def _after(row: LayerRow, side: _Column, dense: Mapping[str, MatrixFigures]) -> Iterator[tuple[Drawing, ...]]:
    """Yield the factors of the layer; none where nothing is left."""
    matrices = side.by_origin.get(row.name, ())
    if any(m.tiles for m in matrices):
        for _, parts in groupby(matrices, key=lambda m: m.layer):
            yield tuple(_factor([*parts], side, dense, is_named=len(matrices) > 1))


def _factor(
    parts: Sequence[Matrix], side: _Column, dense: Mapping[str, MatrixFigures], is_named: bool
) -> Iterator[Drawing]:
    if len(parts) > PARTS:
        yield _in_one(parts, 48)
    else:
        yield from (Drawing(side.picture(m, AFTER), m, dense[m.name], is_named) for m in parts)


def _in_one(parts: Sequence[Matrix], across: int) -> Drawing:
    """Return one picture of the many matrices of a grouped layer."""
    built = sum(1 for m in parts if m.tiles)
    return Drawing(Markup(parts_picture(parts, across)), parts[0], parts=len(parts), built=built)
