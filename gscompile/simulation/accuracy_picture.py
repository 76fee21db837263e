"""Accuracy against each device effect: means with bars of one standard deviation, as SVG, light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from gscompile.printable import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 250, 56, 14, 40, 48
COLUMNS = 2  # of the picture of all effects

_WORDS = {
    "levels": ("Conductance levels", "levels of a device"),
    "spread_fraction": ("Lognormal spread", "sigma of the written conductance"),
    "read_noise_fraction": ("Read noise", "sigma of one read, relative to the conductance"),
    "stuck_on_fraction": ("Stuck on", "part of the devices"),
    "stuck_off_fraction": ("Stuck off", "part of the devices"),
    "adc_bits": ("Converters", "bits"),
    "segment_ohm": ("Line resistance", "ohm between two cells"),
}
_PAPER, _INK, _SOFT, _LINE, _LIVE = range(5)
_LIGHT = ("#fcfcfa", "#16181c", "#62666d", "#e3e4e2", "#2a78d6")
_DARK = ("#131416", "#ecedee", "#9da1a8", "#2e3034", "#4a94ea")


def _inked(colours: Sequence[str]) -> str:
    """The parts of the picture in these colours, by name: not every program knows CSS variables."""
    return (
        f".paper{{fill:{colours[_PAPER]}}}text{{fill:{colours[_SOFT]}}}.title{{fill:{colours[_INK]}}}"
        f".grid{{stroke:{colours[_LINE]}}}.ideal{{stroke:{colours[_SOFT]}}}"
        f".bar,polyline{{stroke:{colours[_LIVE]}}}circle{{fill:{colours[_LIVE]}}}"
    )


_SWEEP_STYLE = f"""<style>
text{{font:12px Inter,system-ui,Helvetica,Arial,sans-serif}} .title{{font-weight:600;font-size:13px}}
.ideal{{stroke-dasharray:4 3}} .bar{{stroke-width:1.5}} polyline{{stroke-width:2;fill:none;stroke-linejoin:round}}
{_inked(_LIGHT)}
@media(prefers-color-scheme:dark){{{_inked(_DARK)}}}
</style>
"""


class SweepPoint(Protocol):
    """A figure of a simulation."""

    @property
    def value(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def spread(self) -> float: ...


def accuracy_svg(effects: Mapping[str, Sequence[SweepPoint]], ideal: float | None) -> str:
    """A panel for each effect, all on one scale of 0 to 100 %; `ideal` tiles are a dashed line."""
    across = min(COLUMNS, max(len(effects), 1))
    size = f'width="{WIDTH * across}" height="{HEIGHT * -(-len(effects) // across)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{_SWEEP_STYLE}<rect {size} class="paper"/>\n'
    return head + "".join(_panels(effects, ideal, across)) + "</svg>\n"


def _panels(effects: Mapping[str, Sequence[SweepPoint]], ideal: float | None, across: int) -> Iterator[str]:
    for number, (parameter, points) in enumerate(effects.items()):
        down, right = divmod(number, across)
        yield f'<g transform="translate({WIDTH * right} {HEIGHT * down})">\n'
        yield from _panel(parameter, points, ideal)
        yield "</g>\n"


def _panel(parameter: str, points: Sequence[SweepPoint], ideal: float | None) -> Iterator[str]:
    title, axis = _WORDS.get(parameter, (parameter, ""))
    yield _text(LEFT, 22, title, ' class="title"')
    for percent in (0, 25, 50, 75, 100):
        yield _line(LEFT, _y(percent), WIDTH - RIGHT, _y(percent), "grid")
        yield _text(LEFT - 8, _y(percent) + 4, f"{percent}{' %' if percent == 100 else ''}", ' text-anchor="end"')
    if ideal is not None:
        yield _line(LEFT, _y(ideal), WIDTH - RIGHT, _y(ideal), "ideal")
    xs = [_x(i, len(points)) for i in range(len(points))]
    yield from _curve(xs, points)
    for x, point in zip(xs, points, strict=True):
        yield _text(x, HEIGHT - BOTTOM + 18, f"{point.value:g}", ' text-anchor="middle"')
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, axis, ' text-anchor="middle"')


def _curve(xs: Sequence[float], points: Sequence[SweepPoint]) -> Iterator[str]:
    way = " ".join(f"{x:.1f},{_y(point.mean):.1f}" for x, point in zip(xs, points, strict=True))
    yield f'<polyline points="{way}"/>\n'
    for x, point in zip(xs, points, strict=True):
        low, high = max(point.mean - point.spread, 0), min(point.mean + point.spread, 100)
        yield _line(x, _y(low), x, _y(high), "bar")
        said = f"{point.value:g}: {point.mean:.2f} +- {point.spread:.2f} %"
        yield f'<circle cx="{x:.1f}" cy="{_y(point.mean):.1f}" r="3.5"><title>{said}</title></circle>\n'


def _line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{kind}"/>\n'


def _text(x: float, y: float, words: str, more: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>\n'


def _x(number: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (number + 0.5) / max(count, 1)


def _y(percent: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * percent / 100
