"""Networks whose quantisers meet ties, which onnxruntime rounds one way optimised and another way plain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.data.dataset import Batch
from gscompile.judging.own_faults import rounding_gap
from gscompile.judging.verify import verify_again
from gscompile.scoring.runner import Runner
from tests.small_networks import model

TIES = """g (float[n,8] x) => (float[n,8] y)
    <int8[8,8] w, float xs = {0.7}, float ws = {0.1}, float ys = {0.14}, int8 z = {0}>
    { q = QuantizeLinear (x, xs, z)  d = DequantizeLinear (q, xs, z)  v = DequantizeLinear (w, ws, z)
      m = MatMul (d, v)  r = QuantizeLinear (m, ys, z)  y = DequantizeLinear (r, ys, z) }"""


def signs() -> onnx.ModelProto:
    """0.7 times 0.1 is half of 0.14: every odd sum of products lies between two levels."""
    return model(TIES, w=np.random.default_rng(1).integers(-1, 2, (8, 8)))


def test_what_is_compiled_of_a_network_with_ties_is_verified(tmp_path: Path) -> None:
    gscompile.compile(signs(), crossbar="64x64", out=tmp_path / "o")
    assert any("differ by" in line for line in verify_again(tmp_path / "o"))


@pytest.mark.parametrize(("scale", "moves"), [(0.14, True), (0.05, False)])
def test_a_nudge_moves_sums_that_lie_between_two_levels(scale: float, moves: bool, tmp_path: Path) -> None:
    proto = signs()
    step = next(tensor for tensor in proto.graph.initializer if tensor.name == "ys")
    step.CopyFrom(onnx.numpy_helper.from_array(np.array(scale, np.float32), "ys"))
    onnx.save(proto, tmp_path / "m.onnx")
    fed = [Batch({"x": np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)}, None)]
    gap = rounding_gap(tmp_path / "m.onnx", Runner(tmp_path / "m.onnx", optimise=False), fed)
    assert (gap > 0.01) == moves
