"""Seconds over cells as a picture, both axes logarithmic: a straight line's slope is the exponent that stands beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, PLOT_W, PLOT_H, LEGEND = 760, 380, 64, 44, 400, 280, 500
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")  # Okabe and Ito
DASHES = ("none", "7 4")  # for a second round of colours
STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#444}"
    ".t{font-size:15px;font-weight:600;fill:#222}.g{stroke:#e4e4e4}polyline{fill:none;stroke-width:2}"
)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """A step: its cells, in millions, and the seconds that they took."""

    name: str
    cells: tuple[float, ...]
    seconds: tuple[float, ...]
    exponent: float

    @classmethod
    def of(cls, row: Row) -> Line:
        cells = tuple(float(number) for number in row["M cells"].split(", "))
        seconds = tuple(row[f"s at size {number}"] for number in range(1, len(cells) + 1))
        return cls(
            row["step"] if row["by"] == "gscompile" else f"{row['step']}, {row['by']}", cells, seconds, row["exponent"]
        )


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from `low` to `high`, drawn from `start` over `length` pixels."""

    low: float
    high: float
    start: float
    length: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, length: float) -> Axis:
        return cls(10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values))), start, length)

    def at(self, value: float) -> float:
        return self.start + self.length * math.log(value / self.low) / math.log(self.high / self.low)

    @property
    def marks(self) -> list[float]:
        return [self.low * 10**n for n in range(round(math.log10(self.high / self.low)) + 1)]


def scaling_svg(rows: Sequence[Row]) -> str:
    """A panel for decompositions, by what they are measured against, and one for all other steps."""
    lines = [Line.of(row) for row in rows]
    decomposed = [line for line in lines if line.name.startswith("decomposition")]
    panels = {"Decomposition": decomposed, "All else": [line for line in lines if line not in decomposed]}
    drawn = [
        f'<g transform="translate(0 {n * HEIGHT})">\n{_panel(*p)}</g>\n' for n, p in enumerate(panels.items()) if p[1]
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(drawn)}" role="img">'
        f'<title>Seconds over cells</title><style>{STYLE}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{''.join(drawn)}</svg>\n"
    )


def _panel(title: str, lines: Sequence[Line]) -> str:
    x = Axis.around([c for line in lines for c in line.cells], LEFT, PLOT_W)
    y = Axis.around([s for line in lines for s in line.seconds], TOP + PLOT_H, -PLOT_H)
    parts = [f'<text x="{LEFT}" y="24" class="t">{title}: seconds over million cells, and the exponent</text>']
    return "".join(f"{part}\n" for part in [*parts, *_grid(x, y), *_curves(x, y, lines)])


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    for mark in x.marks:
        at = f"{x.at(mark):.1f}"
        yield f'<path d="M{at} {TOP}v{PLOT_H}" class="g"/>'
        yield f'<text x="{at}" y="{TOP + PLOT_H + 18}" text-anchor="middle">{mark:g} M</text>'
    for mark in y.marks:
        at = f"{y.at(mark):.1f}"
        yield f'<path d="M{LEFT} {at}h{PLOT_W}" class="g"/>'
        yield f'<text x="{LEFT - 8}" y="{y.at(mark) + 4:.1f}" text-anchor="end">{mark:g} s</text>'


def _curves(x: Axis, y: Axis, lines: Sequence[Line]) -> Iterator[str]:
    """The legend stands in the order in which the lines end."""
    for number, line in enumerate(sorted(lines, key=lambda line: -line.seconds[-1])):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
        stroke = f'stroke="{colour}" stroke-dasharray="{dash}"'
        points = " ".join(f"{x.at(c):.1f},{y.at(s):.1f}" for c, s in zip(line.cells, line.seconds, strict=True))
        at = TOP + 12 + 20 * number
        yield f'<polyline points="{points}" {stroke}/>'
        yield f'<polyline points="{LEGEND},{at - 4} {LEGEND + 24},{at - 4}" {stroke}/>'
        yield f'<text x="{LEGEND + 32}" y="{at}">{escape(line.name)}: {line.exponent:.2f}</text>'
