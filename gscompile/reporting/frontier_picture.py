"""The frontier as a picture: score over the share of the original's cells, wires and tiles that is left. SVG text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gscompile.printable import escape

WIDTH, HEIGHT, LEFT, TOP = 720, 400, 66, 64
PLOT_W, PLOT_H = WIDTH - LEFT - 28, HEIGHT - TOP - 60
COLOURS = {"cells": "#0072b2", "wires": "#d55e00", "tiles": "#009e73"}  # told apart by every eye (Okabe and Ito)
FRONTIER_STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#444}"
    ".t{font-size:15px;font-weight:600;fill:#222}.g{stroke:#e4e4e4}.o{stroke:#888;stroke-dasharray:5 4}"
)


@dataclass(frozen=True)
class Spot:
    """The size of a network, and its score in percent."""

    cells: int
    wires: int
    tiles: int
    score: float


def frontier_svg(title: str, original: Spot, points: Sequence[Spot]) -> str:
    """A curve each for cells, wires and tiles, relative to `original`; `points` run from the largest network down."""
    axes = _CurveAxes.around(original, points)
    body = "\n".join([*_grid(axes), *_original(axes, original), *_curves(axes, original, points), *_legend(title)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title><style>{FRONTIER_STYLE}</style>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{body}\n</svg>\n"
    )


@dataclass(frozen=True)
class _CurveAxes:
    """Shares from `least` to 1 on a logarithmic axis; scores from `low` to `high`, a line every `step`."""

    least: float
    low: float
    high: float
    step: float

    @classmethod
    def around(cls, original: Spot, points: Sequence[Spot]) -> _CurveAxes:
        least = min((s for what in COLOURS for s in _shares(what, original, points) if s > 0), default=1.0)
        scores = [original.score, *(p.score for p in points)]
        step = _round_step((max(scores) - min(scores)) / 4)
        low, high = math.floor(min(scores) / step) * step, math.ceil(max(scores) / step) * step
        return cls(min(_round_down(least), 0.5), low, max(high, low + step), step)

    def x(self, share: float) -> float:
        return LEFT + PLOT_W * (1 - math.log(max(share, self.least)) / math.log(self.least))

    def y(self, score: float) -> float:
        return TOP + PLOT_H * (self.high - score) / (self.high - self.low)


def _round_step(least: float) -> float:
    """The next of 1, 2 and 5 times a power of ten, at least a twentieth.

    >>> _round_step(0.13), _round_step(3.0), _round_step(0.0)
    (0.2, 5.0, 0.05)
    """
    least = max(least, 0.05)
    ten = 10.0 ** math.floor(math.log10(least))
    return next(round(f * ten, 9) for f in (1, 2, 5, 10) if f * ten >= least - 1e-9)


def _round_down(share: float) -> float:
    """The next of 1, 2 and 5 times a power of ten that is not above.

    >>> _round_down(0.07), _round_down(0.02), _round_down(0.0015)
    (0.05, 0.02, 0.001)
    """
    ten = 10.0 ** math.floor(math.log10(share))
    return next(round(f * ten, 12) for f in (5, 2, 1) if f * ten <= share * (1 + 1e-9))


def _shares(what: str, original: Spot, points: Sequence[Spot]) -> list[float]:
    whole: int = max(getattr(original, what), 1)
    return [getattr(p, what) / whole for p in points]


def _grid(axes: _CurveAxes) -> Iterator[str]:
    bottom = TOP + PLOT_H
    for share, label in _marks(axes.least):
        x = axes.x(share)
        yield f'<path class="g" d="M{x:.1f} {TOP}V{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>'
    for number in range(round((axes.high - axes.low) / axes.step) + 1):
        score = axes.low + number * axes.step
        y = axes.y(score)
        yield f'<path class="g" d="M{LEFT} {y:.1f}H{LEFT + PLOT_W}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{score:.{_digits(axes.step)}f} %</text>'
    below = f'x="{LEFT + PLOT_W / 2}" y="{HEIGHT - 12}" text-anchor="middle"'
    yield f"<text {below}>share of the original that is left</text>"


def _marks(least: float) -> Iterator[tuple[float, str]]:
    """Shares with a line: powers of ten, and between them two more where that is few."""
    decades = math.ceil(-math.log10(least) - 1e-9)
    for power in range(-decades, 1):
        for factor in (1, 2, 5) if decades < 3 else (1,):
            share = factor * 10.0**power
            if least <= share * (1 + 1e-9) and share <= 1:
                yield share, f"{100 * share:g} %"


def _digits(step: float) -> int:
    """Decimals that tell steps apart.

    >>> _digits(0.05), _digits(0.2), _digits(5.0)
    (2, 1, 0)
    """
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _original(axes: _CurveAxes, original: Spot) -> Iterator[str]:
    y = axes.y(original.score)
    yield f'<path class="o" d="M{LEFT} {y:.1f}H{LEFT + PLOT_W}"/>'
    yield f'<text x="{LEFT + 6}" y="{y - 6:.1f}">the original: {original.score:.2f} %</text>'


def _curves(axes: _CurveAxes, original: Spot, points: Sequence[Spot]) -> Iterator[str]:
    for what, colour in COLOURS.items():
        shares = _shares(what, original, points)
        spots = [(axes.x(s), axes.y(p.score)) for s, p in zip(shares, points, strict=True)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
        for (x, y), share, p in zip(spots, shares, points, strict=True):
            said = f"{getattr(p, what):,} {what} ({100 * share:.3g} %): {p.score:.2f} %"
            spot = f'cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}" stroke="#fff"'
            yield f"<circle {spot}><title>{said}</title></circle>"


def _legend(title: str) -> Iterator[str]:
    yield f'<text class="t" x="{LEFT}" y="26">{escape(title)}</text>'
    for number, (what, colour) in enumerate(COLOURS.items()):
        x = LEFT + 5 + 70 * number
        yield f'<circle cx="{x}" cy="46" r="4" fill="{colour}"/><text x="{x + 9}" y="50">{what}</text>'
