"""Compare the figures of report.json with those that netlist.json gives: nothing that can be counted is believed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

from gscompile.command_options import DEFAULT_TARGET
from gscompile.compression.steps import INPUT, MAPPING, Factor, State, state_of_matrices, states_after
from gscompile.crossbars.crossbar import TileGrid
from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.errors import VerificationError
from gscompile.files.typed import fields_of
from gscompile.hardware.cost import cost
from gscompile.hardware.target import Target, load_target, shipped_targets
from gscompile.options import Options
from gscompile.reporting.paper import Shape, routing_ratio
from gscompile.reporting.report import (
    Chip,
    ChipFigures,
    CompileReport,
    Figures,
    LayerRow,
    MatrixFigures,
    mean_routing_area,
    ratio,
)

_SAME = 1e-9  # of a number: sums of doubles in another order differ by some 1e-16 of them for each term


def check_report(report: CompileReport, netlist: Netlist) -> str:
    """Return a line that says what agrees.

    Raises VerificationError, naming the field with both values, for the first figure that the netlist contradicts.
    """
    for check in _CHECKS:
        check(report, netlist)
    return f"report.json: figures of {len(report.matrices)} matrices and {len(report.layers)} layers recomputed"


def _check_options(report: CompileReport, _: Netlist) -> None:
    """The options are those of gscompile, of their types; what they did to the network is not in the folder."""
    try:
        fields_of(Options, report.options, "options")
    except ValueError as problem:
        raise VerificationError(f"report.json: {problem}") from problem


def _check_head(report: CompileReport, netlist: Netlist) -> None:
    _same("model", report.model, netlist.name)
    _same("crossbar", report.crossbar, str(netlist.crossbar))
    _same("tiling", report.tiling, netlist.tiling)
    _same("options.crossbar", report.options.get("crossbar"), str(netlist.crossbar))
    _same("options.tiling", report.options.get("tiling"), netlist.tiling)
    _same("options.seed", report.options.get("seed"), report.seed)


def _same(place: str, found: object, wanted: object) -> None:
    if isinstance(wanted, float) and isinstance(found, float) and math.isclose(found, wanted, rel_tol=_SAME):
        return
    if found != wanted or isinstance(found, bool) is not isinstance(wanted, bool):
        raise VerificationError(f"report.json: {place} is {_shown(found)}; expected {_shown(wanted)}")


def _require(place: str, found: object, holds: bool, expected: str) -> None:
    if not holds:
        raise VerificationError(f"report.json: {place} is {_shown(found)}; expected {expected}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-16:]}"


def _same_fields(place: str, found: Any, wanted: Any) -> None:
    for field in fields(wanted):
        _same(f"{place}.{field.name}", getattr(found, field.name), getattr(wanted, field.name))


# -- matrices -----------------------------------------------------------------------------------------------


def _check_matrices(report: CompileReport, netlist: Netlist) -> None:
    """Every matrix of the netlist is in the report, in the order of the layers it comes from."""
    _require(
        "matrices", len(report.matrices), len(report.matrices) == len(netlist.matrices), f"{len(netlist.matrices)}"
    )
    by_name = {matrix.name: matrix for matrix in netlist.matrices}
    for number, figures in enumerate(report.matrices):
        place = f"matrices[{number}]"
        _require(f"{place}.name", figures.name, figures.name in by_name, "the name of a matrix of the netlist, once")
        _check_matrix(place, figures, by_name.pop(figures.name))
    origins: dict[str, str] = {}
    for number, figures in enumerate(report.matrices):
        _same(f"matrices[{number}].origin", figures.origin, origins.setdefault(figures.layer, figures.origin))
    found = [figures.name for figures in report.matrices]
    for number, (name, wanted) in enumerate(zip(found, _in_order(netlist, origins), strict=True)):
        _same(f"matrices[{number}].name", name, wanted)


def _check_matrix(place: str, figures: MatrixFigures, matrix: Matrix) -> None:
    _same(f"{place}.layer", figures.layer, matrix.layer)
    for name, wanted in (
        ("inputs", matrix.inputs),
        ("outputs", matrix.outputs),
        ("tiles", len(matrix.tiles)),
        ("cells", matrix.cells),
        ("wires", matrix.wires),
    ):
        _same(f"{place}.{name}", getattr(figures, name), wanted)


def _in_order(netlist: Netlist, origins: dict[str, str]) -> Iterator[str]:
    """Names of the matrices, those of one original layer together."""
    grouped: dict[str, list[str]] = {}
    for matrix in netlist.matrices:
        grouped.setdefault(origins.get(matrix.layer, matrix.layer), []).append(matrix.name)
    return chain.from_iterable(grouped.values())


# -- layers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FigureFamily:
    """The matrices that one layer of the original network became, in netlist order."""

    figures: list[MatrixFigures]
    matrices: list[Matrix]

    @property
    def first(self) -> MatrixFigures:
        return self.figures[0]

    @property
    def last(self) -> MatrixFigures:
        return self.figures[-1]


def _families(report: CompileReport, netlist: Netlist) -> dict[str, _FigureFamily]:
    by_name = {matrix.name: matrix for matrix in netlist.matrices}
    found: dict[str, _FigureFamily] = {}
    for figures in report.matrices:
        family = found.setdefault(figures.origin, _FigureFamily([], []))
        family.figures.append(figures)
        family.matrices.append(by_name[figures.name])
    return found


def _check_layers(report: CompileReport, netlist: Netlist) -> None:
    families = _families(report, netlist)
    rows = {row.name: row for row in report.layers}
    _require("layers", len(report.layers), len(rows) == len(report.layers), "names that occur once")
    for number, figures in enumerate(report.matrices):
        _require(f"matrices[{number}].origin", figures.origin, figures.origin in rows, "the name of a layer")
    for number, row in enumerate(report.layers):
        place, family = f"layers[{number}]", families.get(row.name, _FigureFamily([], []))
        _check_before(f"{place}.before", row)
        if family.figures:
            _check_dense(place, row, family, netlist)
        _check_row(place, row, family)


def _check_before(place: str, row: LayerRow) -> None:
    """What must be so of any matrices; the original itself is not in the folder."""
    before, rank = row.before, row.rank_before
    _require(f"{place}.cells", before.cells, 0 <= before.cells <= before.dense_cells, f"0 to {before.dense_cells}")
    _require(f"{place}.tiles", before.tiles, 0 <= before.tiles <= before.cells, f"0 to {before.cells}")
    _require(
        f"{place}.arrays", before.arrays, (before.tiles > 0) <= before.arrays <= before.tiles, f"up to {before.tiles}"
    )
    most = before.tiles + before.cells  # a tile of r rows and c columns has r + c wires, r c cells: r + c <= 1 + r c
    _require(f"{place}.wires", before.wires, 2 * before.tiles <= before.wires <= most, f"{2 * before.tiles} to {most}")
    divides = rank >= 0 and (before.dense_cells % rank == 0 if rank else before.dense_cells == 0)
    _require(f"{place[:-7]}.rank_before", rank, divides, f"a side of matrices of {before.dense_cells} dense cells")


def _check_dense(place: str, row: LayerRow, family: _FigureFamily, netlist: Netlist) -> None:
    """Dense figures are those of one shape, which the layer's shape before compression allows."""
    shapes: set[Shape] = set()
    for figures in family.figures:
        possible = {shape for shape in _shapes(figures, family) if _takes(shape, netlist) == _dense(figures)}
        if not possible:
            tiles, cells, wires = _dense(figures)
            words = f"{tiles} dense tiles, {cells} dense cells and {wires} dense wires"
            raise VerificationError(f"report.json: matrix {figures.name!r}: {words} are of no shape it can have had")
        shapes = possible
    if row.before.dense_cells:  # else the layer is none of the original network
        _check_original(place, row, family, shapes)


def _takes(shape: Shape, netlist: Netlist) -> tuple[int, int, int]:
    grid = TileGrid(*shape, netlist.crossbar, netlist.tiling)
    return grid.tiles, grid.cells, grid.wires


def _dense(figures: MatrixFigures) -> tuple[int, int, int]:
    return figures.dense_tiles, figures.dense_cells, figures.dense_wires


def _check_original(place: str, row: LayerRow, family: _FigureFamily, shapes: set[Shape]) -> None:
    """The original matrices have one shape, which the factors tell; `shapes` are those of a layer without factors."""
    first, last = family.first, family.last
    if first.layer != last.layer:
        shapes = {_product(first, last)} if first.outputs and last.inputs else set()
    if shapes:
        cells, found = row.before.dense_cells, {inputs * outputs for inputs, outputs in shapes}
        whole = any(size and cells % size == 0 for size in found)
        _require(f"{place}.before.dense_cells", cells, whole, f"a multiple of {max(found)}")
        ranks = {min(shape) for shape in shapes}
        words = " or ".join(map(str, sorted(ranks)))
        _require(f"{place}.rank_before", row.rank_before, row.rank_before in ranks, words)


def _product(first: MatrixFigures, last: MatrixFigures) -> Shape:
    """Inputs and outputs of the matrix that two factors stand for; the second may have several taps for each rank."""
    taps = max(1, last.inputs // first.outputs)
    return first.dense_cells // first.outputs * taps, last.dense_cells // last.inputs


def _shapes(figures: MatrixFigures, family: _FigureFamily) -> Iterator[Shape]:
    """Inputs and outputs that the matrix may have had: a first factor keeps its outputs, a last one its inputs."""
    inputs, outputs, cells = figures.inputs, figures.outputs, figures.dense_cells
    first, last = figures.layer == family.first.layer, figures.layer == family.last.layer
    yield inputs, outputs
    if first and last:
        yield from ((side, cells // side) for side in _divisors(cells) if side >= inputs and cells // side >= outputs)
    elif first and outputs and cells % outputs == 0 and cells // outputs >= inputs:
        yield cells // outputs, outputs
    elif last and inputs and cells % inputs == 0 and cells // inputs >= outputs:
        yield inputs, cells // inputs


def _divisors(number: int) -> Iterator[int]:
    for small in range(1, math.isqrt(max(number, 0)) + 1):
        if number % small == 0:
            yield from {small, number // small}


def _check_row(place: str, row: LayerRow, family: _FigureFamily) -> None:
    after = Figures.of(family.matrices)
    _same_fields(f"{place}.after", row.after, after)
    sides = [side for matrix in family.matrices for side in (matrix.inputs, matrix.outputs)]
    _same(f"{place}.rank_after", row.rank_after, min(sides, default=0) if after.cells else None)
    _same(f"{place}.area_ratio", row.area_ratio, ratio(after.cells, row.before.cells))
    dense_wires = sum(figures.dense_wires for figures in family.figures)
    _same(f"{place}.routing_ratio", row.routing_ratio, float(routing_ratio(after.wires, dense_wires)))


# -- the whole ----------------------------------------------------------------------------------------------


def _check_totals(report: CompileReport, netlist: Netlist) -> None:
    _same_fields("after", report.after, Figures.of(netlist.matrices))
    _same_fields("before", report.before, sum((row.before for row in report.layers), Figures()))
    _same("routing_area", report.routing_area, mean_routing_area(report.matrices))


def _check_measured(report: CompileReport, _: Netlist) -> None:
    """Figures that need the original or the data cannot be recomputed; they can be impossible."""
    for number, row in enumerate(report.accuracy):
        for name in ("before", "after"):
            value = getattr(row, name)
            _require(f"accuracy[{number}].{name}", value, 0 <= value <= 100, "0 to 100 percent")
        _require(f"accuracy[{number}].samples", row.samples, row.samples > 0, "at least 1")
    _require("drift", report.drift, report.drift is None or report.drift >= 0, "at least 0")
    _check_confirmation(report)
    _require("seconds", report.seconds, report.seconds >= 0, "at least 0")


def _check_confirmation(report: CompileReport) -> None:
    """The error on the samples that confirm is what the report gives as the output error."""
    found = report.confirmation
    if found is None:
        return
    _same("drift", report.drift, found.largest)
    _require(
        "confirmation.percentile_99",
        found.percentile_99,
        0 <= found.percentile_99 <= found.largest,
        f"0 to the largest, {found.largest!r}",
    )
    _require("confirmation.samples", found.samples, found.samples > 0, "at least 1")
    for number, ends in enumerate(found.ranges):
        _require(f"confirmation.ranges[{number}].low", ends.low, ends.low <= ends.high, f"at most {ends.high!r}")


# -- the steps ----------------------------------------------------------------------------------------------


def _check_steps(report: CompileReport, netlist: Netlist) -> None:
    """Check the first step against the layers before compression, the last against the netlist, all for sense."""
    names = [step.name for step in report.steps]
    ends = f"steps from {INPUT!r} to {MAPPING!r}"
    _require("steps", names, len(names) > 1 and (names[0], names[-1]) == (INPUT, MAPPING), ends)
    for number, step in enumerate(report.steps):
        place = f"steps[{number}]"
        _require(f"{place}.score", step.score, step.score is None or 0 <= step.score <= 100, "0 to 100 percent")
        _require(f"{place}.error", step.error, step.error is None or step.error >= 0, "at least 0")
        for index, layer in enumerate(step.layers):
            for part, factor in enumerate(layer.factors):
                _check_factor(f"{place}.layers[{index}].factors[{part}]", factor, netlist)
    first, *_, last = states_after(report.steps)
    _check_input(report, first)
    origins = {figures.layer: figures.origin for figures in report.matrices}
    wanted = state_of_matrices(netlist.matrices, origins)
    for name in dict.fromkeys([*wanted, *last]):
        _same(f"steps: factors of {name!r} at the end", last.get(name, ()), wanted.get(name, ()))


def _check_factor(place: str, factor: Factor, netlist: Netlist) -> None:
    """Check that the figures are possible for matrices of this shape: between a single cell and all of them."""
    for name in ("parts", "inputs", "outputs"):
        _require(f"{place}.{name}", getattr(factor, name), getattr(factor, name) >= 0, "at least 0")
    grid = TileGrid(factor.inputs, factor.outputs, netlist.crossbar, netlist.tiling)
    for name in ("tiles", "cells", "wires"):
        value, most = getattr(factor, name), factor.parts * getattr(grid, name)
        _require(f"{place}.{name}", value, 0 <= value <= most, f"0 to {most}")


def _check_input(report: CompileReport, state: State) -> None:
    """Compare the first step with the figures of every layer before compression."""
    rows = {row.name: row for row in report.layers}
    for name in state:
        _require("steps[0].layers", name, name in rows, "the name of a layer")
    for name, row in rows.items():
        factors = state.get(name, ())
        for what in ("tiles", "cells", "wires"):
            found = sum(getattr(factor, what) for factor in factors)
            _same(f"steps[0]: {what} of {name!r}", found, getattr(row.before, what))
        dense = sum(factor.parts * factor.inputs * factor.outputs for factor in factors)
        _same(f"steps[0]: dense cells of {name!r}", dense, row.before.dense_cells)
        _same(f"steps[0]: rank of {name!r}", _rank(factors), row.rank_before)


def _rank(factors: Sequence[Factor]) -> int:
    return min((side for factor in factors for side in (factor.inputs, factor.outputs)), default=0)


_PLACED = ("die_um2", "utilisation", "wire_um", "longest_um", "crowding")  # what only a placement knows

# -- the chip -----------------------------------------------------------------------------------------------


def _check_chip(report: CompileReport, netlist: Netlist) -> None:
    chip, name = report.chip, report.options.get("target")
    file = isinstance(name, str) and name.endswith(".toml")
    _require("options.target", name, name is None or name in shipped_targets() or file, "a target or a .toml file")
    asked = report.options.get("target") is not None or report.options.get("place") is True
    _require("chip", chip and chip.target, (chip is not None) is asked, "a chip" if asked else "None")
    if chip is None:
        return
    _same("chip.wires_squared", chip.wires_squared, float(ratio(report.after.wires, report.before.wires) ** 2))
    for side, figures in (("before", chip.before), ("after", chip.after)):
        placed = [getattr(figures, name) is not None for name in _PLACED]
        words = f"figures of a placement where chip.engine names one; engine is {chip.engine!r}"
        _require(f"chip.{side}", figures, placed == [chip.engine is not None] * len(_PLACED), words)
        _check_areas(f"chip.{side}", figures)
    _check_target(chip, report, netlist)


def _check_areas(place: str, figures: ChipFigures) -> None:
    for field in fields(figures):
        value = getattr(figures, field.name)
        _require(f"{place}.{field.name}", value, value is None or value >= 0, "at least 0")
    parts = figures.array_um2 + figures.periphery_um2 + figures.block_um2 + figures.interconnect_um2
    _same(f"{place}.chip_um2", figures.chip_um2, float(parts))


def known_target(report: CompileReport, netlist: Netlist) -> Target | None:
    """The target compiled for, with arrays of the netlist's size; None for a file, which is not in the folder."""
    name = report.options.get("target") or DEFAULT_TARGET
    return load_target(str(name)).with_crossbar(netlist.crossbar) if name in shipped_targets() else None


def _check_target(chip: Chip, report: CompileReport, netlist: Netlist) -> None:
    """Areas of arrays, converters and blocks on a target that comes with gscompile."""
    target = known_target(report, netlist)
    if target is None:
        return
    _same("chip.target", chip.target, target.name)
    _same("chip.periphery", chip.periphery, target.periphery is not None)
    total = cost(netlist, target).total
    for name in ("array_um2", "periphery_um2", "block_um2"):
        _same(f"chip.after.{name}", getattr(chip.after, name), float(getattr(total, name)))


_CHECKS = (
    _check_options,
    _check_head,
    _check_matrices,
    _check_layers,
    _check_totals,
    _check_measured,
    _check_steps,
    _check_chip,
)
