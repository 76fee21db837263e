"""The report as one HTML file: no script, nothing loaded from elsewhere, light, dark and paper alike.

Whatever the network brought along (names above all) goes through `words`. The file stays small for large
networks: pictures are drawn tile by tile until a budget is spent, long lists are folded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.printable import escape, printable
from gscompile.reporting.grouped import unusual, usual
from gscompile.reporting.names import PAGE_NAME, short
from gscompile.reporting.pictures import Bar, PictureFrame, bar_chart, matrix_picture, parts_picture
from gscompile.reporting.report import (
    Accuracy,
    Chip,
    CompileReport,
    LayerRow,
    MatrixFigures,
    area,
    arrow,
    digits,
    length,
    micro,
    percent,
    ratio,
)

DETAILED_TILES = 1500  # drawn one by one in a netlist, smallest matrices first
DETAILED_MATRICES = 250
MAX_UNFOLDED = 40  # lines of a list, a chart or a gallery before it folds
LISTED = 1000  # rows of a table, folded ones included
PARTS = 6  # matrices of one layer before they become one picture
BEFORE, AFTER = PictureFrame(180, 140, 14, 3), PictureFrame(460, 340, 64, 5)


def html(report: CompileReport, before: Netlist, after: Netlist, floorplans: str = "") -> str:
    """The report page; `before` and `after` are the netlists of the original and of the result, `floorplans` is
    what `floorplan_html` made of a placement."""
    sections = (
        _head(report),
        _headline(report),
        _messages(report),
        _charts(report),
        _layers(report),
        _chip(report, floorplans),
        _gallery(report, before, after),
        _accuracy(report),
        _changes(report),
        _untouched(report),
        _verification(report),
        _provenance(report),
    )
    body = "\n".join(filter(None, sections))
    style = files("gscompile.reporting").joinpath("report.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{words(report.model)}: gscompile report</title>\n<style>\n{style}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def words(text: object) -> str:
    """Text that is safe in HTML, in an attribute too."""
    return escape(str(text))


def _long_name(name: str) -> str:
    """Return a name that may break after a slash; a very long one is shortened in the middle and whole as a title."""
    shown = printable(name)
    text = words(short(shown, PAGE_NAME)).replace("/", "/<wbr>")
    return text if len(shown) <= PAGE_NAME else f'<span title="{words(name)}">{text}</span>'


def _section(title: str, body: str, hint: str = "") -> str:
    subtitle = f'<p class="hint">{hint}</p>' if hint else ""
    return f"<section><h2>{title}</h2>{subtitle}{body}</section>"


# -- figures ---------------------------------------------------------------------------------------------


def _head(report: CompileReport) -> str:
    return (
        f"<header><h1>{_long_name(report.model)}</h1><p class='lead'>{len(report.layers):,} weighted "
        f"{'layer' if len(report.layers) == 1 else 'layers'} on {_size(report)} crossbars, "
        f"{words(report.tiling)} tiling</p></header>"
    )


def _size(report: CompileReport) -> str:
    return words(report.crossbar).replace("x", "&nbsp;&times;&nbsp;")


def _headline(report: CompileReport) -> str:
    before, after = report.before, report.after
    routing = "" if report.routing_area is None else f"<br>routing area {percent(report.routing_area)}"
    tiles, chip = _pair(f"{before.tiles:,}", f"{after.tiles:,}"), _chip_area(report)
    figures = (
        chip,
        _figure(
            "Crossbar area",
            _big(percent(ratio(after.cells, before.cells))),
            _of(after.cells, before.cells, "cells") + (f"<br>{_tiles_of(report)}" if chip else ""),
        ),
        _figure(
            "Wires",
            _big(percent(ratio(after.wires, before.wires))),
            _of(after.wires, before.wires, "wires") + routing,
        ),
        "" if chip else _figure("Tiles", tiles, f"of at most {_size(report)} cells"),
        _quality(report),
    )
    return f'<div class="figures">{"".join(figures)}</div>'


def _chip_area(report: CompileReport) -> str:
    """The headline where the target says what converters cost: cells alone oversell."""
    chip = report.chip
    if chip is None or not chip.periphery:
        return ""
    before, after = chip.before.chip_um2, chip.after.chip_um2
    return _figure("Chip area", _big(percent(ratio(after, before))), f"{_area(after)} of {_area(before)}")


def _tiles_of(report: CompileReport) -> str:
    return f"in {report.after.tiles:,} of {report.before.tiles:,} tiles of at most {_size(report)}"


def _figure(label: str, big: str, more: str) -> str:
    number = f'<p class="label">{label}</p><p class="big">{big}</p>'
    return f'<div class="figure">{number}<p class="more">{more}</p></div>'


def _of(after: int, before: int, what: str) -> str:
    return f"{after:,} of {before:,} {what}"


def _big(number: str) -> str:
    """The unit smaller than the number."""
    value, _, unit = number.partition(" ")
    return f"{value} <small>{unit}</small>" if unit else value


def _pair(before: str, after: str, unit: str = "") -> str:
    return f"<small>{before} → </small>{after}{f' <small>{unit}</small>' if unit else ''}"


def _quality(report: CompileReport) -> str:
    """Accuracy where it was measured, else how far the outputs moved."""
    if report.accuracy:
        a = report.accuracy[-1]
        big = _pair(f"{a.before:.2f}", f"{a.after:.2f}", "%")
        more = f"{a.samples:,} samples, {words(a.split)}"
        if report.drift is not None:
            more += f";<br>outputs moved by {percent(report.drift)} of their range at most"
        return _figure(words(_capital(a.metric)), big, more)
    if report.drift is not None:
        more = f"at most, {_confirmed(report)};<br>no accuracy was measured"
        return _figure("Output difference", _big(percent(report.drift)), more)
    return _figure("Accuracy", "&ndash;", "not measured")


def _confirmed(report: CompileReport) -> str:
    """The samples that the largest output difference was measured on, where they are synthetic."""
    if (told := report.confirmation) is None:
        return ""
    return f", on {told.samples:,} synthetic samples;<br>{percent(told.percentile_99)} at the 99th percentile"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _messages(report: CompileReport) -> str:
    if not report.messages:
        return ""
    return f'<ul class="messages">{"".join(f"<li>{words(m)}</li>" for m in report.messages)}</ul>'


# -- layers ----------------------------------------------------------------------------------------------


def _charts(report: CompileReport) -> str:
    if not report.layers:
        return ""
    cells = [Bar(printable(row.name), row.before.cells, row.after.cells) for row in report.layers]
    wires = [Bar(printable(row.name), row.before.wires, row.after.wires) for row in report.layers]
    charts = "".join(
        f'<div class="chart"><p>{title}</p>{bar_chart(title, _shown(bars))}</div>'
        for title, bars in (("Crossbar area, in cells", cells), ("Wires", wires))
    )
    legend = _legend(("before", "before"), ("live", "after"))
    return _section("Area and wires, layer by layer", f'{legend}<div class="charts">{charts}</div>')


def _shown(bars: Sequence[Bar]) -> Sequence[Bar]:
    """The first bars in network order, and one for all the others."""
    if len(bars) <= MAX_UNFOLDED:
        return bars
    rest = bars[MAX_UNFOLDED:]
    others = Bar(f"{len(rest):,} other layers", sum(b.before for b in rest), sum(b.after for b in rest))
    return [*bars[:MAX_UNFOLDED], others]


def _legend(*entries: tuple[str, str]) -> str:
    spans = "".join(f'<span style="--swatch:var(--{kind})">{label}</span>' for kind, label in entries)
    return f'<p class="legend">{spans}</p>'


_LAYER_HEAD = ("Layer", "Op", "Rank", "Cells", "Area", "Tiles", "Wires", "Routing")


def _layers(report: CompileReport) -> str:
    if not report.layers:
        return ""
    hint = (
        "Area is cells after over cells before. Routing is the square of the remaining wires over those of "
        "the dense rank-clipped matrices; its total is the mean over matrices that need several crossbars."
    )
    before, after = report.before, report.after
    share = percent(ratio(after.cells, before.cells))
    routing = "" if report.routing_area is None else percent(report.routing_area)
    numbers = (
        _change(before.cells, after.cells),
        share,
        _change(before.tiles, after.tiles),
        _change(before.wires, after.wires),
        routing,
    )
    foot = "<tr><th>all</th><td></td><td></td>" + "".join(map(_num, numbers)) + "</tr>"
    return _section("Layers", _table(_LAYER_HEAD, [_layer_row(row) for row in report.layers], foot, range(2, 8)), hint)


def _layer_row(row: LayerRow) -> str:
    rank = _change(row.rank_before, "gone" if row.rank_after is None else row.rank_after)
    numbers = (
        rank,
        _change(row.before.cells, row.after.cells),
        percent(row.area_ratio),
        _change(row.before.tiles, row.after.tiles),
        _change(row.before.wires, row.after.wires),
        percent(row.routing_ratio),
    )
    return _row(_name(row.name, row.note), _op(row.op), *map(_num, numbers))


def _row(*cells: str) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _name(name: str, note: str = "") -> str:
    more = f'<br><span class="soft">{words(note)}</span>' if note else ""
    return f'<th scope="row">{_long_name(name)}{more}</th>'


def _word(content: str) -> str:
    return f'<td class="wrap">{words(content)}</td>'


def _word_name(name: str) -> str:
    return f'<td class="wrap">{_long_name(name)}</td>'


def _op(name: str) -> str:
    return f"<td>{words(name)}</td>"


def _num(content: str) -> str:
    return f'<td class="num">{content}</td>'


def _change(before: int, after: int | str) -> str:
    """Return the figure before, in a muted color, and the figure after."""
    old, between, new = arrow(before, after).rpartition(" -> ")
    return f"<i>{old} →</i> {new}" if between else new


def _table(head: Sequence[str], rows: Sequence[str], foot: str = "", numbers: Sequence[int] = ()) -> str:
    """A table that folds when it is long; `numbers` are the columns that are set to the right."""
    heads = "".join(
        f'<th class="num">{title}</th>' if i in numbers else f"<th>{title}</th>" for i, title in enumerate(head)
    )
    start = f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>'
    table = f"{start}{''.join(rows[:MAX_UNFOLDED])}</tbody><tfoot>{foot}</tfoot></table></div>"
    if len(rows) <= MAX_UNFOLDED:
        return table
    more = f"<p>report.json has {len(rows) - LISTED:,} more</p>" if len(rows) > LISTED else ""
    rest = f"{start}{''.join(rows[MAX_UNFOLDED:LISTED])}</tbody></table></div>{more}"
    return f"{table}<details><summary>{len(rows) - MAX_UNFOLDED:,} more</summary>{rest}</details>"


# -- the chip --------------------------------------------------------------------------------------------


def _chip(report: CompileReport, floorplans: str) -> str:
    chip = report.chip
    if chip is None:
        return ""
    rows = [_chip_row(*row) for row in _chip_figures(chip)]
    hint = (
        f"On target {words(chip.target)}; every constant is from its description. Energy and latency are of "
        "the reads of one inference, every matrix built once. cost.csv has them layer by layer. "
    )
    if chip.engine:
        hint += f"Placed by {words(chip.engine)}; a wire is as long as half its bounding box's perimeter."
    else:
        hint += "Nothing was placed: wires between the arrays are not counted."
    table = _table(("", "Before", "After", "After / before"), rows, numbers=(1, 2, 3))
    return _section("The chip", table + floorplans, hint)


def _chip_figures(chip: Chip) -> Iterator[tuple[str, float, float, Callable[[float], str]]]:
    """Name, before, after and unit of every figure; what is 0 on both sides is left out."""
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


def _chip_row(name: str, before: float, after: float, unit: Callable[[float], str]) -> str:
    if not before and not after:
        return ""
    numbers = (unit(before), unit(after), percent(ratio(after, before)))
    return _row(f'<th scope="row">{name}</th>', *map(_num, numbers))


# -- matrices --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Column:
    """The matrices of one netlist by original layer, and those of them that are drawn tile by tile."""

    netlist: Netlist
    by_origin: Mapping[str, Sequence[Matrix]]
    detailed: frozenset[str]

    @classmethod
    def of(cls, netlist: Netlist, origins: Mapping[str, str]) -> _Column:
        found: dict[str, list[Matrix]] = {}
        for matrix in netlist.matrices:
            found.setdefault(origins.get(matrix.layer, matrix.layer), []).append(matrix)
        return cls(netlist, found, frozenset(_detailed(netlist)))

    def picture(self, matrix: Matrix, frame: PictureFrame) -> str:
        return matrix_picture(self.netlist, matrix, frame, matrix.name in self.detailed)


def _detailed(netlist: Netlist) -> Iterator[str]:
    """The smallest matrices, until a budget is spent; the parts of a grouped layer are not drawn singly."""
    left = DETAILED_TILES
    parts = Counter(m.layer for m in netlist.matrices)
    single = [m for m in netlist.matrices if parts[m.layer] <= PARTS]
    for matrix in sorted(single, key=lambda m: len(m.tiles))[:DETAILED_MATRICES]:
        left -= len(matrix.tiles)
        if left < 0:
            return
        yield matrix.name


def _gallery(report: CompileReport, before: Netlist, after: Netlist) -> str:
    if not report.layers:
        return ""
    old, new = _Column.of(before, {}), _Column.of(after, {m.layer: m.origin for m in report.matrices})
    dense = {m.name: m for m in report.matrices}
    cards = [_card(row, old, new, dense) for row in report.layers]
    legend = _legend(("live", "weights"), ("dead", "deleted row or column group"), ("gone", "tile not built"))
    hint = (
        "A row is an input, a column an output; gaps part the tiles. Small matrices are enlarged, thin ones "
        "widened. Where there are too many tiles to draw, a square is a tile and its shade the live part."
    )
    return _section("Every matrix as its grid of tiles", legend + _folded(cards, "layers"), hint)


def _folded(items: Sequence[str], what: str) -> str:
    if len(items) <= MAX_UNFOLDED:
        return "".join(items)
    shown, folded = "".join(items[:MAX_UNFOLDED]), "".join(items[MAX_UNFOLDED:])
    return f"{shown}<details><summary>{len(items) - MAX_UNFOLDED:,} more {what}</summary>{folded}</details>"


def _card(row: LayerRow, old: _Column, new: _Column, dense: Mapping[str, MatrixFigures]) -> str:
    before, after = old.by_origin.get(row.name, ()), new.by_origin.get(row.name, ())
    flow = _before(before, old) + '<span class="sign">→</span>' + _after(after, new, dense)
    facts = f"{words(row.op)} · {percent(row.area_ratio)} of the cells · {_wires(row)}"
    head = f"<h3>{_long_name(row.name)}</h3><p>{facts}</p>"
    return f'<div class="layer">{head}<div class="flow">{flow}</div></div>'


def _wires(row: LayerRow) -> str:
    return f"{percent(ratio(row.after.wires, row.before.wires))} of the wires"


def _before(matrices: Sequence[Matrix], side: _Column) -> str:
    if len(matrices) > PARTS:
        return _parts(matrices, 24)
    return "".join(_draw(side.picture(m, BEFORE), f"{_shape(m)}<br>{_count(len(m.tiles), 'tile')}") for m in matrices)


def _after(matrices: Sequence[Matrix], side: _Column, dense: Mapping[str, MatrixFigures]) -> str:
    """The factors of the layer, in the order in which they multiply."""
    if not any(m.tiles for m in matrices):
        return '<span class="nothing">nothing is left</span>'
    if len(matrices) == 1:
        [only] = matrices
        return _draw(side.picture(only, AFTER), f"{_shape(only)}<br>{_remains(dense[only.name])}")
    factors = [list(parts) for _, parts in groupby(matrices, key=lambda m: m.layer)]
    return '<span class="sign">&times;</span>'.join(_factor(parts, side, dense) for parts in factors)


def _factor(parts: Sequence[Matrix], side: _Column, dense: Mapping[str, MatrixFigures]) -> str:
    if len(parts) > PARTS:
        return _parts(parts, 48)
    return "".join(_draw(side.picture(m, AFTER), _caption(m, dense[m.name])) for m in parts)


def _parts(parts: Sequence[Matrix], across: int) -> str:
    """One folded line for the many matrices of a grouped layer."""
    built = sum(1 for m in parts if m.tiles)
    summary = f"{len(parts):,} matrices {_shape(parts[0])}, {built:,} built"
    picture = _draw(parts_picture(parts, across), "a square is a matrix, its shade the part that is live")
    return f"<details><summary>{summary}</summary>{picture}</details>"


def _draw(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _shape(matrix: Matrix) -> str:
    return f"<b>{matrix.inputs:,} &times; {matrix.outputs:,}</b>"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _caption(matrix: Matrix, figures: MatrixFigures) -> str:
    return f"{_shape(matrix)}<br>{_long_name(matrix.name)}<br>{_remains(figures)}"


def _remains(figures: MatrixFigures) -> str:
    """Tiles and wires of a matrix, of those it has when dense."""
    tiles = f"{figures.tiles:,} of {_count(figures.dense_tiles, 'tile')}"
    return f"{tiles}<br>{figures.wires:,} of {_count(figures.dense_wires, 'wire')}"


# -- the small print -------------------------------------------------------------------------------------


def _accuracy(report: CompileReport) -> str:
    if not report.accuracy:
        return ""
    rows = [_accuracy_row(a) for a in report.accuracy]
    head = ("Measured on", "Figure", "Samples", "Before", "After", "Difference")
    return _section("Accuracy", _table(head, rows, numbers=range(2, 6)))


def _accuracy_row(a: Accuracy) -> str:
    numbers = (f"{a.samples:,}", f"{a.before:.2f} %", f"{a.after:.2f} %", _points(a.after - a.before))
    return _row(_name(a.split), _word(a.metric), *map(_num, numbers))


def _points(difference: float) -> str:
    """A signed difference in percentage points, with a true minus.

    >>> _points(-0.041), _points(0.0)
    ('&minus;0.04 points', '0.00 points')
    """
    text = f"{difference:+.2f}"
    return ("0.00" if float(text) == 0 else text.replace("-", "&minus;")) + " points"


def _changes(report: CompileReport) -> str:
    if not report.changes:
        return ""
    rows = [_row(_name(c.layer), _word(c.what), _word(c.before), _word(c.after)) for c in report.changes]
    return _section("What was done", _table(("Layer", "Step", "Before", "After"), rows))


def _untouched(report: CompileReport) -> str:
    if not report.untouched:
        return ""
    rows = [
        _row(_name(u.node), _op(u.op), _word_name(u.tensor), _num(f"{u.elements:,}"), _word(u.why))
        for u in unusual(report.untouched)
    ]
    hint = "Constants of 256 elements or more that are as they were; report.json has every one of them."
    table = _table(("Node", "Op", "Constant", "Elements", "Why"), rows, numbers=(3,)) if rows else ""
    lines = "".join(f"<li>{words(line)}</li>" for line in usual(report.untouched))
    return _section("Not compressed", table + (f"<ul>{lines}</ul>" if lines else ""), hint)


def _verification(report: CompileReport) -> str:
    if not report.verification:
        return ""
    checks = "".join(f"<li>{words(line)}</li>" for line in report.verification)
    return _section("Verified, from the written files", f'<ul class="checks">{checks}</ul>')


def _provenance(report: CompileReport) -> str:
    facts: list[tuple[object, str]] = [
        ("seed", words(report.seed)),
        ("time", f"{report.seconds:,.1f} s"),
        ("versions", words(_listed(report.versions.items()))),
        *((key, words(value)) for key, value in report.options.items()),
    ]
    hashes = "".join(f'<dt>{words(name)}</dt><dd class="mono">{words(h)}</dd>' for name, h in report.files.items())
    body = "".join(f"<dt>{words(name)}</dt><dd>{value}</dd>" for name, value in facts)
    files_part = f"<h3>sha256</h3><dl class='facts'>{hashes}</dl>" if hashes else ""
    return _section("How to get this again", f'<dl class="facts">{body}</dl><br>{files_part}')


def _listed(items: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in items)
