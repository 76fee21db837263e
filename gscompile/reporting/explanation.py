"""The explanation of a compilation: what each step did to each matrix, and why the step stopped there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from io import StringIO
from itertools import pairwise
from typing import Any

from gscompile.compression.steps import FOLD, Factor, State, states_after
from gscompile.crossbars.crossbar import Crossbar, TileGrid, Tiling
from gscompile.crossbars.mapping import Footprint
from gscompile.errors import UsageError
from gscompile.printable import printable
from gscompile.reporting.names import TABLE_NAME, shortened
from gscompile.reporting.report import CompileReport, arrow, percent, ratio

MAX_NOTES = 8  # graph rewrites that the text lists
MAX_NAMES = 5  # matrices that an error message lists


@dataclass(frozen=True)
class MatrixState:
    """One matrix of the original network at one point of the compilation, or the factors that replaced it.

    `shapes` are [parts, inputs, outputs] of each factor; there are several parts in a grouped convolution. `rank` is
    the smallest side. `wires` are live groups, the rows and columns of tiles that hold a weight; `deleted_groups` are
    the others of these shapes.
    """

    shapes: tuple[tuple[int, int, int], ...]
    rank: int
    deleted_groups: int
    tiles: int
    cells: int
    wires: int


@dataclass(frozen=True)
class MatrixChange:
    """A matrix before and after a step, and how many channels or neurons the step removed from its outputs.

    `matrix` is the name of its layer in the original network.
    """

    matrix: str
    before: MatrixState
    after: MatrixState
    units_removed: int


@dataclass(frozen=True)
class ExplainedStep:
    """One step: its changes, the totals of the network before and after it, the loss so far, and why it stopped.

    `score_before` and `score` are validation scores in percent; `error_before` and `error` are output errors relative
    to the output range. `notes` are the graph rewrites of a fold. Every matrix is in `changes` of the first step.
    """

    name: str
    changes: tuple[MatrixChange, ...]
    unchanged: int
    before: Footprint
    after: Footprint
    score_before: float | None
    score: float | None
    error_before: float | None
    error: float | None
    stopped: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """All steps of the compilation of `model`; `budget` says in words what could be lost, `metric` names the score."""

    model: str
    crossbar: str
    tiling: str
    metric: str
    budget: str
    steps: tuple[ExplainedStep, ...]
    messages: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the fields in the order above."""
        return asdict(self)


# -- from the report ----------------------------------------------------------------------------------------


def explain_report(report: CompileReport, matrix: str | None = None) -> Explanation:
    """Return the steps that a report records, of one matrix if `matrix` names one.

    `matrix` is a layer of the original network or a matrix of the compressed one. Raises UsageError for another name.
    """
    size = Crossbar.parse(report.crossbar)
    only = None if matrix is None else _layer_of(matrix, report)
    states: list[State] = [{}, *states_after(report.steps)]
    steps = tuple(
        _explained(number, before, after, report, only, size) for number, (before, after) in enumerate(pairwise(states))
    )
    metric = report.accuracy[0].metric if report.accuracy else "accuracy"
    return Explanation(report.model, report.crossbar, report.tiling, metric, _budget(report), steps, report.messages)


def _layer_of(name: str, report: CompileReport) -> str:
    """Return the layer of the original network that a name means."""
    known = {figures.layer: figures.origin for figures in report.matrices}
    known |= {figures.name: figures.origin for figures in report.matrices} | {
        row.name: row.name for row in report.layers
    }
    if name not in known:
        raise UsageError(f"matrix {name!r} is unknown; expected {_names(name, known)}")
    return known[name]


def _names(name: str, known: Iterable[str]) -> str:
    """Return the known names in words, those most like `name` first."""
    names = [*known]
    listed = get_close_matches(name, names, MAX_NAMES, cutoff=0.0)
    more = f" or {len(names) - len(listed)} more" if len(names) > len(listed) else ""
    return f"{', '.join(listed)}{more}" if names else "none: the network has no matrices"


def _explained(
    number: int, before: State, after: State, report: CompileReport, only: str | None, size: Crossbar
) -> ExplainedStep:
    step, last = report.steps[number], report.steps[max(number - 1, 0)]

    def state(factors: Sequence[Factor]) -> MatrixState:
        return _state(factors, size, report)

    def change(name: str) -> MatrixChange:
        old, new = before.get(name, ()), after.get(name, ())
        return MatrixChange(name, state(old), state(new), max(0, _units(old) - _units(new)))

    changes = tuple(change(each.layer) for each in step.layers if only in (None, each.layer))
    rewrites = tuple(each.before for each in report.changes if (step.name, each.layer) == (FOLD, "graph"))
    unchanged = len(after.keys() & ({only} if only else after.keys())) - len(changes)
    return ExplainedStep(
        step.name,
        changes,
        max(unchanged, 0),
        _total(before),
        _total(after),
        last.score,
        step.score,
        last.error,
        step.error,
        step.stopped,
        rewrites,
    )


def _state(factors: Sequence[Factor], size: Crossbar, report: CompileReport) -> MatrixState:
    shapes = tuple((f.parts, f.inputs, f.outputs) for f in factors)
    tiling: Tiling = "equal" if report.tiling == "equal" else "full"
    dense = sum(f.parts * TileGrid(f.inputs, f.outputs, size, tiling).wires for f in factors)
    tiles, cells, wires = (sum(getattr(f, what) for f in factors) for what in ("tiles", "cells", "wires"))
    rank = min((side for f in factors for side in (f.inputs, f.outputs)), default=0)
    return MatrixState(shapes, rank, dense - wires, tiles, cells, wires)


def _units(factors: Sequence[Factor]) -> int:
    """Return the number of outputs of the last factor, in all its parts: channels or neurons."""
    return factors[-1].parts * factors[-1].outputs if factors else 0


def _total(state: State) -> Footprint:
    factors = [factor for each in state.values() for factor in each]
    return Footprint(*(sum(getattr(factor, what) for factor in factors) for what in ("cells", "tiles", "wires")))


def _budget(report: CompileReport) -> str:
    """Return in words what the network could lose."""
    options = report.options
    if options.get("data") is None:
        return f"output error at most {options.get('max_error')} of the range (--max-error)"
    sizes = [what for what in ("cells", "tiles", "wires") if options.get(f"max_{what}") is not None]
    parts = [f"at most {options[f'max_{what}']} {what} (--max-{what})" for what in sizes]
    if isinstance(drop := options.get("max_drop"), int | float):
        parts = [f"score at most {drop:.2f} points below the original (--max-drop)", *parts]
    return ", ".join(parts) or "any loss is allowed"


# -- text ---------------------------------------------------------------------------------------------------


def explanation_text(explanation: Explanation) -> str:
    """Return the explanation for a terminal: one block for each step, one line for each matrix that it changed."""
    blocks = [
        [
            printable(
                f"{explanation.model} on {explanation.crossbar}, {explanation.tiling} tiling; {explanation.budget}"
            )
        ],
        *([*_block(number, step, explanation.metric)] for number, step in enumerate(explanation.steps)),
        [f"note: {printable(message)}" for message in explanation.messages],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _block(number: int, step: ExplainedStep, metric: str) -> Iterator[str]:
    yield f"{number} {printable(step.name)}: {', '.join([*_totals(step, number == 0), *_loss(step, metric)])}"
    if number == 0:
        yield from _rows([_input_row(change) for change in step.changes], _STEP_HEADS[0])
    elif step.changes:
        yield from _rows([_row(change) for change in step.changes], _STEP_HEADS[1])
    for note in step.notes[:MAX_NOTES]:
        yield f"  {printable(note)}"
    if len(step.notes) > MAX_NOTES:
        yield f"  and {len(step.notes) - MAX_NOTES:,} more graph rewrites"
    if number and step.unchanged:
        yield f"  unchanged: {step.unchanged:,} {'matrix' if step.unchanged == 1 else 'matrices'}"
    if step.stopped:
        yield f"  stopped: {printable(step.stopped)}"


def _totals(step: ExplainedStep, is_first: bool) -> Iterator[str]:
    """Yield the totals of the whole network."""
    before, after = step.before, step.after
    if is_first:
        yield f"{after.cells:,} cells, {after.tiles:,} tiles, {after.wires:,} wires"
    elif before == after:
        yield "no matrix changed"
    else:
        yield f"cells {arrow(before.cells, after.cells)} ({percent(ratio(after.cells, before.cells))})"
        yield f"tiles {arrow(before.tiles, after.tiles)}"
        yield f"wires {arrow(before.wires, after.wires)}"


def _loss(step: ExplainedStep, metric: str) -> Iterator[str]:
    """Yield the score or the output error, with its change in this step."""
    if step.score is not None and step.score_before is not None:
        spent = step.score_before - step.score
        yield f"{printable(metric)} {step.score:.2f} %" + (f" ({-spent:+.2f} points)" if abs(spent) >= 0.005 else "")
    if step.error is not None and step.error_before is not None:
        spent = step.error - step.error_before
        yield f"output error {step.error:.3g}" + (f" ({spent:+.3g})" if spent else "")


_STEP_HEADS = (
    ("matrix", "inputs x outputs", "rank", "groups deleted", "cells", "tiles", "wires"),
    ("matrix", "inputs x outputs", "rank", "units removed", "groups deleted", "cells", "tiles", "wires"),
)


def _input_row(change: MatrixChange) -> tuple[str, ...]:
    now = change.after
    figures = (now.rank, now.deleted_groups, now.cells, now.tiles, now.wires)
    return (change.matrix, _shape(now), *(f"{figure:,}" for figure in figures))


def _row(change: MatrixChange) -> tuple[str, ...]:
    before, after = change.before, change.after
    shapes = _shape(before), _shape(after)
    return (
        change.matrix,
        shapes[0] if shapes[0] == shapes[1] else " -> ".join(shapes),
        arrow(before.rank, after.rank),
        f"{change.units_removed:,}",
        arrow(before.deleted_groups, after.deleted_groups),
        *(arrow(getattr(before, what), getattr(after, what)) for what in ("cells", "tiles", "wires")),
    )


def _shape(state: MatrixState) -> str:
    """Return the shapes of the factors, as in `128 x 27, 27 x 128`."""
    words = (
        f"{inputs:,} x {outputs:,}" + (f" ({parts:,} of them)" if parts > 1 else "")
        for parts, inputs, outputs in state.shapes
    )
    return ", ".join(words) or "gone"


def _rows(rows: Sequence[Sequence[str]], head: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table: texts to the left, figures to the right, long names shortened in the middle."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for number, title in enumerate(head):
        table.add_column(title, justify="left" if number < 2 else "right", no_wrap=True)
    names = shortened((printable(row[0]) for row in rows), TABLE_NAME)
    for name, *figures in rows:
        table.add_row(Text(names[printable(name)]), *figures)
    out = StringIO()
    console = Console(file=out, width=1000, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(table)
    yield from (f"  {line.rstrip()}" for line in out.getvalue().splitlines())
