"""Accuracy against each device effect: means with bars of one standard deviation, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gscompile.charts import Chart, ChartAxis, ChartPoint, Curve, category_axis, chart_svg

COLUMNS = 2  # of the picture of all effects
PERCENT = ChartAxis(0, 100, tuple((float(p), f"{p}{' %' if p == 100 else ''}") for p in (0, 25, 50, 75, 100)))

_WORDS = {  # title and axis of each parameter
    "levels": ("Conductance levels", "levels of a device"),
    "spread_fraction": ("Lognormal spread", "sigma of the written conductance"),
    "read_noise_fraction": ("Read noise", "sigma of one read, relative to the conductance"),
    "stuck_on_fraction": ("Stuck on", "part of the devices"),
    "stuck_off_fraction": ("Stuck off", "part of the devices"),
    "adc_bits": ("Converters", "bits"),
    "segment_ohm": ("Line resistance", "ohm between two cells"),
}


class SweepPoint(Protocol):
    """The accuracy at one value of a device parameter: mean and standard deviation over chips, in percent."""

    @property
    def value(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def spread(self) -> float: ...


def accuracy_svg(effects: Mapping[str, Sequence[SweepPoint]], ideal: float | None) -> str:
    """Return a panel for each effect, all on one scale of 0 to 100 %; `ideal` tiles are a dashed line."""
    return chart_svg([_panel(parameter, points, ideal) for parameter, points in effects.items()], COLUMNS)


def _panel(parameter: str, points: Sequence[SweepPoint], ideal: float | None) -> Chart:
    title, label = _WORDS.get(parameter, (parameter, ""))
    words = (f"{p.value:g}: {p.mean:.2f} +- {p.spread:.2f} %" for p in points)
    curve = tuple(ChartPoint(i, p.mean, said, p.spread) for i, (p, said) in enumerate(zip(points, words, strict=True)))
    rules = () if ideal is None else ((ideal, ""),)
    axis = category_axis([f"{p.value:g}" for p in points])
    return Chart(title, axis, PERCENT, (Curve(title, curve),), label, rules, width=400, height=250)
