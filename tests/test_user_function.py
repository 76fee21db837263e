"""A user's own loss, metric and augmentation: what they are told, what they must return, and how they are told apart."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

import gscompile
from gscompile.cli import main
from gscompile.data.dataset import load_data
from gscompile.data.inputs import input_specs
from gscompile.errors import DataError, UsageError
from gscompile.options import Options
from gscompile.scoring.metrics import AGREEMENT, Metric
from gscompile.training.augment import augmentation
from gscompile.training.checkpoint import key_of
from gscompile.training.make_trainer import make_trainer
from gscompile.training.training_options import TrainingOptions
from gscompile.user_function import UserFunction
from tests.small_networks import model, network

LINE = "line (float[n,4] x) => (float[n,2] y, float[n,4] r) <float[4,2] w> { y = MatMul (x, w)  r = Relu (x) }"
MLP = """mlp (float[n,4] x) => (float[n,3] y) <float[4,8] a, float[8] b, float[8,3] c>
    { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"""
MINE = """
import numpy as np

def loss(outputs, targets, labels):
    return (outputs["y"] - targets["y"]).abs().mean()

def metric(outputs, targets, labels):
    return 100.0 * np.mean(np.sign(outputs["y"]) == np.sign(targets["y"]))

def noise(inputs, generator):
    return {name: x + 0.01 for name, x in inputs.items()}

def broken(*arguments):
    raise KeyError("weight")

def nothing(*arguments):
    pass

def constant(outputs, targets, labels):
    return targets["y"].sum()

def infinite(outputs, targets, labels):
    return outputs["y"].sum() / 0.0

def per_sample(outputs, targets, labels):
    return outputs["y"].sum(1)

def never(outputs, targets, labels):
    return float("nan")

number = 3
"""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a network, data without labels and a module of functions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(MINE, "utf-8")
    onnx.save(model(MLP), tmp_path / "mlp.onnx")
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32))
    return tmp_path


def run(*arguments: str) -> Result:
    short = ["--data", "data.npz", "--threads", "1", "--epochs", "0.02", "--effort", "quick", "--quiet"]
    return CliRunner().invoke(main, ["mlp.onnx", *short, *arguments])


# -- training ---------------------------------------------------------------------------------------------------


def regression() -> tuple[Any, Any]:
    """A linear network, and data whose labels are another one's outputs."""
    net, rng = network(LINE), np.random.default_rng(0)
    x, w = rng.standard_normal((256, 4)).astype(np.float32), rng.standard_normal((4, 2)).astype(np.float32)
    return net, load_data({"x": x, "labels": x @ w}, input_specs(net.model))


def test_a_loss_is_told_outputs_the_originals_outputs_and_labels() -> None:
    told = []

    def loss(outputs: dict[str, Tensor], targets: dict[str, Tensor], labels: Tensor) -> Tensor:
        told.append((sorted(outputs), sorted(targets), labels.shape, labels.dtype))
        return (outputs["y"] - labels).square().mean()

    net, data = regression()
    trainer = make_trainer(net, data, data, TrainingOptions(batch_size=32, lr=0.05, loss=loss))
    tuned = trainer.tune(net, 2.0)
    assert set(map(str, told)) == {str((["r", "y"], ["r", "y"], torch.Size([32, 2]), torch.float32))}
    labels = data.batch(np.arange(256)).labels
    x = data.batch(np.arange(256)).inputs["x"]
    assert np.abs(x @ net.layers[0].matrix - labels).mean() > 0.5
    assert np.abs(x @ tuned.layers[0].matrix - labels).mean() < 0.05


def test_a_metric_is_the_mean_over_samples_of_what_it_says_of_batches() -> None:
    def rows(outputs: dict[str, Any], targets: dict[str, Any], labels: Any) -> float:
        assert targets["y"].shape == outputs["y"].shape
        assert labels is None
        return float(outputs["y"][0, 0])

    metric = Metric(AGREEMENT, ("y",), ()).by(rows)
    one, three = {"y": np.full((1, 2), 10.0)}, {"y": np.full((3, 2), 50.0)}
    assert metric.score([(one, one, None), (three, three, None)]) == 40
    assert metric.name.endswith("rows")


def test_a_metric_that_is_no_number_is_the_worst_there_is() -> None:
    metric = Metric(AGREEMENT, ("y",), ()).by(lambda *_: math.nan)
    assert metric.score([({"y": np.zeros((1, 2))}, {"y": np.zeros((1, 2))}, None)]) == -math.inf


def test_an_augmentation_varies_all_inputs_after_those_before_it() -> None:
    def half(inputs: dict[str, Tensor], _: torch.Generator) -> dict[str, Tensor]:
        return {name: x / 2 for name, x in inputs.items()}

    varied = augmentation([half, "flip", half])({"x": torch.ones(2, 3)}, torch.Generator())
    assert varied["x"].tolist() == [[0.25] * 3] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda *_: None,
        lambda *_: {},
        lambda x, _: {"x": x["x"].double()},
        lambda x, _: {"x": x["x"][:1]},
        lambda x, _: {"y": x["x"]},
    ],
)
def test_an_augmentation_must_return_the_inputs(wrong: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"augment .*: must return the inputs"):
        augmentation([wrong])({"x": torch.ones(2, 3)}, torch.Generator())


# -- the command line and Python ----------------------------------------------------------------------------------


def test_all_three_are_taken_by_name_from_the_working_folder(here: Path) -> None:
    result = run(
        "--loss", "mine:loss", "--metric", "mine:metric", "--augment", "mine:noise", "-o", "out", "--max-drop", "5"
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads((here / "out/report.json").read_text("utf-8"))
    (accuracy,) = report["accuracy"]
    assert (accuracy["metric"], accuracy["before"]) == ("mine:metric", 100)
    assert 95 <= accuracy["after"] <= 100
    options = report["options"]
    assert [options["loss"], options["metric"], options["augment"]] == ["mine:loss", "mine:metric", ["mine:noise"]]


def test_python_takes_the_functions_themselves(here: Path) -> None:
    def loss(outputs: dict[str, Tensor], targets: dict[str, Tensor], _: Tensor | None) -> Tensor:
        return (outputs["y"] - targets["y"]).square().mean()

    settings: dict[str, Any] = {"threads": 1, "epochs": 0.02, "effort": "quick", "max_drop": 5}
    result = gscompile.compile(here / "mlp.onnx", data="data.npz", out=here / "out", loss=loss, **settings)
    assert str(result.report.options["loss"]).endswith("test_python_takes_the_functions_themselves.<locals>.loss")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("--loss=mine", "loss 'mine': write package.module:function"),
        ("--loss=mine:loss:x", "loss 'mine:loss:x': write package.module:function"),
        (
            "--loss=nowhere:loss",
            "loss nowhere:loss: cannot be imported (ModuleNotFoundError: No module named 'nowhere')",
        ),
        ("--metric=mine:nobody", "cannot be imported (AttributeError: module 'mine' has no attribute 'nobody')"),
        ("--metric=mine:number", "metric mine:number: is of type int; name a function"),
        ("--loss=mine:broken", "loss mine:broken: raised an error (KeyError: 'weight')"),
        ("--metric=mine:broken", "metric mine:broken: raised an error (KeyError: 'weight')"),
        ("--augment=mine:broken", "augment mine:broken: raised an error (KeyError: 'weight')"),
        (
            "--loss=mine:nothing",
            "loss mine:nothing: returned a NoneType; a scalar tensor is needed, the mean over the batch",
        ),
        (
            "--loss=mine:per_sample",
            "loss mine:per_sample: returned a torch.float32 tensor [100]; a scalar tensor is needed",
        ),
        ("--loss=mine:constant", "loss mine:constant: does not depend on the outputs in a way that torch can follow"),
        ("--loss=mine:infinite", "loss mine:infinite: gives no finite number for the original's own outputs"),
        ("--metric=mine:nothing", "metric mine:nothing: returned a NoneType; a number is needed: percent of one batch"),
        ("--metric=mine:never", "metric mine:never: gives no finite number for the original network"),
        ("--augment=mine:nothing", "augment mine:nothing: must return the inputs"),
        ("--augment=blur", "augment 'blur': unknown; expected one of crop, flip, or package.module:function"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(here: Path, given: str, line: str) -> None:
    result = run(given)
    assert result.exit_code == 2, result.exception
    assert result.stderr.count("\n") == 1
    assert line in result.stderr
    assert sorted(path.name for path in here.iterdir() if path.name != "__pycache__") == [
        "data.npz",
        "mine.py",
        "mlp.onnx",
    ]


@pytest.mark.usefixtures("here")
def test_functions_need_data() -> None:
    result = CliRunner().invoke(main, ["mlp.onnx", "--loss", "mine:loss"])
    assert (result.exit_code, "--loss, --metric and --augment need --data" in result.stderr) == (2, True)


# -- what a journal knows of them -----------------------------------------------------------------------------------


def test_a_changed_function_is_another_one(here: Path) -> None:
    def key() -> str:
        net = network(MLP)
        return key_of(
            [net], Options(data="data.npz", loss="mine:loss"), [load_data("data.npz", input_specs(net.model))]
        )

    first = key()
    assert key() == first
    (here / "mine.py").write_text(MINE.replace("abs()", "square()"), "utf-8")
    assert key() != first


def test_functions_of_one_place_are_told_apart_by_what_they_captured() -> None:
    def scaled(by: float) -> Callable[[float], float]:
        return lambda x: by * x

    one, same, two = (UserFunction.of("loss", scaled(by)).identity() for by in (1.0, 1.0, 2.0))
    assert one == same
    assert one != two


def test_a_data_function_that_ends_the_process_is_named() -> None:
    from gscompile.data.sources import parts_of

    for ends in (lambda: sys.exit(0), lambda: os._exit(0)):
        with pytest.raises(DataError, match=r"raised an error .SystemExit: 0, which would end the process"):
            [*parts_of(ends, "f")]


class Odd(BaseException):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, Odd])
@pytest.mark.parametrize("when", ["called", "asked for a batch", "read"])
def test_an_error_that_is_no_exception_is_one_line_all_the_same(kind: type[BaseException], when: str) -> None:
    from gscompile.data.sources import parts_of

    def fails(*_: object, **__: object) -> Any:
        raise kind

    def batches() -> Iterator[Any]:
        yield {"x": np.ones((1, 4))}
        fails()

    odd = type("OddArray", (), {"__array__": fails})()
    function = {"called": fails, "asked for a batch": batches, "read": lambda: {"x": odd}}[when]
    with pytest.raises(DataError, match=rf"\({kind.__name__}(: {kind.__name__})?\)$"):
        [*parts_of(function, "f")]


def test_ctrl_c_in_a_data_function_stops() -> None:
    from gscompile.data.sources import parts_of

    def stopped() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        [*parts_of(stopped, "f")]


def test_a_function_that_returns_itself_is_refused() -> None:
    from gscompile.data.sources import parts_of

    def me() -> object:
        return me

    with pytest.raises(DataError, match="is a function that returns a function"):
        [*parts_of(me, "f")]


def test_the_working_folder_is_ours_again_after_theirs() -> None:
    from gscompile.user_function import Theirs

    here = os.getcwd()
    with Theirs():
        os.chdir("/")
    assert os.getcwd() == here
