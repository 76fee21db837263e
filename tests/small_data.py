"""A network of 264 weights and data that it labels itself: what it says is right, of all samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from gscompile.scoring.runner import Runner
from tests.small_networks import model

MLP = """mlp (float[n,8] x) => (float[n,3] y) <float[8,24] a, float[24] b, float[24,3] c>
    { h = Gemm (x, a, b)  r = Relu (h)  y = MatMul (r, c) }"""
DATA = ["--data", "train.npz", "--eval", "val.npz", "--test", "test.npz"]
# A few seconds of training that make it smaller.
SEARCH = ["--crossbar", "8x8", "--threads", "1", "--effort", "quick", "--epochs", "0.2", "--max-drop", "8",
          "--pass", "rank-clip", "--pass", "delete-groups:recovery_epochs=1,curve_slack=8"]  # fmt: skip


def write_inputs(folder: Path) -> None:
    """`mlp.onnx`, `train.npz`, `val.npz` and `test.npz`."""
    onnx.save(model(MLP), folder / "mlp.onnx")
    rng = np.random.default_rng(0)
    for name, count in (("train", 500), ("val", 200), ("test", 100)):
        x = rng.standard_normal((count, 8)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x, labels=Runner(folder / "mlp.onnx")({"x": x})["y"].argmax(1))
