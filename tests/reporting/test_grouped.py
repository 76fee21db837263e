"""Of constants that stay digital the usual kinds are counted, and those that matter are named."""

from __future__ import annotations

from dataclasses import replace

from gscompile.reporting.grouped import Untouched, unusual, usual
from gscompile.reporting.report import text
from gscompile.reporting.report_html import html
from tests.reporting.test_report import pair, report_of

BIASES = tuple(Untouched(f"conv{n}", "Conv", f"b{n}", 512, "a bias is added digitally") for n in range(212))
KEPT = tuple(
    Untouched(f"fc{n}", "Gemm", f"w{n}", 4096, "mapped as it is: nothing smaller fitted the budget") for n in range(7)
)


def test_two_hundred_biases_take_one_line() -> None:
    assert usual((*BIASES, *KEPT)) == ["212 biases are added digitally"]
    assert usual(BIASES[:1]) == ["1 bias is added digitally"]
    assert unusual((*BIASES, *KEPT)) == KEPT


def test_the_text_names_what_matters_and_counts_the_rest() -> None:
    report = replace(report_of(*pair()), untouched=(*BIASES, *KEPT))
    lines = text(report).splitlines()
    first = lines.index("not compressed (report.json has every constant of 256 elements or more):")
    assert lines[first + 1 : first + 3] == [
        "  fc0, fc1, fc2, fc3, fc4 and 2 more: mapped as it is: nothing smaller fitted the budget",
        "  212 biases are added digitally",
    ]


def test_so_does_the_page() -> None:
    page = html(replace(report_of(*pair()), untouched=(*BIASES, *KEPT)), *pair()[:2])
    assert "<li>212 biases are added digitally</li>" in page
    assert page.count("a bias is added digitally") == 0
    assert page.count("nothing smaller fitted the budget") == 7
