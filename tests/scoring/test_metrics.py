"""Scores and output errors, computed in the head."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.data.dataset import Batch
from gscompile.scoring.metrics import ACCURACY, AGREEMENT, EXPECTED, Metric, choose_metric, informative_samples
from gscompile.scoring.runner import Runner, max_output_error, rounding_sensitivity
from tests.small_networks import model

LOGITS = {"y": np.array([[1.0, 2], [3, 0], [0, 1], [5, 4]])}  # classes 1 0 1 0
OTHER = {"y": np.array([[2.0, 1], [3, 0], [0, 1], [5, 4]])}  # classes 0 0 1 0


def test_accuracy_counts_labels_over_all_batches() -> None:
    metric = Metric(ACCURACY, ("y",), ())
    one, two = np.array([1, 0, 1, 1]), np.array([1, 0, 1, 0])
    assert metric.score([(LOGITS, OTHER, one)]) == 75
    assert metric.score([(LOGITS, OTHER, one), (LOGITS, OTHER, two)]) == 87.5


def test_agreement_looks_at_the_original_and_not_at_labels() -> None:
    assert Metric(AGREEMENT, ("y",), ()).score([(LOGITS, OTHER, np.array([1, 0, 1, 0]))]) == 75
    assert Metric(AGREEMENT, ("y",), ()).score([(LOGITS, LOGITS, None)]) == 100


def test_values_are_judged_by_the_variance_they_explain() -> None:
    reference, ours = {"v": np.array([[[0.0, 2.0]]])}, {"v": np.array([[[0.0, 1.0]]])}
    metric = Metric(AGREEMENT, (), ("v",))
    assert metric.score([(ours, reference, None)]) == pytest.approx(50)  # error 1, variance 2
    assert metric.score([(reference, reference, None)]) == 100
    assert metric.score([({"v": np.array([[[9.0, 9.0]]])}, reference, None)]) == 0  # never below


def test_the_worst_output_counts() -> None:
    metric = Metric(AGREEMENT, ("y",), ("v",))
    v = np.zeros((4, 1, 1))
    assert metric.score([({**LOGITS, "v": v}, {**OTHER, "v": v}, None)]) == 75


def test_the_commonest_class_tells_nothing() -> None:
    metric = Metric(AGREEMENT, ("y",), ())
    assert informative_samples(metric, [(LOGITS, None, 4)]) == 2  # classes 1 0 1 0
    assert informative_samples(metric, [(LOGITS, None, 4), (OTHER, None, 4)]) == 3  # and 0 0 1 0
    assert informative_samples(metric, [({"y": np.eye(4)[[2, 2, 2, 2]]}, None, 4)]) == 0
    assert informative_samples(Metric(AGREEMENT, (), ("v",)), [({"v": np.zeros((4, 1))}, None, 4)]) == float("inf")


def test_of_labels_the_commonest_tells_nothing() -> None:
    assert informative_samples(Metric(ACCURACY, ("y",), ()), [(LOGITS, np.array([7, 7, 7, 1]), 4)]) == 1


def test_positions_of_one_sample_are_not_samples() -> None:
    two = {"y": np.array([[[0, 1.0], [1, 0]], [[0, 1], [1, 0]]]).transpose(1, 0, 2)}  # two positions first, one sample
    assert informative_samples(Metric(AGREEMENT, ("y",), ()), [(two, None, 1)]) == 0.5


def test_looking_closely_asks_for_the_values_of_classes_too() -> None:
    near = {"y": np.array([[1.0, 2], [9, 0], [0, 1], [5, 4]])}  # the same classes, 6 off where entries differ by 5
    plain = Metric(ACCURACY, ("y",), ())
    assert not plain.looks_closely
    assert Metric(AGREEMENT, ("y",), ()).score([(near, LOGITS, None)]) == 100
    closely = plain.closely()
    assert (closely.name, closely.looks_closely) == (AGREEMENT, True)
    assert closely.score([(near, LOGITS, np.zeros(4))]) == 0  # squares about the mean: 14.75 + 8.75, the error: 36
    assert closely.score([(LOGITS, LOGITS, np.zeros(4))]) == 100


def test_labels_are_used_where_an_output_tells_classes() -> None:
    labels = np.array([0, 1, 0, 1])
    assert choose_metric(LOGITS, labels) == Metric(ACCURACY, ("y",), ())
    assert choose_metric(LOGITS, None) == Metric(AGREEMENT, ("y",), ())
    assert choose_metric(LOGITS, labels.astype(float)).name == AGREEMENT
    assert choose_metric(LOGITS, labels[:3]).name == AGREEMENT


def test_what_tells_classes_and_what_are_values() -> None:
    outputs = {
        "logits": np.zeros((4, 10)),
        "one": np.zeros((4, 1)),
        "map": np.ones((4, 3, 2)),
        "chances": np.full((4, 3, 2), 0.5),
        "index": np.zeros((4, 2), np.int64),
        "sequence": [np.zeros(3)],
    }
    assert choose_metric(outputs, None) == Metric(AGREEMENT, ("logits", "chances"), ("one", "map"))


SCALE = "g (float[n] x) => (float[n] y) <float[1] a> {{ {0}  y = Mul (h, a) }}"


def runner(factor: float, what: str = "h = Identity (x)") -> Runner:
    return Runner(model(SCALE.format(what), a=np.array([factor])).SerializeToString(), threads=1)


def batch(*values: float) -> Batch:
    return Batch({"x": np.array(values, np.float32)}, None)


def test_drift_is_relative_to_the_range_of_the_original() -> None:
    assert max_output_error(runner(1.0), runner(2.0), [batch(0, 5)]) == pytest.approx(0.5)  # 5 of a range of 10
    assert max_output_error(runner(1.0), runner(2.0), [batch(0, 5), batch(-5, 0)]) == pytest.approx(0.25)
    assert max_output_error(runner(2.0), runner(2.0), [batch(0, 5)]) == 0
    assert max_output_error(runner(1.0), runner(2.0), [batch(5, 5)]) == pytest.approx(
        0.5
    )  # no range: of the value itself


def test_the_same_infinity_and_nan_are_no_drift_and_others_are_infinite() -> None:
    log = "h = Log (x)"
    assert max_output_error(runner(1, log), runner(1, log), [batch(0, -1, 1, 2)]) == 0
    assert max_output_error(runner(1), runner(1, log), [batch(0, -1, 1, 2)]) > 1e30
    assert max_output_error(runner(1, log), runner(1, log), [batch(-1)]) == 0


def test_unrest_is_what_a_small_change_of_the_inputs_does() -> None:
    assert rounding_sensitivity(runner(1.0), [batch(1, 2, 3)], change=0.1) == pytest.approx(0.15)  # 0.3 of a range of 2
    steep = runner(1.0, "t = Constant <value = float {1000.0}> ()  h = Sub (x, t)")
    assert rounding_sensitivity(steep, [batch(1000, 1001)], change=1e-6) > 5e-4  # a thousand times as much


def test_expected_accuracy_counts_what_the_original_holds_possible() -> None:
    """The original is sure of one sample by 90 % and of the other by 60 %: 75 % are expected right."""
    chances = {"y": np.array([[0.9, 0.1], [0.6, 0.4]])}
    doubted, sure = {"y": np.array([[1.0, 0.0], [0.0, 1.0]])}, {"y": np.array([[0.0, 1.0], [1.0, 0.0]])}
    metric = Metric(AGREEMENT, ("y",), ()).expected()
    assert metric.name == EXPECTED
    assert metric.score([(chances, chances, None)]) == pytest.approx(75)
    assert metric.score([(doubted, chances, None)]) == pytest.approx(65)  # 0.9 and 0.4
    assert metric.score([(sure, chances, None)]) == pytest.approx(35)  # 0.1 and 0.6


def test_logits_are_chances_by_their_softmax() -> None:
    logits = {"y": np.log([[3.0, 1.0], [1.0, 4.0]])}  # 3/4 and 4/5
    said = {"y": np.array([[1.0, 0.0], [1.0, 0.0]])}
    metric = Metric(AGREEMENT, ("y",), ()).expected()
    assert metric.score([(logits, logits, None)]) == pytest.approx(77.5)
    assert metric.score([(said, logits, None)]) == pytest.approx(47.5)  # 0.75 and 0.2
