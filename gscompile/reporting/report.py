"""The report of a compilation: `CompileReport`, its JSON form and the text for a terminal.

Cells are crossbar cells, wires are pins of tiles. *Dense* figures are those of a matrix whose cells all hold a weight.
The HTML view is `report_html.py`.

Cells are crossbar cells, wires are pins of tiles. *Dense* figures are those a matrix would have if every cell
held a weight. The HTML view is `report_html.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gscompile.compression.passes import Change
from gscompile.compression.steps import CompileStep
from gscompile.crossbars.crossbar import TileGrid
from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.files.typed import typed
from gscompile.printable import printable
from gscompile.reporting.grouped import MAX_TERMINAL_LINES, Untouched, by_reason, unusual, usual
from gscompile.reporting.names import TABLE_NAME, short, shortened
from gscompile.reporting.paper import Shape, routing_area, routing_ratio

# -- the data -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Tiles, built cells and wires of some matrices, their cells if they were dense, and the arrays that hold them.

    There are fewer arrays than tiles where small tiles share an array.
    """

    tiles: int = 0
    cells: int = 0
    wires: int = 0
    dense_cells: int = 0
    arrays: int = 0

    @classmethod
    def of(cls, matrices: Iterable[Matrix]) -> Figures:
        """Return the figures of the matrices: `Figures.of(netlist.matrices)` are those of the whole netlist."""
        matrices = list(matrices)
        total = sum((cls(len(m.tiles), m.cells, m.wires, m.inputs * m.outputs) for m in matrices), cls())
        return replace(total, arrays=len({tile.array for m in matrices for tile in m.tiles}))

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.tiles + other.tiles,
            self.cells + other.cells,
            self.wires + other.wires,
            self.dense_cells + other.dense_cells,
            self.arrays + other.arrays,
        )


@dataclass(frozen=True)
class MatrixFigures:
    """One matrix, or one factor of a clipped pair, after mapping.

    `origin` is its layer in the original network. `inputs` and `outputs` are those that compression left; the dense
    figures are of the shape after rank clipping, before any group or unit was deleted.
    """

    name: str
    layer: str
    origin: str
    inputs: int
    outputs: int
    tiles: int
    dense_tiles: int
    cells: int
    dense_cells: int
    wires: int
    dense_wires: int


@dataclass(frozen=True)
class LayerRow:
    """One layer of the original network, before and after. Ratios are fractions, not percent.

    Ranks are those of one part where a layer has several; `rank_after` is None when the layer is gone.
    `area_ratio` is cells after / cells before: k (n + m) / n m for a pair that lost no group. `routing_ratio`
    is (remaining wires / dense wires of the rank-clipped shape) squared. Both as the paper defines them.
    """

    name: str
    op: str
    before: Figures
    after: Figures
    rank_before: int
    rank_after: int | None
    area_ratio: float
    routing_ratio: float
    note: str = ""


@dataclass(frozen=True)
class Accuracy:
    """The value of `metric` in percent before and after, on `samples` of `split`."""

    metric: str
    before: float
    after: float
    split: str
    samples: int


@dataclass(frozen=True)
class ChipFigures:
    """One network on a target: `chip_um2` is arrays, converters, blocks and the wires between them.

    Energy and latency are of the reads of one inference, with every matrix built once. Figures of a placement are None
    without a placement, and `interconnect_um2` is 0. `crowding` is tracks taken over tracks available in the fullest
    channel.
    """

    chip_um2: float
    array_um2: float
    periphery_um2: float
    block_um2: float
    interconnect_um2: float
    energy_pj: float
    latency_ns: float
    die_um2: float | None = None
    utilisation: float | None = None
    wire_um: float | None = None
    longest_um: float | None = None
    crowding: float | None = None


@dataclass(frozen=True)
class Chip:
    """Both networks on the target. Without `periphery` the area is that of cells and wires, and is no headline.

    `engine` is the name of the placement engine, None without a placement. `wires_squared` is the paper's estimate of
    the ratio of routing areas, (wires after / wires before)^2, to compare with the placed wire length.
    """

    target: str
    periphery: bool
    engine: str | None
    wires_squared: float
    before: ChipFigures
    after: ChipFigures


@dataclass(frozen=True)
class OutputRange:
    """The range of an output of the original network on the samples of one kind of `inputs`."""

    output: str
    inputs: str
    low: float
    high: float


@dataclass(frozen=True)
class Confirmation:
    """Errors on samples that did not choose the result, relative to `ranges`: the largest and the 99th percentile."""

    largest: float
    percentile_99: float
    samples: int
    ranges: tuple[OutputRange, ...]


@dataclass(frozen=True)
class CompileReport:
    """The report of one compilation.

    `accuracy` starts with the metric and split that decided, and ends with the test split if there was one. `drift` is
    the largest output error, relative to the output range, where labels do not decide. `routing_area` is the mean
    routing ratio of the matrices that need several crossbars (None without any). `files` maps names to sha256 digests.
    `chip` is there when a target was named or a placement was asked for. `confirmation` describes the samples that
    `drift` was measured on where synthetic samples decide. `steps` are the figures after each step of the compilation.
    """

    model: str
    crossbar: str
    tiling: str
    before: Figures
    after: Figures
    layers: tuple[LayerRow, ...]
    matrices: tuple[MatrixFigures, ...]
    changes: tuple[Change, ...]
    untouched: tuple[Untouched, ...]
    accuracy: tuple[Accuracy, ...]
    drift: float | None
    verification: tuple[str, ...]
    messages: tuple[str, ...]
    routing_area: float | None
    options: dict[str, object]
    seed: int
    versions: dict[str, str]
    files: dict[str, str]
    seconds: float
    chip: Chip | None = None
    confirmation: Confirmation | None = None
    steps: tuple[CompileStep, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the fields in the order above."""
        data: dict[str, Any] = _plain(self)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CompileReport:
        """Return the report that `to_json` made `data` of. Raises ValueError, naming the field, for other data."""
        report: CompileReport = typed(cls, data)
        return report


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


# -- counting -----------------------------------------------------------------------------------------------


def matrix_figures(
    netlist: Netlist, origins: Mapping[str, str], original: Netlist | None = None
) -> tuple[MatrixFigures, ...]:
    """Return the figures of every matrix of `netlist`; `origins` maps layer names to those of the original network.

    With the `original` netlist, dense figures are those of the rank-clipped shape, with the inputs and outputs of the
    original layer even if dead units have been removed since. Without it, they are those of the shape in `netlist`.
    """
    shapes = {m.layer: (m.inputs, m.outputs) for m in original.matrices} if original else {}
    return tuple(
        _figures(m, origin, _clipped_grid(m, factors, shapes.get(origin), netlist))
        for origin, factors in _by_origin(netlist.matrices, origins).items()
        for m in factors
    )


def _clipped_grid(m: Matrix, factors: Sequence[Matrix], original: Shape | None, netlist: Netlist) -> TileGrid:
    """Return the dense grid of a factor: the first has the original inputs, the last the original outputs; ranks stay.

    Of two convolutions along different axes, the first has the original inputs at one of the taps of the second.
    """
    inputs = original[0] // _taps(factors) if original and m.layer == factors[0].layer else m.inputs
    outputs = original[1] if original and m.layer == factors[-1].layer else m.outputs
    return TileGrid(inputs, outputs, netlist.crossbar, netlist.tiling)


def _taps(factors: Sequence[Matrix]) -> int:
    """Return how many inputs the last factor has for every output of the first; 1 for a single factor."""
    return max(1, factors[-1].inputs // factors[0].outputs) if factors[-1].layer != factors[0].layer else 1


def _figures(m: Matrix, origin: str, dense: TileGrid) -> MatrixFigures:
    return MatrixFigures(
        m.name,
        m.layer,
        origin,
        m.inputs,
        m.outputs,
        len(m.tiles),
        dense.tiles,
        m.cells,
        dense.cells,
        m.wires,
        dense.wires,
    )


def layer_rows(
    before: Netlist,
    after: Netlist,
    origins: Mapping[str, str],
    ops: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
) -> tuple[LayerRow, ...]:
    """Return a row for every layer of the original network, in its order; `ops` and `notes` are keyed by layer name."""
    old, new = _by_origin(before.matrices, {}), _by_origin(after.matrices, origins)
    dense: dict[str, int] = {}
    for figures in matrix_figures(after, origins, before):
        dense[figures.origin] = dense.get(figures.origin, 0) + figures.dense_wires
    return tuple(
        _row(name, ops.get(name, ""), (notes or {}).get(name, ""), old.get(name, []), new.get(name, []), dense)
        for name in dict.fromkeys([*old, *new])
    )


def _by_origin(matrices: Iterable[Matrix], origins: Mapping[str, str]) -> dict[str, list[Matrix]]:
    found: dict[str, list[Matrix]] = {}
    for m in matrices:
        found.setdefault(origins.get(m.layer, m.layer), []).append(m)
    return found


def _row(
    name: str,
    op: str,
    note: str,
    old: Sequence[Matrix],
    new: Sequence[Matrix],
    dense_wires: Mapping[str, int],
) -> LayerRow:
    before, after = Figures.of(old), Figures.of(new)
    rank = _rank(new) if after.cells else None
    area, routing = ratio(after.cells, before.cells), routing_ratio(after.wires, dense_wires.get(name, 0))
    return LayerRow(name, op, before, after, _rank(old), rank, area, routing, note)


def _rank(matrices: Sequence[Matrix]) -> int:
    """Return the largest rank that a product of these factors can have: their smallest side."""
    return min((side for m in matrices for side in (m.inputs, m.outputs)), default=0)


def ratio(after: float, before: float) -> float:
    """Return after / before; 1 if both are 0.

    >>> ratio(1, 4), ratio(0, 0)
    (0.25, 1.0)
    """
    return after / before if before else 1.0


def mean_routing_area(matrices: Iterable[MatrixFigures]) -> float | None:
    """Return the paper's routing area: the mean over matrices that need more than one crossbar when dense."""
    return routing_area([(m.wires, m.dense_wires) for m in matrices if m.dense_tiles > 1])


# -- text ---------------------------------------------------------------------------------------------------


def text(report: CompileReport, width: int | None = None) -> str:
    """Return the report for a terminal of `width` columns: a headline, a table of the layers, and notes.

    Long names are shortened in the middle. If `width` is None, as for a file, the table is as wide as it needs to be,
    at least 100 columns, and no sentence is wrapped.
    """
    out = StringIO()
    table = _table(report)
    whole = width is None
    width = width or max(100, Console(width=1000).measure(table).maximum)
    console = Console(file=out, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    for part in (headline(report), table, *_lines(report)):
        console.print(part, soft_wrap=whole and isinstance(part, str))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def headline(report: CompileReport) -> str:
    """Return the result in one line."""
    before, after = report.before, report.after
    parts = [
        *(f"chip {chip_share(chip)}" for chip in [report.chip] if chip and chip.periphery),
        f"cells {_share(after.cells, before.cells)}",
        f"tiles {_number(before.tiles)} -> {_number(after.tiles)}",
        f"wires {_share(after.wires, before.wires)}",
        *(f"{a.metric} {a.before:.2f} -> {a.after:.2f} %" for a in report.accuracy[-1:]),
    ]
    return printable(f"{report.model} on {report.crossbar}: " + ", ".join(parts))


def chip_share(chip: Chip) -> str:
    """Return the chip area after over before, and both areas."""
    before, after = chip.before.chip_um2, chip.after.chip_um2
    return f"{percent(ratio(after, before))} ({_both(before, after, area)})"


def _both(before: float, after: float, unit: Callable[[float], str]) -> str:
    """Return both figures with their unit, or one where they read the same."""
    old, new = unit(before), unit(after)
    return new if old == new else f"{old} -> {new}"


def area(um2: float) -> str:
    """Return an area with three significant digits; in mm2 from 1,000 um2 on.

    >>> area(123456.0), area(61.25)
    ('0.123 mm2', '61.2 um2')
    """
    return f"{digits(um2 / 1e6)} mm2" if um2 >= 1000 else f"{digits(um2)} um2"


def length(um: float) -> str:
    """Return a length with three significant digits, in um or mm.

    >>> length(442000.0), length(87.51)
    ('442 mm', '87.5 um')
    """
    return f"{digits(um / 1000)} mm" if um >= 1000 else f"{digits(um)} um"


def micro(text: str) -> str:
    """Return the text with units in Unicode, for a page.

    >>> micro("61.2 um2"), micro("0.123 mm2"), micro("549 um")
    ('61.2 µm²', '0.123 mm²', '549 µm')
    """
    return text.replace("um", "µm").replace("m2", "m²")


def digits(number: float) -> str:
    """Return a number with three significant digits, and with all digits before the point.

    >>> digits(1012.4), digits(0.09034)
    ('1,012', '0.0903')
    """
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def percent(fraction: float) -> str:
    """Return a fraction in percent with two decimals, as in the paper; without decimals from 100 % on.

    >>> percent(0.1362), percent(0.0378), percent(1.0), percent(0.00001)
    ('13.62 %', '3.78 %', '100 %', '<0.01 %')
    """
    value = 100 * fraction
    if 0 < value < 0.01:
        return "<0.01 %"
    return f"{value:.2f} %" if 0 < value < 99.995 else f"{value:.0f} %"


def _number(value: int) -> str:
    return f"{value:,}"


def _share(after: int, before: int) -> str:
    return f"{percent(ratio(after, before))} ({_number(after)} of {_number(before)})"


def _table(report: CompileReport) -> Table:
    table = Table(box=SIMPLE_HEAD, show_footer=True, pad_edge=False)
    before, after = report.before, report.after
    table.add_column("layer", "all", overflow="fold")
    table.add_column("op")
    for head, foot in (
        ("rank", ""),
        ("cells", f"{_number(before.cells)} -> {_number(after.cells)}"),
        ("area", percent(ratio(after.cells, before.cells))),
        ("tiles", f"{_number(before.tiles)} -> {_number(after.tiles)}"),
        ("wires", f"{_number(before.wires)} -> {_number(after.wires)}"),
        ("routing", "" if report.routing_area is None else percent(report.routing_area)),
    ):
        table.add_column(head, foot, justify="right", no_wrap=True)
    names = shortened((printable(row.name) for row in report.layers), TABLE_NAME)
    for row in report.layers:
        table.add_row(Text(names[printable(row.name)]), Text(printable(row.op)), *_cells(row))
    return table


def _cells(row: LayerRow) -> Iterator[str]:
    yield arrow(row.rank_before, "gone" if row.rank_after is None else row.rank_after)
    yield arrow(row.before.cells, row.after.cells)
    yield percent(row.area_ratio)
    yield arrow(row.before.tiles, row.after.tiles)
    yield arrow(row.before.wires, row.after.wires)
    yield percent(row.routing_ratio)


def arrow(before: int, after: int | str, between: str = " -> ") -> str:
    """Return both numbers, or one number if they are equal.

    >>> arrow(500, 36), arrow(10, 10), arrow(4, "gone")
    ('500 -> 36', '10', '4 -> gone')
    """
    new = after if isinstance(after, str) else _number(after)
    return new if before == after else f"{_number(before)}{between}{new}"


def _lines(report: CompileReport) -> Iterator[str]:
    for a in report.accuracy:
        split = f"{_number(a.samples)} samples, {printable(a.split)}"
        yield f"{a.metric}: {a.before:.2f} -> {a.after:.2f} % on {split}"
    if report.drift is not None:
        yield f"largest output difference: {percent(report.drift)} {_confirmed(report)}"
    if report.chip is not None:
        yield from _chip_lines(report.chip)
    if report.after.arrays < report.after.tiles:
        tiles, arrays = report.after.tiles, report.after.arrays
        yield f"packed: {_number(tiles)} tiles on {_number(arrays)} arrays, {_number(tiles - arrays)} arrays saved"
    if report.untouched:
        yield from _not_compressed(report.untouched)
    yield from (f"note: {printable(message)}" for message in report.messages)


def _confirmed(report: CompileReport) -> str:
    """Return the quantity that a difference is relative to, and the synthetic samples that it was measured on.

    Without a floating-point output, differences are shares of values that changed.
    """
    if (told := report.confirmation) is None:
        return "of the output's range"
    whole = "of the output's range" if told.ranges else "of an output's values"
    samples = f"{_number(told.samples)} other synthetic samples"
    return f"{whole} on {samples}, {percent(told.percentile_99)} at the 99th percentile"


def _not_compressed(rows: Sequence[Untouched]) -> Iterator[str]:
    """Yield the important constants, grouped by reason, and then a line for each usual reason."""
    yield "not compressed (report.json has every constant of 256 elements or more):"
    for why, constants in by_reason(unusual(rows)):
        names = ", ".join(short(printable(row.node), TABLE_NAME) for row in constants[:MAX_TERMINAL_LINES])
        more = (
            f" and {_number(len(constants) - MAX_TERMINAL_LINES)} more" if len(constants) > MAX_TERMINAL_LINES else ""
        )
        yield f"  {names}{more}: {printable(why)}"
    yield from (f"  {line}" for line in usual(rows))


def _chip_lines(chip: Chip) -> Iterator[str]:
    before, after = chip.before, chip.after
    parts = (
        ("arrays", before.array_um2, after.array_um2),
        ("converters", before.periphery_um2, after.periphery_um2),
        ("digital blocks", before.block_um2, after.block_um2),
        ("wires between", before.interconnect_um2, after.interconnect_um2),
    )
    each = ", ".join(f"{name} {_both(old, new, area)}" for name, old, new in parts if old or new)
    unplaced = "" if chip.engine else "; wires between arrays are not in it, --place adds them"
    yield f"chip on {printable(chip.target)}: {chip_share(chip)}: {each}{unplaced}"
    if before.wire_um is not None and after.wire_um is not None:
        share, both = percent(ratio(after.wire_um, before.wire_um)), _both(before.wire_um, after.wire_um, length)
        estimate = percent(chip.wires_squared)
        yield f"placed wire length: {share} ({both}); wires squared, the paper's estimate: {estimate}"
