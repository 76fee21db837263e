"""What is decided follows from training and validation data alone: the test data is measured, once, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gscompile.cli import main
from tests.small_data import DATA, SEARCH, write_inputs

DECIDED = ("model.onnx", "netlist.json", "tiles.npz")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with data; `other` holds the same but for the test labels, which are mixed."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        write_inputs(folder)
    with np.load("test.npz") as arrays:
        mixed = np.random.default_rng(1).permutation(arrays["labels"])
        np.savez("other/test.npz", x=arrays["x"], labels=mixed)
    return tmp_path


def run(*words: str) -> None:
    result = CliRunner().invoke(main, [*words, *SEARCH, "--quiet"])
    assert result.exit_code == 0, result.output


def test_mixed_test_labels_change_nothing_but_the_test_accuracy(here: Path) -> None:
    run("mlp.onnx", *DATA, "-o", "out")
    run("mlp.onnx", *DATA[:4], "--test", "other/test.npz", "-o", "mixed")
    run("mlp.onnx", *DATA[:4], "-o", "without")
    for name in DECIDED:
        for other in ("mixed", "without"):
            assert (here / "out" / name).read_bytes() == (here / other / name).read_bytes(), f"{other}/{name}"
    first, mixed = report(here / "out"), report(here / "mixed")
    assert first["accuracy"][0] == mixed["accuracy"][0]  # validation
    assert first["accuracy"][1]["after"] > 80
    assert mixed["accuracy"][1]["after"] < 60
    assert first["after"]["cells"] < first["before"]["cells"]


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    return found
