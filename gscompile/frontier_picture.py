"""The frontier as a picture: score over the share of cells and of wires, on logarithmic axes. SVG text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, TOP = 640.0, 380.0, 64.0, 44.0
PLOT_W, PLOT_H = WIDTH - LEFT - 24, HEIGHT - TOP - 56
COLOURS = {"cells": "#0072b2", "wires": "#d55e00"}  # told apart by every eye (Okabe and Ito)
Figures = tuple[int, int, float]  # cells, wires, score in percent


def frontier_svg(name: str, points: Sequence[Figures]) -> str:
    """Two curves over the share of the first point that is left; `points` run from the largest network down."""
    body = "\n".join([*_frame(name, points), *_curves(points)])
    style = "text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:15px;font-weight:600}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img">'
        f"<style>{style}</style>\n<rect width='100%' height='100%' fill='#fff'/>\n{body}\n</svg>\n"
    )


def _range(points: Sequence[Figures]) -> tuple[float, float]:
    scores = [score for *_, score in points] or [0.0, 100.0]
    low, high = math.floor(min(scores) * 2) / 2, math.ceil(max(scores) * 2) / 2
    return low, high if high > low else low + 0.5


def _decades(points: Sequence[Figures]) -> int:
    first = points[0] if points else (1, 1, 0.0)
    least = min((min(c / max(first[0], 1), w / max(first[1], 1)) for c, w, _ in points), default=1.0)
    return max(1, math.ceil(-math.log10(max(least, 1e-6))))


def _x(share: float, decades: int) -> float:
    return LEFT + PLOT_W * (1 + math.log10(max(share, 10.0**-decades)) / decades)


def _y(score: float, low: float, high: float) -> float:
    return TOP + PLOT_H * (high - score) / (high - low)


def _frame(name: str, points: Sequence[Figures]) -> Iterator[str]:
    low, high = _range(points)
    decades = _decades(points)
    yield f'<text class="t" x="{LEFT}" y="24">{escape(name)}: score over what is left</text>'
    for power in range(-decades, 1):
        x = _x(10.0**power, decades)
        yield f'<path d="M{x:.1f} {TOP}V{TOP + PLOT_H}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{TOP + PLOT_H + 18}" text-anchor="middle">{100 * 10.0**power:g} %</text>'
    for step in range(5):
        score = low + (high - low) * step / 4
        y = _y(score, low, high)
        yield f'<path d="M{LEFT} {y:.1f}H{LEFT + PLOT_W}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{score:.2f}</text>'
    yield f'<text x="{LEFT + PLOT_W / 2}" y="{HEIGHT - 10}" text-anchor="middle">share of the original (log)</text>'


def _curves(points: Sequence[Figures]) -> Iterator[str]:
    low, high = _range(points)
    decades = _decades(points)
    for place, (what, colour) in enumerate(COLOURS.items()):
        whole = max(points[0][place], 1) if points else 1
        spots = [(_x(p[place] / whole, decades), _y(p[2], low, high)) for p in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in spots)
        yield f'<text x="{LEFT + PLOT_W - 60}" y="{TOP + 18 + 16 * place}" style="fill:{colour}">{what}</text>'
