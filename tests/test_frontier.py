"""The frontier: a curve whose figures are those of the files beside it, from one walk that can be interrupted."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result

from gscompile.cli import main
from gscompile.compression.passes import PassResult
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, footprint
from gscompile.curve import Candidate, FrontierPoint, next_stop, not_dominated
from gscompile.graph.network import Network
from gscompile.judging.verify import verify_again
from gscompile.reporting.frontier_picture import CURVES, Spot, frontier_svg
from gscompile.reporting.report_file import read_report
from gscompile.scoring.runner import Runner
from gscompile.training.checkpoint import is_begun
from tests.small_data import DATA, MLP, SEARCH, write_inputs
from tests.small_networks import model, network


def arguments(*more: str) -> list[str]:
    return ["frontier", "mlp.onnx", *DATA, *SEARCH, "--points", "4", *more]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a frontier with complete folders was made."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("frontier")
    write_inputs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(main, arguments("--folders", "-o", "out"))
    assert result.exit_code == 0, result.output
    (folder / "said").write_text(result.stdout, "utf-8")
    return folder


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "frontier.json").read_text("utf-8"))
    return found


def accuracy(path: Path, data: Path) -> float:
    with np.load(data) as arrays:
        said = Runner(path)({"x": arrays["x"]})["y"].argmax(1)
        return float(100 * (said == arrays["labels"]).mean())


# -- what is written --------------------------------------------------------------------------------------------


def test_every_figure_is_that_of_the_model_beside_it(desk: Path) -> None:
    found = facts(desk / "out")
    assert 2 <= len(found["points"]) <= 4
    options = MapOptions(Crossbar(8, 8), arrange=True)
    for point in found["points"]:
        path = desk / "out" / point["file"]
        taken = footprint(Network.load(path), options)
        assert (point["cells"], point["tiles"], point["wires"]) == (taken.cells, taken.tiles, taken.wires)
        assert point["score"] == pytest.approx(accuracy(path, desk / "val.npz"))
        assert point["test"] == pytest.approx(accuracy(path, desk / "test.npz"))
    assert found["original"] == {"cells": 264, "tiles": 6, "wires": 81, "score": 100.0, "test": 100.0}
    assert found["options"]["max_drop"] == 8
    assert found["score"] == "accuracy on the eval data"


def test_points_are_within_the_budget_and_none_beats_another(desk: Path) -> None:
    points = facts(desk / "out")["points"]
    assert min(p["score"] for p in points) >= 92
    assert points[-1]["cells"] < 200 < 264
    for one in points:
        for other in points:
            better = all(one[k] <= other[k] for k in ("cells", "wires")) and one["score"] >= other["score"]
            assert one is other or not better


def test_the_table_the_picture_and_what_is_printed_say_the_same(desk: Path) -> None:
    points = facts(desk / "out")["points"]
    with (desk / "out/frontier.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [{k: type(p[k])(row[k]) for k in p} for p, row in zip(points, rows, strict=True)] == points
    picture = ET.parse(desk / "out/frontier.svg").getroot()
    said = {title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")}
    for p in points:
        assert f"{p['cells']:,} cells ({100 * p['cells'] / 264:.3g} %): {p['test']:.2f} %" in said
    printed = (desk / "said").read_text("utf-8").splitlines()
    assert [int(line.split()[0].replace(",", "")) for line in printed[:-1]] == [p["cells"] for p in points]
    assert printed[-1] == "written to out"


def test_each_point_is_a_complete_folder_that_verifies_and_reports_the_same(desk: Path) -> None:
    points = facts(desk / "out")["points"]
    folders = sorted(path.name for path in (desk / "out").iterdir() if path.is_dir())
    assert folders == [Path(point["file"]).parent.name for point in points]
    for point in points:
        home = (desk / "out" / point["file"]).parent
        assert verify_again(home)
        report = read_report(home)
        assert (report.after.cells, report.after.wires) == (point["cells"], point["wires"])
        assert [a.after for a in report.accuracy] == [point["score"], point["test"]]
        assert {row.name for row in report.layers} == {"n0", "n2"}  # factors are told by where they come from


def test_without_folders_there_are_models_only(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    result = CliRunner().invoke(main, arguments("-o", "models", "--quiet"))
    assert (result.exit_code, result.output) == (0, "")
    assert facts(desk / "models")["points"] == facts(desk / "out")["points"]
    for point in facts(desk / "models")["points"]:
        assert [path.name for path in (desk / "models" / point["file"]).parent.iterdir()] == ["model.onnx"]
        assert (desk / "models" / point["file"]).read_bytes() == (desk / "out" / point["file"]).read_bytes()


# -- sharing and resuming ---------------------------------------------------------------------------------------


def test_a_killed_frontier_goes_on_and_comes_to_the_same_curve(desk: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    command = [sys.executable, "-m", "gscompile", *arguments("-o", "out")]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    lines = iter(run.stderr.readline, "")
    next(line for line in lines if "cells" in line and is_begun(tmp_path / "out"))  # a round of the walk is over
    run.send_signal(signal.SIGKILL)
    run.wait(60)
    run.stderr.close()
    assert not (tmp_path / "out").exists()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on with .out.resume" in again.stderr
    assert facts(tmp_path / "out")["points"] == facts(desk / "out")["points"]
    assert not is_begun(tmp_path / "out")


def test_two_processes_write_one_frontier(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    more = ["--epochs", "0.05", "--points", "3", "-o", "out", "--nproc", "2"]
    command = [sys.executable, "-m", "gscompile", *arguments(*more)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "written to out"
    assert 1 <= len(facts(tmp_path / "out")["points"]) <= 3


# -- what is refused --------------------------------------------------------------------------------------------


def refused(*words: str) -> str:
    result: Result = CliRunner().invoke(main, ["frontier", *words])
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_has_no_curve_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    assert "needs --data" in refused("mlp.onnx")
    assert "needs delete-groups among the passes" in refused("mlp.onnx", "--data", "train.npz", "--pass", "rank-clip")
    assert "frontier needs --finetune full" in refused("mlp.onnx", "--data", "train.npz", "--finetune", "none")
    onnx.save(model("g (float[n,8] x) => (float[n,8] y) { y = Relu (x) }"), tmp_path / "relu.onnx")
    np.savez(tmp_path / "x.npz", x=np.zeros((20, 8), np.float32))
    assert "no weight of this network can be compressed" in refused("relu.onnx", "--data", "x.npz")
    assert not [path for path in tmp_path.iterdir() if "frontier" in path.name]


# -- the parts --------------------------------------------------------------------------------------------------


def test_stops_halve_the_widest_gap_within_the_budget() -> None:
    sizes, fits = [6.0, 5.9, 4.0, 3.0, 2.0, 1.0, 0.0], {0: True}
    order = []
    while (place := next_stop(sizes, fits)) is not None:
        order.append(place)
        fits[place] = sizes[place] >= 2.0
    assert order == [3, 2, 4, 1, 5]  # 6 is beyond 5, which does not fit


def test_of_equal_points_one_stays_and_of_others_those_that_nothing_beats() -> None:
    net = PassResult(network(MLP))
    figures = [(10, 9, 99.0), (10, 9, 99.0), (12, 9, 98.0), (5, 12, 97.0)]
    found = [Candidate(net, FrontierPoint(c, 1, w, s, None, str(i))) for i, (c, w, s) in enumerate(figures)]
    assert [c.point.file for c in not_dominated(found)] == ["0", "3"]


@pytest.mark.parametrize("scores", [[90.0], [90.0, 89.97], [90.0, 90.0], [100.0, 3.0]])
def test_a_picture_keeps_everything_inside(scores: list[float]) -> None:
    points = [Spot(1000 // 10**i, 100, 0, score) for i, score in enumerate(scores)]
    picture = ET.fromstring(frontier_svg("a < b", Spot(1000, 100, 5, 90.0), points))
    circles = [*picture.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(circles) == len(CURVES) * (len(scores) + 1)
    assert all(0 < float(c.get("cx", 0)) < 720 and 0 < float(c.get("cy", 0)) < 400 for c in circles)
