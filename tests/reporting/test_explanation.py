"""`explain` tells what each pass did to each matrix, from the report alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner

import gscompile
from gscompile.cli import main
from gscompile.compression.passes import Context, Pass, PassResult, Stage, pass_results
from gscompile.compression.steps import recorded_steps, state_of_network
from gscompile.compression.trainer import Trainer
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.driver import DISCARDED, Job, discarded_stages
from gscompile.errors import UsageError, VerificationError
from gscompile.graph.network import Network
from gscompile.judging.report_check import check_report
from gscompile.passes.delete_groups import DeleteGroups
from gscompile.passes.rank_clip import RankClip
from gscompile.reporting.explanation import Explanation, explain_report, explanation_text
from gscompile.reporting.report import CompileReport
from gscompile.reporting.report_file import read_report
from tests.small_networks import model, network

# two 6 x 6 matrices: one of rank 1 whose last unit is dead, and one of full rank
NET = "g (float[n,6] x) => (float[n,6] y) <float[6,6] w, float[6,6] v> { h = MatMul (x, w)  r = Relu (h)  y = MatMul (r, v) }"
RANK_1 = np.outer([1, 2, 3, 4, 5, 6], [1, 2, 4, -1, 2, 0])
MAPPING = MapOptions(Crossbar(4, 4))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("explained") / "out"
    gscompile.compile(model(NET, w=RANK_1, v=np.eye(6) + 1), crossbar="4x4", out=out, max_error=1e-4)
    return out


@pytest.fixture
def explained(compiled: Path) -> Explanation:
    return gscompile.explain(compiled)


def test_a_dead_unit_goes_from_both_its_matrices_and_then_a_rank(explained: Explanation) -> None:
    start, dead, clipped, *others = explained.steps
    assert [step.name for step in explained.steps] == [
        "input",
        "drop-dead-units",
        "rank-clip",
        "delete-groups",
        "drop-dead-units",
        "mapping",
    ]
    assert [change.after.shapes for change in start.changes] == [((1, 6, 6),)] * 2
    assert start.changes[0].after.deleted_groups == 2  # the column of the dead unit, in two tiles
    assert [(each.matrix, each.units_removed) for each in dead.changes] == [("n0", 1), ("n2", 0)]
    assert [each.after.shapes for each in dead.changes] == [((1, 6, 5),), ((1, 5, 6),)]
    (change,) = clipped.changes
    assert (change.matrix, change.before.rank, change.after.rank) == ("n0", 5, 1)
    assert change.after.shapes == ((1, 6, 1), (1, 1, 5))
    assert (change.before.cells, change.after.cells) == (30, 11)
    assert not any(step.changes for step in others)


def test_a_page_has_a_block_for_each_step_and_a_line_for_each_matrix(explained: Explanation) -> None:
    page = explanation_text(explained)
    assert page.startswith(
        "g on 4x4, full tiling; output error at most 0.0001 of the range (--max-error)\n\n0 input: 66 cells"
    )
    block = page.split("\n\n")[3].splitlines()
    assert block[0].startswith("2 rank-clip: cells 60 -> 41 (68.33 %), tiles 8, wires 44 -> 37")
    assert re.sub(" +", " ", block[2]) == " n0 6 x 5 -> 6 x 1, 1 x 5 5 -> 1 0 0 30 -> 11 4 22 -> 15"
    assert block[3:] == [
        "  unchanged: 1 matrix",
        "  stopped: no lower ranks were found within an output error of 0.0001",
    ]


def test_one_matrix_is_found_by_its_layer_or_by_a_factor(compiled: Path) -> None:
    names = [change.matrix for step in gscompile.explain(compiled, "n2").steps for change in step.changes]
    assert names == ["n2", "n2"]  # as it came, and without the dead input
    factor = gscompile.compile(compiled / "model.onnx", crossbar="4x4", out=compiled.parent / "again").network.layers[0]
    with pytest.raises(UsageError, match="matrix 'n3' is unknown; expected n2, n0"):
        gscompile.explain(compiled, "n3")
    assert gscompile.explain(compiled, factor.name) == gscompile.explain(compiled, "n0")


def test_the_command_prints_the_page_or_the_data(compiled: Path, explained: Explanation) -> None:
    page = CliRunner().invoke(main, ["explain", str(compiled)])
    assert (page.exit_code, page.stdout) == (0, explanation_text(explained))
    data = json.loads(CliRunner().invoke(main, ["explain", str(compiled), "--matrix", "n0", "--json"]).stdout)
    assert [len(step["changes"]) for step in data["steps"]] == [1, 1, 1, 0, 0, 0]
    assert data["steps"][2]["changes"][0]["after"]["shapes"] == [[1, 6, 1], [1, 1, 5]]


def test_the_error_of_a_step_is_within_the_budget_and_a_step_without_a_change_spends_nothing(
    explained: Explanation,
) -> None:
    errors = [step.error for step in explained.steps]
    assert errors[0] == 0
    assert 0 <= (errors[2] or 0) <= 1e-4
    assert errors[3:] == [errors[2]] * 3
    assert {step.score for step in explained.steps} == {None}


def test_rewrites_of_a_fold_are_listed(tmp_path: Path) -> None:
    text = """g (float[n,6] x) => (float[n,6] y) <float[6,6] w, float[6] b> { h = MatMul (x, w)  y = Add (h, b) }"""
    out = gscompile.compile(model(text), crossbar="4x4", out=tmp_path / "out", max_error=0).folder
    fold = gscompile.explain(out).steps[1]
    assert fold.name == "fold"
    assert len(fold.notes) == 1
    assert f"\n  {fold.notes[0]}\n" in explanation_text(gscompile.explain(out))


def test_a_network_without_weights_has_steps_without_matrices(tmp_path: Path) -> None:
    out = gscompile.compile(model("g (float[n] x) => (float[n] y) { y = Relu (x) }"), "4x4", tmp_path / "out").folder
    assert {step.changes for step in gscompile.explain(out).steps} == {()}
    assert "0 input: 0 cells, 0 tiles, 0 wires" in explanation_text(gscompile.explain(out))
    with pytest.raises(UsageError, match="matrix 'w' is unknown; expected none: the network has no matrices"):
        gscompile.explain(out, "w")


def test_passes_that_found_nothing_are_listed_with_their_reasons(tmp_path: Path) -> None:
    out = gscompile.compile(model(NET), crossbar="4x4", out=tmp_path / "out", max_error=0).folder
    _, *passes, _ = gscompile.explain(out).steps
    assert [(step.name, step.changes, step.stopped) for step in passes] == [
        ("rank-clip", (), "no lower ranks were found within an output error of 0"),
        ("delete-groups", (), "groups are deleted while fine-tuning, which needs --data"),
        ("drop-dead-units", (), "every unit that is left carries a value that is read"),
    ]


def test_a_pass_whose_result_is_not_kept_says_so() -> None:
    net = network(NET)
    tried = [Stage("fold", net, True), Stage("rank-clip", net, True, "why"), Stage("delete-groups", net, True)]
    job = cast(Job, SimpleNamespace(tried=tried))
    folded = PassResult(net, stages=(Stage("fold", net, True),))
    assert [(stage.name, stage.is_changed, stage.stopped) for stage in discarded_stages(job, folded)] == [
        ("rank-clip", False, f"why; {DISCARDED}"),
        ("delete-groups", False, DISCARDED),
    ]
    assert [stage.name for stage in discarded_stages(job, PassResult(net, stages=(*tried[:2],)))] == ["delete-groups"]
    assert not [*discarded_stages(job, PassResult(net, stages=(Stage("custom", net, True),)))]


# -- what passes say ----------------------------------------------------------------------------------------


class Scores:
    """A trainer that scores a network by its number of layers."""

    base, toll = 99.0, 0.0

    def score(self, network: Network) -> float:
        return 99.0 if len(network.layers) == 2 else 98.5


def test_with_data_the_score_of_each_network_that_a_pass_changed_is_recorded() -> None:
    net = network(NET, w=RANK_1)
    context = Context(MAPPING, trainer=cast(Trainer, Scores()))
    clipped = RankClip("pca").run(net.copy(), Context(MAPPING)).network
    stages = [Stage("rank-clip", clipped, True, "why"), Stage("delete-groups", clipped, False)]
    written = state_of_network(clipped, MAPPING)
    start, *steps = recorded_steps(state_of_network(net, MAPPING), stages, written, context)
    assert (start.score, start.error) == (99.0, None)
    assert [(step.name, step.score, step.stopped) for step in steps] == [
        ("rank-clip", 98.5, "why"),
        ("delete-groups", 98.5, ""),
        ("mapping", 98.5, ""),
    ]
    assert [layer.layer for layer in steps[0].layers] == ["n0"]


REASONS: Mapping[str, tuple[Pass, str]] = {
    "the paper's rule": (RankClip("pca"), "every rank is the smallest within a relative weight error of 0.03"),
    "ranks that were asked for": (RankClip("pca", ranks="2"), "the ranks asked for are reached: 2"),
    "groups without data": (DeleteGroups(), "groups are deleted while fine-tuning, which needs --data"),
}


@pytest.mark.parametrize("what", REASONS)
def test_a_pass_says_why_it_stopped(what: str) -> None:
    step, reason = REASONS[what]
    (result,) = pass_results(network(NET, w=RANK_1), [step], Context(MAPPING))
    assert [(stage.name, stage.stopped) for stage in result.stages] == [(step.name, reason)]
    assert result.stages[0].is_changed is (step.name == "rank-clip")


def test_a_pass_that_only_changes_weights_is_a_change() -> None:
    class Retrain:
        name = "retrain"

        def run(self, network: Network, context: Context) -> PassResult:  # noqa: ARG002
            return PassResult(network.copy())

    (result,) = pass_results(network(NET), [Retrain()], Context(MAPPING))
    assert result.stages[0].is_changed


# -- reports that lie ---------------------------------------------------------------------------------------


def step(report: Any, number: int) -> Any:
    return report["steps"][number]


LIES: Mapping[str, tuple[Callable[[Any], object], str]] = {
    "no steps": (lambda r: r.update(steps=[]), r"steps is \[\]; expected steps from 'input' to 'mapping'"),
    "no first step": (lambda r: r["steps"].pop(0), "steps is .*; expected steps from 'input' to 'mapping'"),
    "a wire less at first": (
        lambda r: step(r, 0)["layers"][0]["factors"][0].update(wires=21),
        "wires of 'n0' is 21; expected 22",
    ),
    "a cell less at last": (
        lambda r: step(r, 2)["layers"][0]["factors"][0].update(cells=5),
        "factors of 'n0' at the end",
    ),
    "a huge matrix between": (
        lambda r: step(r, 1)["layers"][0]["factors"][0].update(inputs=10**18, cells=-1),
        "cells is -1; expected 0 to 5000000000000000000",
    ),
    "another layer": (lambda r: step(r, 0)["layers"][0].update(layer="n7"), "layers is 'n7'; expected the name of a"),
    "a score beyond": (lambda r: step(r, 1).update(score=101.0), "score is 101.0; expected 0 to 100 percent"),
}


@pytest.mark.parametrize("what", LIES)
def test_steps_that_contradict_the_netlist_are_refused(what: str, compiled: Path) -> None:
    data = json.loads((compiled / "report.json").read_text("utf-8"))
    edit, message = LIES[what]
    edit(data)
    with pytest.raises(VerificationError, match=message):
        check_report(CompileReport.from_json(data), read_netlist(compiled / "netlist.json"))


BUDGETS: Mapping[str, tuple[dict[str, object], str]] = {
    "no data": ({"data": None, "max_error": 0.5}, "output error at most 0.5 of the range (--max-error)"),
    "a drop": ({"data": "x", "max_drop": 1}, "score at most 1.00 points below the original (--max-drop)"),
    "a size": ({"data": "x", "max_drop": None, "max_cells": "5%"}, "at most 5% cells (--max-cells)"),
}


@pytest.mark.parametrize("what", BUDGETS)
def test_the_first_line_says_what_could_be_lost(what: str, compiled: Path) -> None:
    options, words = BUDGETS[what]
    report = read_report(compiled)
    changed = replace(report, options={**report.options, **options})
    assert explanation_text(explain_report(changed)).startswith(f"g on 4x4, full tiling; {words}\n")


def test_a_name_cannot_control_the_terminal(compiled: Path) -> None:
    report = read_report(compiled)
    first, *others = report.steps
    layer = replace(first.layers[0], layer="\x1b[2J[red]n0")
    page = explanation_text(explain_report(replace(report, steps=(replace(first, layers=(layer,)), *others))))
    assert "\x1b" not in page
    assert "\\x1b[2J[red]n0" in page
