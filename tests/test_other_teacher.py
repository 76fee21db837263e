"""Learning from another network than the original: what it must be like, and what is learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from gscompile.cli import main
from gscompile.data import Batch, input_specs, load_data
from gscompile.errors import ModelError, UsageError
from gscompile.evaluate import Runner
from gscompile.journal import key_of
from gscompile.options import Options
from gscompile.other_teacher import load_teacher
from gscompile.stretch import Part, Stretch
from gscompile.tune import TuneOptions, Tuner
from tests.small_networks import model, network

NET = "net (float[n,2] x) => (float[n,2] y) <float[2,2] w> { y = MatMul (x, w) }"
RIGHT, WRONG = np.array([[1.0, 0.1], [0.1, 1.0]]), np.array([[0.1, 1.0], [1.0, 0.1]])
X = np.random.default_rng(0).standard_normal((128, 2)).astype(np.float32)
DATA = {"x": X, "labels": X.argmax(1)}


def saved(folder: Path, text: str, **given: Any) -> str:
    onnx.save(model(text, **given), folder / "teacher.onnx")
    return str(folder / "teacher.onnx")


def asked() -> tuple[Batch, dict[str, Any]]:
    """Four samples, and what the network says of them."""
    net = network(NET)
    batch = next(load_data({"x": X}, input_specs(net.model)).batches(4))
    return batch, Runner(net)(batch.inputs)


@pytest.mark.parametrize("labels", [True, False])
def test_what_the_teacher_says_is_learned_and_what_the_original_says_is_scored_by(labels: bool) -> None:
    torch.set_num_threads(1)
    net, other = network(NET, w=WRONG), network(NET, w=RIGHT)
    data = [load_data(DATA if labels else {"x": X}, input_specs(net.model)) for _ in ("train", "val")]
    tuner = Tuner(net, data[0], data[1], TuneOptions(batch_size=32, lr=0.02), teacher=other)
    tuned = tuner.tune(net, 4.0).layers[0].matrix
    assert np.mean((X @ tuned).argmax(1) == X.argmax(1)) > 0.95
    assert tuner.base == (0.0 if labels else 100.0)  # labels know better than the original, else nobody does
    assert tuner.score(other) == tuner.teacher_score == (100.0 if labels else 0.0)


@pytest.mark.parametrize(("epochs", "another", "times"), [(9, True, 2), (8, True, 1.25), (9, False, 1.25)])
def test_another_teacher_is_asked_about_each_varied_sample_where_a_stretch_is_long(
    epochs: int, another: bool, times: float
) -> None:
    """This teacher is right of samples times -2 only; of a sample and three such it says (-1 + 2 + 2 + 2) / 4 on average."""
    net = network(NET, w=-np.eye(2))
    train, val = (load_data(DATA, input_specs(net.model)) for _ in ("train", "val"))
    options = TuneOptions(batch_size=32, augment=(lambda inputs, _: {"x": -2 * inputs["x"]},))
    tuner = Tuner(net, train, val, options, teacher=net.copy() if another else None)
    rows = np.arange(3)
    batch = train.batch(rows)
    part = Part(rows, batch, tuner.augment(tuner.feeds(batch), torch.Generator()), 1.0)
    said = tuner.lesson(part, Stretch(4 * epochs, seed=0, anneal=False, lr=1.0))["y"]
    assert np.allclose(said, times * X[:3], atol=1e-6)


def test_another_teacher_is_softened_more_than_the_original() -> None:
    net = network(NET)
    data = load_data(DATA, input_specs(net.model))
    assert [Tuner(net, data, data, TuneOptions(), teacher=t).objective.temperature for t in (None, net)] == [2.0, 4.0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (NET.replace("y", "z"), r"gives 'z' as float32 \[4, 2\]; a network that gives 'y' as float32 \[4, 2\] would do"),
        (NET.replace("float[n,2] y", "float[n,3] y").replace("[2,2]", "[2,3]"), r"gives 'y' as float32 \[4, 3\];"),
        (NET.replace("x", "image"), "does not take the data of the network: .*x"),
        (NET.replace("[n,2] x", "[7,2] x"), "does not take the data of the network: .*7"),
    ],
)
def test_a_teacher_must_take_and_give_what_the_network_does(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=rf"^teacher .*teacher\.onnx: {says}"):
        load_teacher(saved(tmp_path, text), *asked())
    with pytest.raises(ModelError, match=r"none\.onnx"):
        load_teacher(str(tmp_path / "none.onnx"), *asked())


def test_a_teacher_may_have_other_layers_and_is_folded(tmp_path: Path) -> None:
    deep = NET.replace("w>", "w, float[2,2] v, float[2] b>").replace("MatMul (x, w)", "MatMul (r, w)")
    deep = deep.replace("{", "{ h = MatMul (x, v)  t = Add (h, b)  r = Relu (t) ")
    teacher = load_teacher(saved(tmp_path, deep), *asked())
    assert [node.op_type for node in teacher.to_proto().graph.node] == ["Gemm", "Relu", "MatMul"]


def test_another_teacher_is_another_command_for_the_journal() -> None:
    net = network(NET)
    keys = [key_of([net, other], Options(), []) for other in (None, network(NET, w=RIGHT), network(NET, w=WRONG))]
    assert len({*keys}) == 3


def test_the_report_says_whom_it_was_learned_from(tmp_path: Path) -> None:
    onnx.save(model(NET, w=RIGHT * 1.5), tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", **DATA)
    teacher, out = saved(tmp_path, NET, w=RIGHT), tmp_path / "out"
    words = [str(tmp_path / "net.onnx"), "--data", str(tmp_path / "data.npz"), "--eval", str(tmp_path / "data.npz")]
    words += ["--teacher", teacher, "--effort", "quick", "--threads", "1", "--epochs", "0.1", "--out", str(out), "-q"]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "learned from teacher.onnx: 100.00 % accuracy on the eval data" in json.loads(
        (out / "report.json").read_text("utf-8")
    )["messages"]


def test_a_teacher_needs_data(tmp_path: Path) -> None:
    onnx.save(model(NET), tmp_path / "net.onnx")
    result = CliRunner().invoke(main, [str(tmp_path / "net.onnx"), "--teacher", "teacher.onnx"])
    assert (result.exit_code, result.stderr) == (2, "gscompile: --teacher needs --data: without it nothing is tuned\n")
