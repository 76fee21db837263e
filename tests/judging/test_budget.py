"""What decides: how much of the data, and what is asked of a network when the data is little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gscompile
import gscompile.errors
from gscompile.data.dataset import input_specs, load_data
from gscompile.driver import prepare
from gscompile.graph.network import Network
from gscompile.judging.splits import held_out_share
from gscompile.options import Options
from gscompile.progress import Progress
from gscompile.scoring.runner import Runner
from tests.small_networks import model

SAMPLES = Path(__file__).parents[2] / "samples"
QUICK: dict[str, Any] = {"crossbar": "16x16", "epochs": 0.1, "effort": "quick", "threads": 1}


def digits(count: int, part: str = "train", labels: bool = False) -> dict[str, Any]:
    with np.load(SAMPLES / f"digits_{part}.npz") as file:
        return {name: file[name][:count] for name in ("image", "labels") if labels or name == "image"}


def test_half_of_little_data_decides_and_a_tenth_of_much() -> None:
    network = Network.from_proto(model("g (float[n,2] x) => (float[n,2] y) { y = Relu (x) }"))
    specs = input_specs(network.model)
    for count, share in ((8, 0.5), (400, 0.5), (1000, 0.2), (5000, 0.1)):
        assert held_out_share(load_data({"x": np.zeros((count, 2), np.float32)}, specs), 0.5) == share


@pytest.mark.parametrize("labels", [False, True])
def test_eight_samples_do_not_destroy_a_network(labels: bool, tmp_path: Path) -> None:
    path, unseen = SAMPLES / "digits.onnx", digits(300, "test")
    result = gscompile.compile(path, out=tmp_path / "out", data=digits(8, labels=labels), **QUICK)
    (before,), (after,) = (
        list(Runner(file, threads=1)(unseen).values()) for file in (path, tmp_path / "out" / "model.onnx")
    )
    assert np.abs(after - before).max() < 0.05 * np.ptp(before)
    assert np.mean(after.argmax(1) == before.argmax(1)) > 0.98
    first, report = result.report.accuracy[0], result.report
    assert (first.metric, first.samples, first.after) == ("agreement with the original", 4, 100)
    assert [row.metric for row in report.accuracy[1:]] == ["accuracy"] * labels
    assert report.drift is not None
    assert report.drift <= 0.01
    assert any("4 samples decide, too few for classes alone" in message for message in report.messages)


def test_many_samples_of_one_class_are_few(tmp_path: Path) -> None:
    with np.load(SAMPLES / "digits_train.npz") as file:
        zeros = file["image"][file["labels"] == 0][:110]
    result = gscompile.compile(SAMPLES / "digits.onnx", out=tmp_path / "out", data={"image": zeros}, **QUICK)
    assert any("55 samples decide, " in m and "too few" in m for m in result.report.messages)
    assert result.report.drift is not None
    assert result.report.drift <= 0.01


def test_a_margin_keeps_standard_errors_away_from_the_budget() -> None:
    labelled: dict[str, Any] = {"data": digits(300, labels=True), "eval": digits(200, "val", labels=True)}
    floors = []
    for margin in (0.0, 2.0):
        options = Options(max_drop=3.0, margin=margin, **labelled, **QUICK)
        floors.append(
            prepare(Network.load(SAMPLES / "digits.onnx"), "digits", options, Progress()).context.budget.min_score
        )
    share = floors[0] / 100  # of the 200 samples, within the budget
    assert floors[1] - floors[0] == pytest.approx(2 * 100 * np.sqrt(share * (1 - share) / 200))


@pytest.mark.parametrize("what", ["inputs", "labels", "nothing"])
def test_an_original_that_is_no_better_than_chance_is_said(what: str) -> None:
    val = digits(200, "val", labels=True)
    if what == "inputs":
        val["image"] = np.zeros_like(val["image"])
    if what == "labels":
        val["labels"] = np.random.default_rng(0).permutation(val["labels"])
    options = Options(max_drop=3.0, data=digits(300, labels=True), eval=val, **QUICK)
    messages = prepare(Network.load(SAMPLES / "digits.onnx"), "digits", options, Progress()).judge.messages
    assert any("the original network is no better than chance: " in m for m in messages) == (what != "nothing")
    if what != "nothing":
        commonest = 100 * np.bincount(val["labels"]).max() / 200
        assert f"on the eval data, of which {commonest:.2f} % have the commonest label" in messages[-1]


def test_without_data_the_test_set_is_measured_at_the_end(tmp_path: Path) -> None:
    test = SAMPLES / "digits_test.npz"
    result = gscompile.compile(
        SAMPLES / "digits.onnx", "16x16", tmp_path / "out", test=test, passes=("drop-dead-units",)
    )
    (row,) = result.report.accuracy
    assert (row.metric, row.split, row.samples) == ("accuracy", "the test data", 300)
    assert row.before == row.after == pytest.approx(99.33, abs=0.01)
    assert any("the test data is measured once" in message for message in result.report.messages)
    with pytest.raises(gscompile.errors.DataError, match="no array for input 'image'"):
        gscompile.compile(SAMPLES / "digits.onnx", out=tmp_path / "two", test={"picture": np.zeros((1, 1, 8, 8))})


def test_what_cannot_be_compared_is_not_said_to_fit_nothing(tmp_path: Path) -> None:
    strange = """<ir_version: 8, opset_import: ["" : 17, "nobody" : 1]> g (float[n,4] x) => (float[n,4] z)
        <float[4,4] w> { y = MatMul (x, w)  z = nobody.knows (y) }"""
    proto = onnx.parser.parse_model(strange)
    weight = np.arange(16, dtype=np.float32).reshape(4, 4) + 1
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    result = gscompile.compile(proto, out=tmp_path / "out")
    said = " ".join(result.report.messages)
    assert "no output can be compared, so nothing may be lost: the original network is mapped" in said
    assert "nothing smaller fits" not in said
    with pytest.raises(gscompile.errors.BudgetError, match="no output can be compared"):
        gscompile.compile(proto, out=tmp_path / "strict", strict=True)


EMPTY = """g (float[n,2,0] x, float[n,4] z) => (float[n,3,2] y, float[n,3] v) <float[3,0] w, float[4,3] u>
    { y = Einsum <equation = "nab,cb->nca"> (x, w)  v = MatMul (z, u) }"""


def test_a_network_on_which_onnxruntime_ends_its_process_is_compiled_around(tmp_path: Path) -> None:
    """Einsum divides by the size of an axis that has none, so the process that runs it dies of it: not this one."""
    result = gscompile.compile(model(EMPTY), out=tmp_path / "out")
    assert "onnxruntime ends its process (SIGFPE) when it runs the network" in result.report.messages[0]
    assert result.report.drift is None
    assert result.report.after.cells == 4 * 3
    arrays = {"x": np.zeros((8, 2, 0), np.float32), "z": np.ones((8, 4), np.float32)}
    with pytest.raises(gscompile.errors.ModelError, match="onnxruntime ends its process"):
        gscompile.compile(model(EMPTY), out=tmp_path / "two", data=arrays)


def test_empty_axes_alone_are_no_reason_to_run_nothing(tmp_path: Path) -> None:
    text = "g (float[n,2,0] x) => (float[n,2,3] y) <float[0,3] w> { y = MatMul (x, w) }"
    assert gscompile.compile(model(text), out=tmp_path / "out").report.drift == 0
