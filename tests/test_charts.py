"""Charts draw every point inside the plot, label round values, and escape names."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from gscompile.charts import (
    Bar,
    Chart,
    ChartAxis,
    ChartPoint,
    Curve,
    bar_chart,
    category_axis,
    chart_svg,
    decades,
    round_axis,
)

SVG = "{http://www.w3.org/2000/svg}"


def test_a_logarithmic_axis_has_its_powers_of_ten_at_equal_distances() -> None:
    axis = decades([0.02, 5.0], "s")
    assert [axis.share(value) for value, _ in axis.ticks] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [label for _, label in axis.ticks] == ["0.01 s", "0.1 s", "1 s", "10 s"]
    assert decades([1.0], "s").ticks == ((1.0, "1 s"), (10.0, "10 s"))


def test_a_linear_axis_reaches_round_values_beyond_both_ends() -> None:
    assert round_axis([98.9, 99.32], "%", 0.05).ticks == (
        (98.8, "98.8 %"), (99.0, "99.0 %"), (99.2, "99.2 %"), (99.4, "99.4 %"),
    )  # fmt: skip
    assert [value for value, _ in round_axis([90.0, 90.0], "%", 0.05).ticks] == [90.0, 90.05]


def test_categories_are_in_the_middle_of_equal_parts() -> None:
    assert [category_axis(["a", "b"]).share(number) for number in (0, 1)] == [0.25, 0.75]


def chart(**given: object) -> Chart:
    axis = ChartAxis(0, 10, ((0, "0"), (10, "10")))
    curve = Curve("<cells>", (ChartPoint(0, 0, "none", 3), ChartPoint(10, 10, "a < b")))
    return Chart("x & y", axis, axis, (curve,), **given)  # type: ignore[arg-type]


def test_points_are_at_the_corners_of_the_plot_and_words_are_escaped() -> None:
    picture = ElementTree.fromstring(chart_svg([chart(legend="above", rules=((5, "half"),))]))
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in picture.iter(f"{SVG}circle")]
    assert circles == [(66, 360), (692, 64)]
    texts = [element.text for element in picture.iter(f"{SVG}text")]
    assert texts == ["x & y", "0", "10", "0", "10", "half", "<cells>"]
    assert [element.text for element in picture.iter(f"{SVG}title")] == ["none", "a < b"]


def test_an_error_bar_ends_at_the_edge_of_the_plot() -> None:
    bars = [
        p.attrib["d"]
        for p in ElementTree.fromstring(chart_svg([chart()])).iter(f"{SVG}path")
        if p.get("class") == "bar"
    ]
    assert bars == ["M66.0 360.0V265.2"]  # 3 of 10 of 316 pixels, and down to 0 instead of -3


def test_panels_stand_in_columns() -> None:
    picture = ElementTree.fromstring(chart_svg([chart(width=400, height=250)] * 3, columns=2))
    assert (picture.attrib["width"], picture.attrib["height"]) == ("800", "500")
    moves = [group.attrib["transform"] for group in picture.iter(f"{SVG}g")]
    assert moves == ["translate(0 0)", "translate(400 0)", "translate(0 250)"]


def test_bars_are_on_one_scale_and_a_name_cannot_become_markup() -> None:
    svg = bar_chart("cells", [Bar("<b>&", 100, 50), Bar("fc", 10, 0)])
    rects = [float(r.attrib["width"]) for r in ElementTree.fromstring(svg).iter("rect")]
    assert rects == [480, 240, 48, 0]
    assert "<b>" not in svg


@pytest.mark.parametrize("bars", [[], [Bar("nothing", 0, 0)]])
def test_a_chart_of_nothing_is_drawn(bars: list[Bar]) -> None:
    assert ElementTree.fromstring(bar_chart("cells", bars)).tag == "svg"
