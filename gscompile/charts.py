"""Charts as SVG text: axes with ticks, curves, error bars, reference lines, bars and legends, on paper light or dark.

A picture describes its panels as `Chart` values and `chart_svg` draws them. All positions are in CSS pixels from the
upper left corner. Colours are CSS classes with one style for all charts; not every program knows CSS variables. Written
by hand because matplotlib takes a second to start and its SVG differs between versions; these bytes repeat.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gscompile.printable import escape

# Colours that every kind of colour vision tells apart (Okabe and Ito 2008), for curves on light and on dark paper.
CURVE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080")
CURVE_DASHES = ("none", "7 4")  # for a second round of colours
_LIGHT = ("#fcfcfa", "#16181c", "#62666d", "#e3e4e2")  # paper, title, text, grid
_DARK = ("#131416", "#ecedee", "#9da1a8", "#2e3034")

Anchor = Literal["start", "middle", "end"]
Tick = tuple[float, str]  # a value, and its label


def _ink(paper: str, title: str, text: str, grid: str) -> str:
    return (
        f".paper{{fill:{paper}}}text{{fill:{text}}}.title{{fill:{title}}}.grid{{stroke:{grid}}}.rule{{stroke:{text}}}"
    )


CHART_STYLE = (
    "text{font:12px Inter,system-ui,Helvetica,Arial,sans-serif}.title{font-weight:600;font-size:14px}"
    "polyline{fill:none;stroke-width:2;stroke-linejoin:round}.rule{stroke-dasharray:5 4}.bar{stroke-width:1.5}\n"
    f"{_ink(*_LIGHT)}\n@media(prefers-color-scheme:dark){{{_ink(*_DARK)}}}\n"
)


# -- axes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChartAxis:
    """An axis from `low` to `high`, whose scale is linear or logarithmic, and the values that get a label."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    logarithmic: bool = False
    grid: bool = True  # a line across the chart at every tick

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 at `low` to 1 at `high`; a value beyond an end lies there."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def decades(values: Iterable[float], unit: str) -> ChartAxis:
    """Return a logarithmic axis from one power of ten to another, with a tick at each.

    >>> decades([0.02, 5.0], "s").ticks
    ((0.01, '0.01 s'), (0.1, '0.1 s'), (1.0, '1 s'), (10.0, '10 s'))
    """
    known = [*values]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    powers = [10.0**n for n in range(low, max(high, low + 1) + 1)]
    return ChartAxis(powers[0], powers[-1], tuple((power, f"{power:g} {unit}") for power in powers), logarithmic=True)


def round_axis(values: Iterable[float], unit: str, least_step: float) -> ChartAxis:
    """Return a linear axis around the values, with about four ticks at 1, 2 or 5 times a power of ten.

    >>> round_axis([98.9, 99.3], "%", 0.05).ticks[0], round_axis([98.9, 99.3], "%", 0.05).ticks[-1]
    ((98.9, '98.9 %'), (99.3, '99.3 %'))
    """
    known = [*values]
    step = round_step(max((max(known) - min(known)) / 4, least_step))
    first, last = math.floor(min(known) / step + 1e-9), math.ceil(max(known) / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))  # decimals that tell steps apart
    marks = [round(number * step, 9) for number in range(first, max(last, first + 1) + 1)]
    return ChartAxis(marks[0], marks[-1], tuple((mark, f"{mark:.{digits}f} {unit}") for mark in marks))


def round_step(least: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten.

    >>> round_step(0.13), round_step(3.0), round_step(0.05)
    (0.2, 5.0, 0.05)
    """
    ten = 10.0 ** math.floor(math.log10(least))
    return next(round(f * ten, 9) for f in (1, 2, 5, 10) if f * ten >= least - 1e-9)


def share_axis(least: float) -> ChartAxis:
    """Return a logarithmic axis of shares up to 100 %, from 1, 2 or 5 times a power of ten, which is not above `least`.

    >>> share_axis(0.07).low, share_axis(0.0015).low, [label for _, label in share_axis(0.15).ticks]
    (0.05, 0.001, ['10 %', '20 %', '50 %', '100 %'])
    """
    ten = 10.0 ** math.floor(math.log10(least))
    low = min(0.5, next(round(f * ten, 12) for f in (5, 2, 1) if f * ten <= least * (1 + 1e-9)))
    powers = math.ceil(-math.log10(low) - 1e-9)
    factors = (1, 2, 5) if powers < 3 else (1,)
    marks = (factor * 10.0**power for power in range(-powers, 1) for factor in factors)
    kept = (mark for mark in marks if low <= mark * (1 + 1e-9) and mark <= 1)
    return ChartAxis(low, 1.0, tuple((mark, f"{100 * mark:g} %") for mark in kept), logarithmic=True)


def category_axis(labels: Sequence[str]) -> ChartAxis:
    """Return an axis of labels at equal distances: number 0, 1 and so on."""
    ticks = tuple((float(number), label) for number, label in enumerate(labels))
    return ChartAxis(-0.5, max(len(labels), 1) - 0.5, ticks, grid=False)


# -- charts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChartPoint:
    """A point of a curve, the text that a browser shows on it, and the half length of its error bar."""

    x: float
    y: float
    words: str = ""
    spread: float = 0.0


@dataclass(frozen=True)
class Curve:
    """Points that a line joins; points with words get a mark. `name` is for the legend."""

    name: str
    points: tuple[ChartPoint, ...]


@dataclass(frozen=True)
class Chart:
    """One panel: curves over two axes, and dashed reference lines at values of y, each with a label.

    The legend stands above the plot, or in a column to its right of `legend_width` pixels; curves have the colours of
    `CURVE_COLOURS` in their order.
    """

    title: str
    x: ChartAxis
    y: ChartAxis
    curves: tuple[Curve, ...]
    x_label: str = ""
    rules: tuple[Tick, ...] = ()
    legend: Literal["none", "above", "right"] = "none"
    width: int = 720
    height: int = 400
    legend_width: int = 0

    @property
    def left(self) -> int:
        """Return the left edge of the plot."""
        return 66

    @property
    def right(self) -> int:
        """Return the right edge of the plot."""
        return self.width - 28 - self.legend_width

    @property
    def top(self) -> int:
        """Return the upper edge of the plot."""
        return 64 if self.legend == "above" else 44

    @property
    def bottom(self) -> int:
        """Return the lower edge of the plot."""
        return self.height - (56 if self.x_label else 40)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point."""
        across, up = self.x.share(x), self.y.share(y)
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def draw(self) -> Iterator[str]:
        """Yield the elements of the chart."""
        yield text(self.left, 26, self.title, kind="title")
        yield from self._grid()
        for value, label in self.rules:
            _, y = self.at(self.x.low, value)
            yield line(self.left, y, self.right, y, "rule")
            if label:
                yield text(self.left + 6, y - 6, label)
        for number, curve in enumerate(self.curves):
            yield from self._curve(curve, number)
        yield from self._legend()

    def _grid(self) -> Iterator[str]:
        for value, label in self.x.ticks:
            x, _ = self.at(value, self.y.low)
            if self.x.grid:
                yield line(x, self.top, x, self.bottom, "grid")
            yield text(x, self.bottom + 18, label, "middle")
        for value, label in self.y.ticks:
            _, y = self.at(self.x.low, value)
            if self.y.grid:
                yield line(self.left, y, self.right, y, "grid")
            yield text(self.left - 8, y + 4, label, "end")
        if self.x_label:
            yield text((self.left + self.right) / 2, self.height - 12, self.x_label, "middle")

    def _curve(self, curve: Curve, number: int) -> Iterator[str]:
        places = [self.at(point.x, point.y) for point in curve.points]
        yield polyline(places, number)
        for point, (x, y) in zip(curve.points, places, strict=True):
            if point.spread:
                low, high = (self.at(point.x, point.y + sign * point.spread)[1] for sign in (-1, 1))
                yield f'<path class="bar" d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{_colour(number)}"/>'
            if point.words:
                yield circle(x, y, number, point.words)

    def _legend(self) -> Iterator[str]:
        if self.legend == "above":
            x = float(self.left + 5)
            for number, curve in enumerate(self.curves):
                yield f'<rect x="{x - 4:.1f}" y="42" width="8" height="8" rx="4" fill="{_colour(number)}"/>'
                yield text(x + 9, 50, curve.name)
                x += 32 + 7 * len(curve.name)  # 7 pixels a letter, about
        elif self.legend == "right":
            for number, curve in enumerate(self.curves):
                y = self.top + 12 + 20 * number
                yield polyline([(self.right + 36, y - 4), (self.right + 60, y - 4)], number)
                yield text(self.right + 68, y, curve.name)


def chart_svg(charts: Sequence[Chart], columns: int = 1, title: str = "") -> str:
    """Return an SVG file with the charts side by side in `columns`, all as large as the first."""
    wide, high = (charts[0].width, charts[0].height) if charts else (0, 0)
    across = min(columns, max(len(charts), 1))
    panels = []
    for number, chart in enumerate(charts):
        down, right = divmod(number, across)
        panels += [f'<g transform="translate({wide * right} {high * down})">', *chart.draw(), "</g>"]
    return document(wide * across, high * -(-len(charts) // across), panels, CHART_STYLE, title)


# -- elements -----------------------------------------------------------------------------------------------


def document(width: float, height: float, body: Iterable[str], style: str, title: str = "") -> str:
    """Return an SVG file of that size, in pixels, with its elements on paper."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" role="img" '
    name = f"<title>{escape(title)}</title>" if title else ""
    paper = f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="10"/>'
    box = f'viewBox="0 0 {width:.0f} {height:.0f}">{name}<style>{style}</style>'
    return "\n".join([head + box, paper, *body, "</svg>\n"])


def text(x: float, y: float, words: str, anchor: Anchor = "start", kind: str = "") -> str:
    """Return a text, escaped, with its base line at (x, y)."""
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    """Return a straight line of a class of the style."""
    return f'<path class="{kind}" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>'


def polyline(points: Iterable[tuple[float, float]], number: int) -> str:
    """Return the line through points, in the colour and the dashes of curve `number`."""
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = CURVE_DASHES[number // len(CURVE_COLOURS) % len(CURVE_DASHES)]
    dashes = "" if dash == "none" else f' stroke-dasharray="{dash}"'
    return f'<polyline points="{way}" stroke="{_colour(number)}"{dashes}/>'


def circle(x: float, y: float, number: int, words: str) -> str:
    """Return the mark of a point, with the text that a browser shows on it."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_colour(number)}"><title>{escape(words)}</title></circle>'


def swatches(entries: Iterable[tuple[str, str]], x: float, y: float) -> Iterator[str]:
    """Yield a legend in one line: a square of each class, with its text. `y` is the base line."""
    for kind, words in entries:
        yield f'<rect class="{kind}" x="{x:.1f}" y="{y - 11:.1f}" width="12" height="12" rx="2"/>'
        yield text(x + 20, y, words)
        x += 44 + 7 * len(words)  # 7 pixels a letter, about


def _colour(number: int) -> str:
    return CURVE_COLOURS[number % len(CURVE_COLOURS)]


# -- bars ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart: a name, the value before and the value after."""

    name: str
    before: int
    after: int


_BARS_WIDTH, _BARS_PITCH = 480, 54  # of a bar chart, and of one of its lines


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return a chart of two bars a line, before above after, on one scale from zero; the page has the colours."""
    longest = max((max(bar.before, bar.after) for bar in bars), default=0) or 1
    body = "".join(_bars(bar, i * _BARS_PITCH, longest) for i, bar in enumerate(bars))
    box = f'viewBox="0 0 {_BARS_WIDTH} {_BARS_PITCH * len(bars)}"'
    return f'<svg class="bars" role="img" aria-label="{escape(title)}" {box}>{body}</svg>'


def _bars(bar: Bar, y: int, longest: int) -> str:
    before, after, end = f"{bar.before:,}", f"{bar.after:,}", f'x="{_BARS_WIDTH}" y="{y + 13}"'
    return (
        f"<g><title>{escape(bar.name)}: {before} before, {after} after</title>"
        f'<text class="name" x="0" y="{y + 13}">{escape(shorten(bar.name))}</text>'
        f'<text class="value" {end}>{before}<tspan class="arrow"> → </tspan><tspan class="after">{after}</tspan></text>'
        f"{_bar('before', y + 20, bar.before / longest)}{_bar('live', y + 30, bar.after / longest)}</g>"
    )


def _bar(kind: str, y: int, share: float) -> str:
    """Return a bar that can be seen as soon as its value is not zero."""
    width = max(share * _BARS_WIDTH, 1.5) if share else 0
    return f'<rect class="{kind}" y="{y}" width="{width:.1f}" height="8" rx="1.5"/>'


def shorten(name: str, length: int = 36) -> str:
    """Return a name of at most `length` characters: both ends of a longer one.

    >>> shorten("/model/layer1/layer1.0/conv1/Conv", 21)
    '/model/lay…conv1/Conv'
    """
    half = (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"
