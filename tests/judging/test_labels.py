"""Columns of class numbers and one-hot rows are read as class numbers; other forms are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gscompile
from gscompile.data.dataset import load_data
from gscompile.data.inputs import input_specs
from gscompile.data.labels import with_class_numbers
from gscompile.errors import DataError
from gscompile.graph.network import Network
from tests.small_networks import model, network

TEXT = "net (float[n,8] x) => (float[n,3] y) <float[8,3] w> { y = MatMul (x, w) }"


def samples(count: int, labels: Any = None) -> dict[str, Any]:
    given = {"x": np.random.default_rng(0).standard_normal((count, 8)).astype(np.float32)}
    return given if labels is None else given | {"labels": labels}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            np.eye(3, dtype=np.float32)[np.arange(60) % 3] + 1,
            "'labels' is float32 [60, 3], expected one whole number for each sample, [60]; "
            "of one-hot rows give labels.argmax(axis=1)",
        ),
        (
            np.zeros((60, 1), np.float32),
            "'labels' is float32 [60, 1], expected one whole number for each sample, [60]: give labels[:, 0]",
        ),
        (np.zeros(60, np.float32), "'labels' is float32 [60], expected one whole number for each sample, [60]"),
    ],
)
def test_labels_of_another_shape_are_refused_with_what_to_give(labels: Any, said: str, tmp_path: Path) -> None:
    for given in ({"data": samples(60, labels)}, {"test": samples(60, labels)}):
        with pytest.raises(DataError) as refused:
            gscompile.compile(model(TEXT), out=tmp_path / "out", effort="quick", **given)  # type: ignore[arg-type]
        assert str(refused.value).partition(": ")[2] == said


@pytest.mark.parametrize(
    ("labels", "form"),
    [
        (np.array([[2], [0], [1]]), "a column of class numbers [3, 1]"),
        (np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32), "one-hot rows [3, 3]"),
    ],
)
def test_a_column_and_one_hot_rows_are_class_numbers(labels: Any, form: str) -> None:
    specs = input_specs(network(TEXT).model)
    data, said = with_class_numbers(load_data(samples(3, labels), specs))
    read = data.batch(np.arange(3)).labels
    assert read is not None
    assert read.tolist() == [2, 0, 1]
    assert said == (f"labels: {form} are read as one class number for each sample",)


def test_one_hot_labels_give_an_accuracy_and_a_line(tmp_path: Path) -> None:
    test = samples(4)
    right = (test["x"] @ Network.from_proto(model(TEXT)).layers[0].matrices[0]).argmax(1)
    found = gscompile.compile(model(TEXT), out=tmp_path / "out", test=test | {"labels": np.eye(3)[right]}, passes=())
    assert found.report.accuracy[-1].before == 100
    assert "labels: one-hot rows [4, 3] are read as one class number for each sample" in found.report.messages


def test_labels_that_the_test_data_alone_has_give_its_accuracy(tmp_path: Path) -> None:
    """Labels that are the network's own answers, but for the first of ten samples."""
    test, weight = samples(10), Network.from_proto(model(TEXT)).layers[0].matrices[0]
    labels = (test["x"] @ weight).argmax(1)
    labels[0] = (labels[0] + 1) % 3
    found = gscompile.compile(
        model(TEXT), out=tmp_path / "out", data=samples(60), test=test | {"labels": labels}, effort="quick", passes=()
    )
    last = found.report.accuracy[-1]
    assert (last.metric, last.split, last.samples, last.before) == ("accuracy", "the test data", 10, 90)


def test_one_batch_whose_samples_are_on_two_axes_is_not_called_one_sample() -> None:
    specs = input_specs(
        network(
            "net (float[batch,8] x, float[2,batch,4] h) => (float[batch,3] y, float[2,batch,4] g) <float[8,3] w> "
            "{ y = MatMul (x, w)  g = Relu (h) }"
        ).model
    )
    data = load_data({"x": np.zeros((16, 8), np.float32), "h": np.zeros((2, 16, 4), np.float32)}, specs)
    with pytest.raises(DataError) as refused:
        data.split(0.1, 0)
    assert str(refused.value) == (
        "the data is one batch, because its inputs do not all have their samples on axis 0: a part to decide on cannot "
        "be split off; expected at least 2 batches (a file for each in a folder), or --eval"
    )
