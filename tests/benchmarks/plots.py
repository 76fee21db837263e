"""Seconds over cells as a picture, both axes logarithmic: a straight line's slope is the exponent that stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gscompile.charts import Chart, ChartPoint, Curve, chart_svg, decades

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


def scaling_svg(rows: Sequence[Row]) -> str:
    """A panel for decompositions, by what they are measured against, and one for all other steps."""
    lines = [Line.of(row) for row in rows]
    decomposed = [line for line in lines if line.name.startswith("decomposition")]
    panels = {"Decomposition": decomposed, "All else": [line for line in lines if line not in decomposed]}
    return chart_svg([_panel(*panel) for panel in panels.items() if panel[1]], title="Seconds over cells")


def _panel(title: str, lines: Sequence[Line]) -> Chart:
    """The legend stands in the order in which the lines end."""
    lines = sorted(lines, key=lambda line: -line.seconds[-1])
    points = ([ChartPoint(*place) for place in zip(line.cells, line.seconds, strict=True)] for line in lines)
    return Chart(
        f"{title}: seconds over million cells, and the exponent",
        decades((c for line in lines for c in line.cells), "M"),
        decades((s for line in lines for s in line.seconds), "s"),
        tuple(Curve(f"{line.name}: {line.exponent:.2f}", (*found,)) for line, found in zip(lines, points, strict=True)),
        legend="right",
        width=760,
        height=380,
        legend_width=268,
    )
