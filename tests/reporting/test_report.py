"""The report counts what the netlists hold, survives JSON, and shows names without obeying them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import gscompile
from gscompile.compression.passes import Change
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, cut
from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.reporting.grouped import Untouched
from gscompile.reporting.report import (
    Accuracy,
    CompileReport,
    Confirmation,
    Figures,
    layer_rows,
    matrix_figures,
    mean_routing_area,
    percent,
    text,
)
from gscompile.reporting.report_html import html
from tests.small_networks import network

SIZE = Crossbar(64, 64)
Weights = Mapping[str, NDArray[np.generic]]


def matrix_of(name: str, layer: str, part: int, w: NDArray[np.generic]) -> Matrix:
    tiles = tuple(cut(name, w, MapOptions(SIZE)))
    return Matrix(name, layer, part, w.shape[0], w.shape[1], "in", "out", tiles)


def netlist_of(weights: Weights) -> Netlist:
    """A matrix for every name; `layer.3` is part 3 of its layer."""
    matrices = []
    for name, w in weights.items():
        layer, _, part = name.partition(".")
        matrices.append(matrix_of(name, layer, int(part or 0), w))
    return Netlist("net", SIZE, "full", (), tuple(matrices), (), ())


def report_of(before: Netlist, after: Netlist, origins: dict[str, str] | None = None) -> CompileReport:
    rows = layer_rows(before, after, origins or {}, {m.layer: "Gemm" for m in before.matrices})
    figures = matrix_figures(after, origins or {}, before)
    return CompileReport(
        model="net.onnx",
        crossbar="64x64",
        tiling="full",
        before=Figures.of(before.matrices),
        after=Figures.of(after.matrices),
        layers=rows,
        matrices=figures,
        changes=(Change("fc1", "clipped", "rank 100", "rank 10"),),
        untouched=(Untouched("embed", "Gather", "table", 300, "a lookup stays digital"),),
        accuracy=(Accuracy("accuracy", 99.2, 99.1, "eval file", 5000),),
        drift=None,
        verification=("matrices rebuilt: 3 of 3 equal",),
        messages=("nothing was wrong",),
        routing_area=mean_routing_area(figures),
        options={"crossbar": "64x64", "max_drop": 0.0},
        seed=7,
        versions={"onnx": "1.23"},
        files={"model.onnx": "ab" * 32},
        seconds=1.5,
    )


def pair() -> tuple[Netlist, Netlist, dict[str, str]]:
    """fc1 [128, 100] factored at rank 10, without half of the rows of U's second tile; fc2 as it was."""
    u = np.ones((128, 10))
    u[96:] = 0
    before = netlist_of({"fc1": np.ones((128, 100)), "fc2": np.ones((100, 4))})
    after = netlist_of({"fc1_u": u, "fc1": np.ones((10, 100)), "fc2": np.ones((100, 4))})
    return before, after, {"fc1_u": "fc1"}


def test_a_row_sums_the_factors_of_its_layer() -> None:
    before, after, origins = pair()
    fc1, fc2 = layer_rows(before, after, origins, {"fc1": "Gemm"})
    assert (fc1.name, fc1.op, fc1.rank_before, fc1.rank_after) == ("fc1", "Gemm", 100, 10)
    assert fc1.before == Figures(tiles=4, cells=12_800, wires=2 * 128 + 2 * 100, dense_cells=12_800, arrays=4)
    assert fc1.after == Figures(4, 96 * 10 + 1000, 96 + 2 * 10 + 2 * 10 + 100, 1280 + 1000, 4)
    assert fc1.area_ratio == 1960 / 12_800
    assert (fc2.area_ratio, fc2.routing_ratio, fc2.rank_after) == (1, 1, 4)


def test_routing_is_the_square_of_remaining_over_dense_wires_of_the_clipped_shape() -> None:
    before, after, origins = pair()
    dense_u, dense_v = 128 + 2 * 10, 2 * 10 + 100
    fc1 = layer_rows(before, after, origins, {})[0]
    assert fc1.routing_ratio == pytest.approx(((116 + 120) / (dense_u + dense_v)) ** 2)
    figures = matrix_figures(after, origins, before)
    assert mean_routing_area(figures) == pytest.approx(((116 / 148) ** 2 + 1 + 1) / 3)


def test_rows_cut_off_since_still_count_as_dense_wires() -> None:
    before = netlist_of({"fc": np.ones((128, 10))})
    after = netlist_of({"fc": np.ones((64, 10))})  # half of the inputs were dead units
    [figures] = matrix_figures(after, {}, before)
    assert (figures.inputs, figures.tiles, figures.dense_tiles) == (64, 1, 2)
    assert (figures.wires, figures.dense_wires) == (74, 148)
    assert mean_routing_area([figures]) == 0.25
    assert matrix_figures(after, {})[0].dense_wires == 74


def test_a_layer_that_is_gone_has_no_rank() -> None:
    before = netlist_of({"fc": np.ones((8, 8))})
    for after in (netlist_of({}), netlist_of({"fc": np.zeros((8, 8))})):
        [row] = layer_rows(before, after, {}, {})
        assert (row.rank_after, row.area_ratio, row.routing_ratio) == (None, 0, 0)


def test_a_network_that_fits_single_crossbars_has_no_routing_area() -> None:
    assert mean_routing_area(matrix_figures(netlist_of({"fc": np.ones((8, 8))}), {})) is None


def test_json_gives_the_same_report_back() -> None:
    report = report_of(*pair())
    assert CompileReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [(0, "0 %"), (0.1362, "13.62 %"), (0.00001, "<0.01 %"), (0.99999, "100 %"), (1.22, "122 %")],
)
def test_percentages_have_two_decimals_as_in_the_paper(fraction: float, shown: str) -> None:
    assert percent(fraction) == shown


def test_the_headline_is_the_first_line() -> None:
    report = report_of(*pair())
    first = text(report, 200).splitlines()[0]
    cells, wires = "cells 17.88 % (2,360 of 13,200)", "wires 60.99 % (344 of 564)"
    assert first == f"net.onnx on 64x64: {cells}, tiles 6 -> 6, {wires}, accuracy 99.20 -> 99.10 %"


def test_the_table_has_a_line_a_layer_and_a_total() -> None:
    lines = [line.split() for line in text(report_of(*pair()), 120).splitlines()]
    assert any(line[:5] == ["fc1", "Gemm", "100", "->", "10"] for line in lines)
    assert any(line[:4] == ["all", "13,200", "->", "2,360"] for line in lines)


def test_a_terminal_does_not_obey_a_name() -> None:
    before = netlist_of({"[red]\x1b[2J": np.ones((8, 8))})
    shown = text(report_of(before, before))
    assert "\x1b" not in shown
    assert "[red]\\x1b[2J" in shown


# -- HTML -------------------------------------------------------------------------------------------------

VOID = {"meta", "br", "wbr", "link", "img"}


class Balance(HTMLParser):
    """Raises where tags do not nest; keeps what was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    return parser


def page_of(before: Netlist, after: Netlist, origins: dict[str, str] | None = None) -> str:
    return html(report_of(before, after, origins), before, after)


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    page = page_of(*pair())
    tags = parsed(page).seen
    assert {"svg", "table", "figure"} <= tags
    assert not tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?:|@import|url\(", page)


def test_the_page_has_the_figures_and_the_small_print() -> None:
    page = page_of(*pair())
    for shown in (
        "2,360 of 13,200 cells",
        "99.10",
        "a lookup stays digital",
        "matrices rebuilt",
        "ab" * 32,
        "1.5 s",
    ):
        assert shown in page


def test_every_matrix_is_drawn_before_and_after() -> None:
    assert page_of(*pair()).count('<svg class="matrix"') == 2 + 3


def test_a_name_cannot_become_markup() -> None:
    before = netlist_of({"<script>alert(1)</script>\"'": np.ones((8, 8))})
    page = page_of(before, before)
    assert "script" not in parsed(page).seen
    assert "&lt;script&gt;" in page


def test_a_layer_that_is_gone_is_said_to_be() -> None:
    assert "nothing is left" in page_of(netlist_of({"fc": np.ones((8, 8))}), netlist_of({}))


def test_a_network_without_weights_has_a_page() -> None:
    nothing = netlist_of({})
    parsed(page_of(nothing, nothing))


def test_beside_the_accuracy_the_page_says_how_far_outputs_moved() -> None:
    before, after, origins = pair()
    page = html(replace(report_of(before, after, origins), drift=0.0123), before, after)
    assert "outputs moved by 1.23 % of their range at most" in page


def test_without_accuracy_the_page_shows_the_drift() -> None:
    before, after, origins = pair()
    report = replace(report_of(before, after, origins), accuracy=(), drift=0.0123)
    page = html(report, before, after)
    assert "Output difference" in page
    assert "largest output difference: 1.23 %" in text(report)


def test_hundreds_of_parts_take_one_folded_line() -> None:
    grouped = netlist_of({f"dw.{i}": np.ones((9, 1)) for i in range(300)})
    page = page_of(grouped, grouped)
    assert page.count('<svg class="matrix"') == 2
    assert "300 matrices" in page


def copies(names: list[str], weights: NDArray[np.generic]) -> Netlist:
    """A network of equal matrices, cut once."""
    [only] = netlist_of({"one": weights}).matrices
    return Netlist("net", SIZE, "full", (), tuple(replace(only, name=n, layer=n) for n in names), (), ())


def test_ten_thousand_tiles_stay_below_five_megabytes() -> None:
    rng = np.random.default_rng(0)
    names = [f"layer{i}" for i in range(63)]
    dense = copies(names, np.ones((1024, 640)))
    page = page_of(dense, copies(names, rng.random((1024, 640)) < 0.002))
    assert Figures.of(dense.matrices).tiles == 63 * 160
    assert len(page) < 5_000_000


def test_three_thousand_matrices_stay_below_five_megabytes() -> None:
    ones, holes = np.ones((70, 70)), np.ones((70, 70))
    holes[::2, :64] = 0
    names = [f"/model/stage/block_{i}/conv/Conv" for i in range(3000)]
    page = page_of(copies(names, ones), copies(names, holes))
    assert len(page) < 5_000_000


def test_the_same_report_gives_the_same_page() -> None:
    assert page_of(*pair()) == page_of(*pair())


def test_a_dead_unit_that_goes_where_nothing_else_fits_is_in_the_report(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32)
    weights[:, 3] = 0
    net = network(
        """g (float[n,30] x) => (float[n,20] y) <float[30,40] a, float[40,20] b>
        { h = MatMul (x, a)  r = Relu (h)  y = MatMul (r, b) }""",
        a=weights,
    )
    report = gscompile.compile(net.to_proto(), out=tmp_path / "out", max_error=0, passes=("rank-clip",)).report
    assert report.messages[-1] == (
        "nothing smaller fits an output error of 0 of the range: the original network is mapped, without its dead units"
    )
    assert report.changes == (Change("n0", "units", "40", "39"),)


def test_a_long_name_leaves_its_figures_in_sight() -> None:
    """A name of 131 characters is 32 wide in a table, and a page has it whole as a title."""
    name = "/net/" + "/".join(f"net.{n}" for n in range(20)) + "/Conv"
    report = report_of(*pair())
    longer = replace(report, layers=(replace(report.layers[0], name=name), *report.layers[1:]))
    assert name not in text(longer)
    assert f" {name[:9]}...{name[-20:]} " in text(longer)
    assert f'title="{name}"' in html(longer, *pair()[:2])
    assert max(map(len, text(longer, 80).splitlines())) <= 80


def test_text_of_every_field_is_escaped_and_shows_its_control_characters() -> None:
    evil = "<b onload='x'>\x1b\u202e&"
    report = report_of(*pair())
    marked = replace(
        report,
        model=evil,
        messages=(evil,),
        verification=(evil,),
        changes=(Change(evil, evil, evil, evil),),
        untouched=(Untouched(evil, evil, evil, 300, evil),),
        accuracy=(Accuracy(evil, 1, 2, evil, 3),),
        options={evil: evil},
        versions={evil: evil},
        files={evil: evil},
        layers=(replace(report.layers[0], op=evil, note=evil), *report.layers[1:]),
    )
    page = html(marked, *pair()[:2])
    assert "<b onload" not in page
    assert not {"\x1b", "\u202e"} & set(page)
    assert page.count("&lt;b onload=&#39;x&#39;&gt;\\x1b\\u202e&amp;") >= 20


def test_the_largest_difference_names_the_samples_it_was_measured_on() -> None:
    told = Confirmation(0.02, 0.01, 300, ())
    page = html(replace(report_of(*pair()), accuracy=(), drift=0.0123, confirmation=told), *pair()[:2])
    shown = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "1.23 % at most, on 300 synthetic samples; 1.00 % at the 99th percentile; no accuracy was measured" in shown
