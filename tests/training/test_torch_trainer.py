"""Fine-tuning: weights that stay zero or shrink, scores and saliencies; networks of a dozen weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gscompile.compression.trainer import LearningRate
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.groups import families
from gscompile.crossbars.mapping import MapOptions
from gscompile.data.dataset import Dataset, input_specs, load_data
from gscompile.errors import UsageError
from gscompile.graph.network import Network
from gscompile.scoring.metrics import ACCURACY, standard_error
from gscompile.search.settings import RECOVERY_LR_SCALE
from gscompile.training import precision, training_run
from gscompile.training.batches import Shard
from gscompile.training.kfac_moments import measure_moments
from gscompile.training.learning_rate import RATES, choose_learning_rate
from gscompile.training.make_trainer import make_trainer
from gscompile.training.run_spec import RunSpec, Shrink
from gscompile.training.torch_trainer import TorchTrainer
from gscompile.training.training_data import MIN_RUN_STEPS
from gscompile.training.training_options import TrainingOptions
from tests.small_networks import network

TWO_LAYERS = """
two (float[n, 4] x) => (float[n, 3] y) <float[4, 6] w, float[6] b, float[6, 3] v> {
  h = Gemm(x, w, b)
  r = Relu(h)
  y = MatMul(r, v)
}
"""
ONE_LAYER = """
one (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w> {
  y = MatMul(x, w)
}
"""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def samples(net: Network, count: int = 256, labels: bool = False) -> Dataset:
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((count, 4)).astype(np.float32)}
    if labels:
        data["labels"] = (data["x"].sum(1) > 0).astype(np.int64) + (data["x"][:, 0] > 1)
    return load_data(data, input_specs(net.model))


def trainer(net: Network, labels: bool = False, **options: object) -> TorchTrainer:
    data = samples(net, labels=labels)
    return make_trainer(net, data, data, TrainingOptions(batch_size=32, **options))  # type: ignore[arg-type]


def test_the_original_agrees_with_itself() -> None:
    net = network(TWO_LAYERS)
    assert trainer(net).score(net) == 100.0


def test_labels_make_the_metric_accuracy_and_training_raises_it() -> None:
    net = network(TWO_LAYERS)
    judge = trainer(net, labels=True, lr=1e-2)
    assert judge.metric.name == ACCURACY
    assert judge.score(judge.tune(net, 2.0)) > judge.score(net)


def test_the_given_network_is_not_touched() -> None:
    net = network(TWO_LAYERS)
    before = net.to_proto().SerializeToString()
    trainer(net, labels=True).tune(net, 0.1)
    assert net.to_proto().SerializeToString() == before


def test_weights_that_are_zero_stay_zero() -> None:
    net = network(TWO_LAYERS, w=np.diag([1.0, 2.0, 3.0, 4.0, 0, 0])[:4])
    tuned = trainer(net, labels=True).tune(net, 0.2)
    old, new = net.layers[0].matrix, tuned.layers[0].matrix
    assert (new[old == 0] == 0).all()
    assert (new[old != 0] != old[old != 0]).any()


def test_what_shrinks_is_exactly_zero_at_the_end_and_the_rest_is_not() -> None:
    net = network(TWO_LAYERS)
    mask = np.zeros((1, 4, 6), bool)
    mask[0, 2] = True
    tuned = trainer(net, labels=True).tune(net, 0.2, Shrink({net.layers[0].name: mask}))
    assert (tuned.layers[0].matrix[2] == 0).all()
    assert (tuned.layers[0].matrix[[0, 1, 3]] != 0).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    net = network(TWO_LAYERS)
    first, second = (trainer(net, labels=True).tune(net, 0.2) for _ in range(2))
    assert first.to_proto().SerializeToString() == second.to_proto().SerializeToString()


def test_a_loss_that_is_not_finite_keeps_the_last_good_weights() -> None:
    net = network(TWO_LAYERS)
    tuned = trainer(net, labels=True, lr=1e30).tune(net, 0.2)
    assert all(np.isfinite(layer.matrices).all() for layer in tuned.layers)


def test_a_row_that_reads_nothing_but_zeros_harms_nobody() -> None:
    net = network(ONE_LAYER)
    data = {"x": np.random.default_rng(0).standard_normal((256, 4)).astype(np.float32)}
    data["x"][:, 1] = 0
    dataset = load_data(data, input_specs(net.model))
    judge = make_trainer(net, dataset, dataset, TrainingOptions(batch_size=32))
    rows, *_ = families(net, MapOptions(Crossbar(64, 64)))
    harm = judge.saliency(net, (rows,))[rows]
    assert harm[1] == 0
    assert (harm[[0, 2, 3]] > 0).all()


def test_input_moments_of_white_noise_are_the_identity() -> None:
    net = network(ONE_LAYER)
    judge = trainer(net)
    (moments,) = measure_moments(judge, net, net.layers, batches=8).values()
    assert moments.inputs.shape == (1, 4, 4)
    assert np.allclose(moments.inputs[0], np.eye(4), atol=0.35)
    assert moments.outputs.shape == (1, 3, 3)


def test_a_convolutions_moments_are_those_of_its_patches() -> None:
    net = network("conv (float[n, 2, 5, 5] x) => (float[n, 3, 3, 3] y) <float[3, 2, 3, 3] w> { y = Conv(x, w) }")
    images = np.ones((64, 2, 5, 5), np.float32)
    images[:, 1] = 2
    data = load_data({"x": images}, input_specs(net.model))
    judge = make_trainer(net, data, data, TrainingOptions(batch_size=32))
    (moments,) = measure_moments(judge, net, net.layers, batches=1).values()
    expected = np.repeat([1.0, 2.0], 9)  # channel by channel, as the weight is
    assert np.allclose(moments.inputs[0], np.outer(expected, expected))


def test_without_a_learning_rate_the_largest_that_does_no_harm_is_taken() -> None:
    net = network(TWO_LAYERS)
    data = samples(net, labels=True)
    trained = make_trainer(net, data, data, TrainingOptions(batch_size=32, lr=1e-2)).tune(net, 8.0, anneal=True)
    free = make_trainer(trained, data, data, TrainingOptions(batch_size=32))
    assert free.learning_rate is None  # a constructor trains nothing
    chosen = free.choose_learning_rate()
    assert chosen.value == RATES[0]
    assert 0 <= chosen.tuning_loss <= 2 * standard_error(free.score(trained), len(data))
    runs = free.numbers.runs
    assert free.choose_learning_rate() is chosen
    assert free.numbers.runs == runs
    given = make_trainer(trained, data, data, TrainingOptions(batch_size=32, lr=0.25))
    assert given.choose_learning_rate() == LearningRate(0.25, tuning_loss=0.0)
    assert given.numbers.runs == 0


@pytest.mark.parametrize(
    ("losses", "rate", "tried"),
    [
        ((0.4, 0.0, 0.0), 1e-3, 1),  # no more than a standard error
        ((0.9, 0.3, 0.0), 3e-4, 2),  # the second is gentler, by more than half a standard error
        ((0.52, 0.3, 0.0), 1e-3, 2),  # by less
        ((2.0, 1.9, 1.8), 1e-3, 3),  # the samples are to blame, not the rate
    ],
)
def test_a_rate_is_to_blame_for_what_it_takes_more_than_gentler_ones(
    losses: tuple[float, ...], rate: float, tried: int
) -> None:
    asked: list[float] = []

    def loss_of(trial: float) -> float:
        if trial not in RATES:
            return 4.0  # at the scale of recoveries: half of the errors, and half a point
        asked.append(trial)
        return losses[RATES.index(trial)]

    chosen = choose_learning_rate(loss_of, base=93.0, standard_error=0.5)
    assert (chosen.value, asked) == (rate, [*RATES[:tried]])
    assert chosen.tuning_loss == losses[RATES.index(rate)]


@pytest.mark.parametrize(
    ("scaled", "rate"),
    [
        ({1e-3: 47.7, 3e-4: 0.3}, 3e-4),  # ResNet-20's, at three times the rate
        ({1e-3: 47.7, 3e-4: 9.0}, 1e-4),  # the smallest is taken as it is
    ],
)
def test_a_rate_that_diverges_at_the_scale_of_recoveries_is_left_out(scaled: dict[float, float], rate: float) -> None:
    losses = {RECOVERY_LR_SCALE * trial: loss for trial, loss in scaled.items()}
    chosen = choose_learning_rate(lambda trial: losses.get(trial, 0.1), base=91.4, standard_error=0.5)
    assert chosen.value == rate


def test_weights_are_averaged_near_the_end_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(TWO_LAYERS)

    def after(steps: int, averaged: int) -> NDArray[np.float64]:
        monkeypatch.setattr(training_run, "AVERAGED_SHARE", averaged / steps)
        return trainer(net, labels=True, lr=1e-2).tune(net, steps / MIN_RUN_STEPS).layers[0].matrix.astype(float)

    separately = [after(steps, 1) for steps in (8, 9, 10)]
    assert np.allclose(after(10, 3), np.mean(separately, axis=0), atol=1e-6)


def test_a_run_that_is_annealed_is_not_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(TWO_LAYERS)
    ends = []
    for tail in (0.1, 0.9):
        monkeypatch.setattr(training_run, "AVERAGED_SHARE", tail)
        ends.append(trainer(net, labels=True, lr=1e-2).tune(net, 0.5, anneal=True).layers[0].matrix)
    assert np.array_equal(ends[0], ends[1])


def test_augmentation_that_hurts_is_left_out_while_the_rate_is_annealed() -> None:
    net = network(TWO_LAYERS)
    judge = trainer(net, labels=True, lr=1e-2, augment=(lambda inputs, _: {"x": torch.zeros_like(inputs["x"])},))
    first = judge.score(judge.anneal(net, 1.0))
    assert first > judge.score(net)  # zeros alone would teach nothing
    runs = judge.numbers.runs
    judge.anneal(net, 1.0)
    assert judge.numbers.runs == runs + 1  # the better of both is known from then on


@pytest.mark.parametrize(("wrong", "runs"), [(40, 1), (30, 2)])
def test_a_network_that_overfits_is_annealed_on_augmented_samples_without_a_trial(wrong: int, runs: int) -> None:
    """It errs on 20 samples that it is trained on: on less than 0.6 times 40, not on less than 0.6 times 30."""
    net = network("g (float[n,2] x) => (float[n,2] y) <float[2,2] w> { y = MatMul (x, w) }", w=np.eye(2))
    x = np.random.default_rng(0).standard_normal((256, 2)).astype(np.float32)

    def erring(count: int) -> Dataset:
        labels = np.where(np.arange(256) < count, x.argmin(1), x.argmax(1))
        return load_data({"x": x, "labels": labels}, input_specs(net.model))

    judge = make_trainer(net, erring(20), erring(wrong), TrainingOptions(lr=1e-9, augment=(lambda inputs, _: inputs,)))
    judge.anneal(net, 1 / MIN_RUN_STEPS)
    assert judge.numbers.runs == runs


@pytest.mark.parametrize(("labels", "factor", "times"), [(True, -2, (1 - 3 * 2) / 4), (True, 2, 1), (False, -2, 1)])
def test_the_teacher_is_run_on_augmented_samples_if_it_is_right_more_often_on_them(
    labels: bool, factor: int, times: float
) -> None:
    """This teacher is always wrong, and of samples that are mirrored often right; twice as large, they change nothing."""
    net = network("g (float[n,2] x) => (float[n,2] y) <float[2,2] w> { y = MatMul (x, w) }", w=-np.eye(2))
    x = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)
    data = load_data({"x": x} | ({"labels": x.argmax(1)} if labels else {}), input_specs(net.model))
    vary = (lambda inputs, _: {"x": factor * inputs["x"]},)
    judge = make_trainer(net, data, data, TrainingOptions(batch_size=32, augment=vary))
    part = Shard(np.arange(3), data.batch(np.arange(3)), {}, 1.0)
    targets = judge.teacher.targets(part, RunSpec(1, seed=0, anneal=False, lr=1.0), 0)["y"]
    assert np.allclose(targets, -times * x[:3])


IMAGES = """
seen (float[n, 1, 4, 4] x) => (float[n, 2] y) <float[3, 1, 3, 3] k, float[12, 2] w> {
  c = Conv(x, k)
  r = Relu(c)
  f = Flatten(r)
  y = MatMul(f, w)
}
"""


def image_trainer(monkeypatch: pytest.MonkeyPatch, native: bool, text: str = IMAGES, **options: object) -> TorchTrainer:
    net = network(text)
    x = np.random.default_rng(0).standard_normal((256, 1, 4, 4)).astype(np.float32)
    data = load_data({"x": x, "labels": (x.sum((1, 2, 3)) > 0).astype(np.int64)}, input_specs(net.model))
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda _: native)
    return make_trainer(net, data, data, TrainingOptions(batch_size=32, lr=1e-2, **options))  # type: ignore[arg-type]


def test_images_are_told_apart_in_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert image_trainer(monkeypatch, native=True).setup.step.bfloat16
    assert not image_trainer(monkeypatch, native=False).setup.step.bfloat16
    assert not image_trainer(monkeypatch, native=True, precision="float32").setup.step.bfloat16
    assert not trainer(network(TWO_LAYERS), labels=True).setup.step.bfloat16  # no images
    depthwise = IMAGES.replace("r = Relu(c)", "r = Conv<group=3>(c, d)").replace("k,", "k, float[3, 1, 1, 1] d,")
    assert not image_trainer(monkeypatch, native=True, text=depthwise).setup.step.bfloat16


def test_steps_in_bfloat16_leave_weights_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for kind in ("bfloat16", "float32"):
        judge = image_trainer(monkeypatch, native=True, precision=kind)
        trained = judge.tune(judge.original, 2.0, anneal=True)
        ends.append(trained.layers[0].matrix)
    single, before = ends[1], judge.original.layers[0].matrix
    assert ends[0].dtype == np.float32
    assert 0 < np.abs(ends[0] - single).max() < 0.1 * np.abs(single - before).max()


def test_a_network_that_does_not_run_in_bfloat16_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "runs_in_bfloat16", lambda *_: False)
    assert not image_trainer(monkeypatch, native=True).setup.step.bfloat16
    with pytest.raises(UsageError, match=r"precision bfloat16.*expected float32 or auto"):
        image_trainer(monkeypatch, native=True, precision="bfloat16")
