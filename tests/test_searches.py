"""The table of full searches is made of the committed results, and those of reports."""

from __future__ import annotations

from typing import Any

import pytest

from gscompile.options import Options
from tests.benchmarks.searches import NAMED_DEFAULTS, PAGE, added, best, command, read, row, searches, shown, table


def report(seed: int = 0, cells: int = 50, **options: Any) -> dict[str, Any]:
    """A report of a network of 1,000 cells."""
    settings = Options(crossbar="8x8", data="/somewhere/train.npz", seed=seed, **options)
    accuracy = [{"split": f"the {part} data", "before": 99.0, "after": 98.0 + seed} for part in ("eval", "test")]
    before, after = ({"cells": c, "tiles": c // 10, "wires": c // 5, "arrays": 1} for c in (1000, cells))
    facts = {"before": before, "after": after, "accuracy": accuracy, "seconds": 12.4}
    versions = {"gscompile": "1", "torch": "2", "onnxruntime": "3", "numpy": "4"}
    return {"model": "net", "options": settings.plain(), "seed": seed, "versions": versions, **facts}


def test_the_command_is_what_differs_from_the_defaults_without_folders_and_seed() -> None:
    options = Options(
        crossbar="8x8", data="/somewhere/train.npz", max_drop=0.5, passes=("rank-clip",), pack=False, seed=3
    )
    said = "gscompile net.onnx --crossbar 8x8 --no-pack --data train.npz --max-drop 0.5 --pass rank-clip"
    assert command("net", options.plain()) == said


def test_a_run_takes_the_place_of_an_earlier_one_of_the_same_command_and_seed() -> None:
    old = [row(report(seed), "2026-01-01") for seed in (0, 1)]
    rows = added(old, [row(report(0, cells=40), "2026-02-02")])
    assert [(r["seed"], r["after"]["cells"], r["date"]) for r in rows] == [(0, 40, "2026-02-02"), (1, 50, "2026-01-01")]


def test_the_table_has_means_and_ranges_over_seeds() -> None:
    rows = [row(report(seed, cells, max_drop=1.0), "2026-01-01") for seed, cells in ((0, 40), (1, 60))]
    line = table(rows).splitlines()[2]
    expected = "99.00 -> 98.50 (98.00-99.00) % | 50 (40-60) (5.00 %) | 5 (4-6) | 10 (8-12) of 200 | 2 | 0 min |"
    assert line == f"| net | 1 | {expected}"


def test_of_two_searches_of_a_budget_the_one_with_fewer_wires_is_shown() -> None:
    rows = [
        row(report(1, cells, max_drop=1.0, effort=effort), "2026-01-01")
        for cells, effort in ((60, "max"), (40, "quick"))
    ]
    assert [[run["after"]["cells"] for run in runs] for runs in best(rows)] == [[40]]


def test_a_search_that_loses_more_on_test_than_was_allowed_is_not_shown() -> None:
    assert not [*best([row(report(0, max_drop=0.5), "2026-01-01")])]  # from 99 to 98 %


def test_runs_of_which_one_names_the_default_passes_are_one_search() -> None:
    plain, named = (row(report(seed), "2026-01-01") for seed in (0, 1))
    assert len(searches([plain, named | {"command": named["command"] + NAMED_DEFAULTS}])) == 1


def test_the_page_shows_the_committed_results() -> None:
    page = PAGE.read_text("utf-8")
    assert page == shown(page, read())
    with pytest.raises(ValueError, match="no <!--"):
        shown("a page without marks", [])
