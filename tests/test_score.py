"""Scores and output errors, computed in the head."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.data import Batch
from gscompile.evaluate import Runner, drift
from gscompile.score import ACCURACY, AGREEMENT, Metric, choose_metric
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
    assert drift(runner(1.0), runner(2.0), [batch(0, 5)]) == pytest.approx(0.5)  # 5 of a range of 10
    assert drift(runner(1.0), runner(2.0), [batch(0, 5), batch(-5, 0)]) == pytest.approx(0.25)
    assert drift(runner(2.0), runner(2.0), [batch(0, 5)]) == 0
    assert drift(runner(1.0), runner(2.0), [batch(5, 5)]) == pytest.approx(
        0.5
    )  # no range: of the value itself


def test_the_same_infinity_and_nan_are_no_drift_and_others_are_infinite() -> None:
    log = "h = Log (x)"
    assert drift(runner(1, log), runner(1, log), [batch(0, -1, 1, 2)]) == 0
    assert drift(runner(1), runner(1, log), [batch(0, -1, 1, 2)]) > 1e30
    assert drift(runner(1, log), runner(1, log), [batch(-1)]) == 0
