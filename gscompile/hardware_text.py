"""The text that `gscompile simulate` and `gscompile place` print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from gscompile.placement.place_folder import Placed, PlaceReport
from gscompile.printable import printable
from gscompile.reporting.report import area, length, percent, ratio
from gscompile.simulation.simulate import Figure, SimulationReport

# -- simulate ----------------------------------------------------------------------------------------------


def simulation_text(report: SimulationReport) -> str:
    """Return the agreement with model.onnx, then the accuracy, then a line for each device effect."""
    return "\n".join(_simulation(report)) + "\n"


def _simulation(report: SimulationReport) -> Iterator[str]:
    samples = "1 sample" if report.samples == 1 else f"{report.samples:,} samples"
    yield f"{samples}: {_difference(report)} (at most {report.tolerance:.0e} is allowed)"
    if report.answers_differ:
        yield f"{_answers(report)} (at most {percent(report.answers_tolerance)} is allowed)"
    on_tiles = "1 node runs" if report.nodes_on_tiles == 1 else f"{report.nodes_on_tiles:,} nodes run"
    yield f"{on_tiles} on tiles, {report.nodes_rebuilt:,} in onnxruntime with the tiles' weights"
    if report.model is not None and report.ideal is not None:
        yield f"agreement with {report.reference}: model.onnx {report.model:.2f} %, ideal tiles {report.ideal:.2f} %"
    else:
        yield "no output holds class scores: the effect of the devices is not measured"
    for parameter, figures in groupby(report.figures, key=lambda figure: figure.parameter):
        if parameter == "target":
            yield f"{printable(report.target)}: {_accuracy(next(figures))}"
        else:
            yield f"{parameter}: " + ", ".join(f"{f.value:g}: {_accuracy(f)}" for f in figures)


def disagreement(report: SimulationReport) -> str:
    """Return by how much tiles and model.onnx differ, where that is more than the tolerance."""
    return _answers(report) if report.difference <= report.tolerance else _difference(report)


def _difference(report: SimulationReport) -> str:
    return f"tiles and model.onnx differ by {report.difference:.1e} of the output range"


def _answers(report: SimulationReport) -> str:
    return f"tiles and model.onnx differ in {percent(report.answers_differ)} of integer, boolean and string outputs"


def _accuracy(figure: Figure) -> str:
    chips = len(figure.accuracies)
    return f"{figure.mean:.2f} %" if chips == 1 else f"{figure.mean:.2f} +- {figure.spread:.2f} % ({chips} chips)"


# -- place -------------------------------------------------------------------------------------------------


def place_text(report: PlaceReport) -> str:
    """Return a line for each figure: before, after and their ratio if the original was given."""
    rows = [(name, *cells) for name, *cells in _placement(report)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows)
    return "\n".join([*lines, _engines(report.after)]) + "\n"


def _engines(side: Placed) -> str:
    """Return the tools that placed and routed, and the package to install where a better tool is missing."""
    placed, routed = side.plan.engine, side.crowd.engine
    if placed == "shelves":
        placed += ", in netlist order (coloquinte, from PyPI, shortens the wires)"
    if routed == "rudy":
        routed += " (rustworkx, from PyPI, routes them)"
    return f"placed by {placed}; channels by {routed}"


def _placement(report: PlaceReport) -> Iterator[tuple[str, ...]]:
    sides = list(report.sets.values())
    yield printable(report.target), *report.sets, *(["after / before"] if len(sides) > 1 else [])
    yield _row("chip area", sides, area, lambda p: p.costs.total.chip_um2)
    yield _row("die area", sides, area, lambda p: p.plan.die_um2)
    yield _row("die in use", sides, percent, lambda p: p.plan.utilisation)
    yield _row("wire length", sides, length, lambda p: p.wire_um)
    yield _row("longest net", sides, length, lambda p: p.longest_um)
    yield _row("fullest channel", sides, percent, lambda p: p.crowd.worst)
    yield _row("wires", sides, _whole, lambda p: p.netlist.wires)
    if len(sides) > 1:
        yield "wires squared, the paper's estimate", "", "", percent(_after(sides, lambda p: p.netlist.wires) ** 2)
    if all(side.channel for side in sides):
        yield _row("channel width", sides, _whole, _channel)
    if all(side.channel for side in sides) and len(sides) > 1:
        yield "channel width squared", "", "", percent(_after(sides, _channel) ** 2)


def _row(
    name: str, sides: list[Placed], unit: Callable[[float], str], figure: Callable[[Placed], float]
) -> tuple[str, ...]:
    last = [percent(_after(sides, figure))] if len(sides) > 1 else []
    return name, *(unit(figure(side)) for side in sides), *last


def _after(sides: list[Placed], figure: Callable[[Placed], float]) -> float:
    return ratio(figure(sides[-1]), figure(sides[0]))


def _channel(side: Placed) -> float:
    return side.channel.routed if side.channel else 0


def _whole(number: float) -> str:
    return f"{number:,.0f}"
