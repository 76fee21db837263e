"""The frontier as a picture: score over the share of the original's cells, wires and tiles that is left, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gscompile.charts import Chart, ChartPoint, Curve, chart_svg, round_axis, share_axis

CURVES = ("cells", "wires", "tiles")
MIN_SCORE_STEP = 0.05  # percentage points between two ticks


@dataclass(frozen=True)
class Spot:
    """The size of a network, and its score in percent."""

    cells: int
    wires: int
    tiles: int
    score: float


def frontier_svg(title: str, original: Spot, points: Sequence[Spot]) -> str:
    """Return a chart with curves for cells, wires and tiles relative to `original`; `points` start at the largest."""
    shares = [getattr(p, what) / max(getattr(original, what), 1) for what in CURVES for p in points]
    x = share_axis(min((share for share in shares if share > 0), default=1.0))
    chart = Chart(
        title,
        x,
        round_axis([original.score, *(p.score for p in points)], "%", MIN_SCORE_STEP),
        tuple(_curve(what, original, points, x.low) for what in CURVES),
        "share of the original that is left",
        ((original.score, f"the original: {original.score:.2f} %"),),
        "above",
    )
    return chart_svg([chart], title=title)


def _curve(what: str, original: Spot, points: Sequence[Spot], least: float) -> Curve:
    """Return the curve of one figure; a share of 0 is drawn at the end of the axis."""
    whole = max(getattr(original, what), 1)
    taken = [(getattr(p, what), p.score) for p in points]
    words = (f"{number:,} {what} ({100 * number / whole:.3g} %): {score:.2f} %" for number, score in taken)
    places = ((max(number / whole, least), score) for number, score in taken)
    return Curve(what, tuple(ChartPoint(*place, said) for place, said in zip(places, words, strict=True)))
