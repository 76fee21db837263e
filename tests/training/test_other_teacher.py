"""Learning from another network than the original: what it must be like, and what is learned."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from gscompile.cli import main
from gscompile.data.dataset import Batch, input_specs, load_data
from gscompile.errors import ModelError, UsageError
from gscompile.options import Options, Precision
from gscompile.progress import Progress
from gscompile.scoring.runner import Runner
from gscompile.training import teacher_cache
from gscompile.training.batches import Shard
from gscompile.training.checkpoint import Checkpoints, key_of
from gscompile.training.make_trainer import make_trainer
from gscompile.training.other_teacher import load_teacher
from gscompile.training.run_context import RunContext
from gscompile.training.run_spec import RunSpec
from gscompile.training.torch_trainer import TorchTrainer
from gscompile.training.training_data import MIN_RUN_STEPS
from gscompile.training.training_options import TrainingOptions
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
def test_the_outputs_of_the_teacher_are_learned_and_those_of_the_original_are_the_reference_of_scores(
    labels: bool,
) -> None:
    torch.set_num_threads(1)
    net, other = network(NET, w=WRONG), network(NET, w=RIGHT)
    data = [load_data(DATA if labels else {"x": X}, input_specs(net.model)) for _ in ("train", "val")]
    trainer = make_trainer(net, data[0], data[1], TrainingOptions(batch_size=32, lr=0.02), teacher=other)
    tuned = trainer.tune(net, 4.0).layers[0].matrix
    assert np.mean((X @ tuned).argmax(1) == X.argmax(1)) > 0.95
    assert trainer.score_original() == (
        0.0 if labels else 100.0
    )  # labels know better than the original, else nobody does
    assert trainer.score(other) == trainer.score_teacher() == (100.0 if labels else 0.0)


@pytest.mark.parametrize(("another", "period", "times"), [(True, 12, 2), (True, 0, -1), (False, 0, 1.25)])
def test_another_teacher_is_asked_about_each_varied_sample(another: bool, period: int, times: float) -> None:
    """This teacher is right of samples times -2 only; of a sample and three such it says (-1 + 2 + 2 + 2) / 4 on average."""
    trainer = teacher_of_varied_samples(another)
    rows = np.arange(3)
    batch = trainer.train.batch(rows)
    part = Shard(rows, batch, trainer.feeder.augment(trainer.feeder.feeds(batch), torch.Generator()), 1.0)
    spec = RunSpec(4, seed=0, anneal=False, lr=1.0, period=period)
    targets = trainer.teacher.targets(part, spec, epoch=0)["y"]
    assert np.allclose(targets, times * X[:3], atol=1e-6)


def test_another_teacher_is_asked_anew_in_twelve_epochs_over_all_stretches() -> None:
    """128 samples are four batches: 8 epochs are 32 steps, 20 more another 80, of which 16 are of samples not yet asked about."""
    trainer, asked = teacher_of_varied_samples(another=True), []
    trainer.teacher.outputs.executor.register_forward_pre_hook(lambda *_: asked.append(1))
    network = trainer.original
    for epochs, times, left in ((8, 32, 16), (20, 48, 0), (1, 48, 0)):
        network = trainer.tune(network, epochs * 4 / MIN_RUN_STEPS)
        assert (len(asked), trainer.throughput.uncached_epochs) == (times, left / MIN_RUN_STEPS)


def test_answers_that_do_not_fit_in_memory_are_asked_for_ever_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_cache, "CACHE_BYTES", 3 * 32 * 2 * 4)  # three batches of 32 samples and two outputs
    trainer = teacher_of_varied_samples(another=True)
    trainer.tune(trainer.original, 4 / MIN_RUN_STEPS)
    assert trainer.throughput.uncached_epochs == math.inf
    speed = trainer.throughput
    assert speed.seconds(2.0) == 2 * (speed.epoch + speed.teacher_seconds)


@pytest.mark.parametrize("step", [1, 4, 6, 58])
def test_who_is_interrupted_goes_on_with_the_same_lessons(tmp_path: Path, step: int) -> None:
    class Stopped(Progress):
        def steps(self, done: int, total: int) -> None:  # noqa: ARG002
            if done == step:
                raise KeyboardInterrupt

    def learned(**how: Any) -> NDArray[Any]:
        trainer = teacher_of_varied_samples(another=True, noise=0.1, **how)
        return trainer.tune(trainer.original, 0.4).layers[0].matrix

    run_context = RunContext(checkpoints=Checkpoints(tmp_path, every=0.0))
    with pytest.raises(KeyboardInterrupt):
        learned(run_context=run_context, progress=Stopped())
    assert np.array_equal(learned(run_context=run_context), learned())


@pytest.mark.parametrize("samples", [128, 107])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_who_is_interrupted_asks_only_in_epochs_that_were_not_finished(
    tmp_path: Path, samples: int, precision: Precision
) -> None:
    """107 samples are three batches, and a rest that is left out: of ten steps, nine are of three whole epochs."""
    asked, run_context, whole = list[int](), RunContext(checkpoints=Checkpoints(tmp_path)), samples // 32
    for steps, times in ((10, 10), (10, 10 % whole), (12 * whole, 12 * whole - 10 + 10 % whole)):
        trainer = teacher_of_varied_samples(
            another=True, noise=0.1, samples=samples, precision=precision, run_context=run_context
        )
        asked.clear()
        trainer.teacher.outputs.executor.register_forward_pre_hook(lambda *_: asked.append(1))
        trainer.tune(trainer.original, steps / MIN_RUN_STEPS, lr=1.0 + times)  # another stretch each time
        assert len(asked) == times


def test_stretches_go_on_where_epochs_come_again() -> None:
    assert [RunSpec(9, seed=5, anneal=False, lr=1.0, epoch=11, period=12).seed_of(e) for e in (0, 1, 12)] == [16, 5, 16]
    assert [RunSpec(9, seed=5, anneal=False, lr=1.0, epoch=11).seed_of(e) for e in (0, 1, 12)] == [5, 6, 17]


def teacher_of_varied_samples(
    another: bool, noise: float = 0.0, samples: int = len(X), precision: Precision = "auto", **how: Any
) -> TorchTrainer:
    """Samples are taken times -2, and a share of that more or less by chance."""

    def vary(inputs: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
        x = inputs["x"]
        return {"x": -2 * x * (1 + noise * torch.randn(x.shape, generator=generator))}

    net = network(NET, w=-np.eye(2))
    train, val = (load_data(DATA, input_specs(net.model)) for _ in ("train", "val"))
    options = TrainingOptions(batch_size=32, lr=1e-3, precision=precision, augment=(vary,))
    return make_trainer(net, train.take(samples), val, options, teacher=net.copy() if another else None, **how)


def test_another_teacher_is_softened_more_than_the_original() -> None:
    net = network(NET)
    data = load_data(DATA, input_specs(net.model))
    assert [make_trainer(net, data, data, TrainingOptions(), teacher=t).objective.temperature for t in (None, net)] == [
        2.0,
        4.0,
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            NET.replace("y", "z"),
            r"outputs 'z' as float32 \[4, 2\]; expected 'y' as float32 \[4, 2\]",
        ),
        (NET.replace("float[n,2] y", "float[n,3] y").replace("[2,2]", "[2,3]"), r"outputs 'y' as float32 \[4, 3\];"),
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
    assert (
        "learned from teacher.onnx: 100.00 % accuracy on the eval data"
        in json.loads((out / "report.json").read_text("utf-8"))["messages"]
    )


def test_a_teacher_needs_data(tmp_path: Path) -> None:
    onnx.save(model(NET), tmp_path / "net.onnx")
    result = CliRunner().invoke(main, [str(tmp_path / "net.onnx"), "--teacher", "teacher.onnx"])
    assert (result.exit_code, result.stderr) == (2, "gscompile: --teacher needs --data: without it nothing is tuned\n")
