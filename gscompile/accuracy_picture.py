"""Accuracy against each device effect: a line of means with bars of one standard deviation, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Protocol

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 240, 52, 42, 30


class Point(Protocol):
    """A figure of a simulation."""

    @property
    def value(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def spread(self) -> float: ...


def accuracy_svg(parameter: str, points: Sequence[Point], ideal: float | None) -> str:
    """The picture of one effect; values stand side by side in their order, `ideal` is a dashed line."""
    return "".join(_lines(parameter, points, ideal))


def _lines(parameter: str, points: Sequence[Point], ideal: float | None) -> Iterator[str]:
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">\n'
    yield "<style>text{font:12px sans-serif}</style>\n"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
    yield f'<text x="{LEFT}" y="18">accuracy in % against {escape(parameter)}</text>\n'
    for percent in (0, 25, 50, 75, 100):
        yield _line(LEFT, _y(percent), WIDTH - 10, _y(percent), "#ddd")
        yield f'<text x="{LEFT - 8}" y="{_y(percent) + 4:.1f}" text-anchor="end">{percent}</text>\n'
    if ideal is not None:
        yield _line(LEFT, _y(ideal), WIDTH - 10, _y(ideal), "#888", ' stroke-dasharray="4 3"')
    xs = [_x(i, len(points)) for i in range(len(points))]
    yield from _curve(xs, points)
    for x, point in zip(xs, points, strict=True):
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{point.value:g}</text>\n'
    yield "</svg>\n"


def _curve(xs: Sequence[float], points: Sequence[Point]) -> Iterator[str]:
    way = " ".join(f"{x:.1f},{_y(point.mean):.1f}" for x, point in zip(xs, points, strict=True))
    yield f'<polyline points="{way}" fill="none" stroke="#2563eb" stroke-width="2"/>\n'
    for x, point in zip(xs, points, strict=True):
        low, high = max(point.mean - point.spread, 0), min(point.mean + point.spread, 100)
        yield _line(x, _y(low), x, _y(high), "#2563eb")
        yield f'<circle cx="{x:.1f}" cy="{_y(point.mean):.1f}" r="3" fill="#2563eb"/>\n'


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"{more}/>\n'


def _x(number: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - 20) * (number + 0.5) / max(count, 1)


def _y(percent: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * percent / 100
