"""Compression without training from end to end: by what may be lost, by size, and by both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.errors import BudgetError
from gscompile.scoring.runner import Runner

SAMPLES = Path(__file__).parents[2] / "samples"
DIGITS = SAMPLES / "digits.onnx"


def images(count: int) -> dict[str, Any]:
    with np.load(SAMPLES / "digits_train.npz") as file:
        return {"image": file["image"][:count]}


def compiled(out: Path, **asked: Any) -> Any:
    return gscompile.compile(DIGITS, "16x16", out, data=images(256), finetune="none", threads=1, **asked)


def right(model: Path) -> float:
    """Percent of the test images that a file tells right."""
    with np.load(SAMPLES / "digits_test.npz") as file:
        (said,) = Runner(model, threads=1)({"image": file["image"]}).values()
        return float(100 * np.mean(said.argmax(1) == file["labels"]))


@pytest.mark.slow
def test_unlabelled_images_take_half_of_the_cells_at_little_loss(tmp_path: Path) -> None:
    report = compiled(tmp_path / "out", max_cells="50%").report
    assert 0.4 * report.before.cells < report.after.cells <= 0.5 * report.before.cells
    assert report.accuracy[0].samples == 64  # a quarter is held out where only a size is asked for
    assert right(tmp_path / "out" / "model.onnx") > right(DIGITS) - 3


def test_an_input_without_axes_is_the_same_for_all_samples(tmp_path: Path) -> None:
    """Of 8 x 4 weights, 60 % are 19 cells: rank 1 takes 12."""
    rng = np.random.default_rng(0)
    w = onnx.numpy_helper.from_array(rng.standard_normal((8, 4)).astype(np.float32), "w")
    scaled = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        g (float[n,8] x, float s) => (float[n,4] y) { h = MatMul (x, w)  y = Mul (h, s) }"""
    )
    scaled.graph.initializer.append(w)
    data = {"x": rng.standard_normal((128, 8)).astype(np.float32), "s": np.float32(2)}
    report = gscompile.compile(scaled, "4x4", tmp_path / "out", data=data, finetune="none", max_cells="60%").report
    assert (report.before.cells, report.after.cells) == (32, 12)


@pytest.mark.slow
def test_points_bound_what_is_lost(tmp_path: Path) -> None:
    report = compiled(tmp_path / "out", max_drop=1.0).report
    assert report.after.cells < report.before.cells
    assert report.accuracy[0].metric == "expected accuracy"
    assert report.accuracy[0].after >= report.accuracy[0].before - 1
    assert report.accuracy[1].metric == "agreement with the original"
    assert right(tmp_path / "out" / "model.onnx") > 90  # of images by other hands; the original 99.3


@pytest.mark.slow
def test_where_both_cannot_be_had_the_points_are_kept_and_the_report_tells_what_is_missed(tmp_path: Path) -> None:
    report = compiled(tmp_path / "out", max_drop=0.5, max_cells="8%").report
    most = report.before.cells * 8 // 100
    missed = (
        f"{report.after.cells:,} cells where at most {most:,} are asked for: missed by {report.after.cells - most:,}"
    )
    assert missed in report.messages
    assert any(" misses the score that --max-drop asks for by " in message for message in report.messages)
    assert report.accuracy[0].after >= report.accuracy[0].before - 0.5
    with pytest.raises(BudgetError, match="cells where at most"):
        compiled(tmp_path / "strict", max_drop=0.5, max_cells="8%", strict=True)
    assert not (tmp_path / "strict").exists()
