"""Any valid graph goes through: same outputs at no error, a netlist that rebuilds, the same files twice."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gscompile
from gscompile.judging.verify import verify_again
from gscompile.scoring.runner import Runner
from tests.random_graphs import random_graph

FILES = ("model.onnx", "netlist.json", "tiles.npz")


def feeds(proto: onnx.ModelProto, batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch)
    found: dict[str, np.ndarray] = {"condition": np.array(batch % 2 == 0), "scalar": np.array(0.5, np.float32)}
    names = [info.name for info in proto.graph.input]
    for info in proto.graph.input:
        if info.name not in found:
            sizes = [dim.dim_value for dim in info.type.tensor_type.shape.dim][1:]
            found[info.name] = rng.standard_normal((batch, *sizes)).astype(np.float32)
    return {name: found[name] for name in names}


def assert_same(proto: onnx.ModelProto, path: Path) -> None:
    """What the original computes, for batches of 3, 1 and 0, as far as onnxruntime runs it on these."""
    before, after = Runner(proto.SerializeToString(), False, 1), Runner(path, False, 1)
    recurrent = any(node.op_type in ("LSTM", "GRU", "RNN") for node in proto.graph.node)
    for batch in (3, 1) if recurrent else (3, 1, 0):  # an LSTM of no samples ends onnxruntime's process
        try:
            wanted = before(feeds(proto, batch))
        except RuntimeError:
            continue
        for name, got in after(feeds(proto, batch)).items():
            size = max(1.0, float(np.abs(wanted[name]).max(initial=0)))
            np.testing.assert_allclose(got, wanted[name], rtol=0, atol=2e-5 * size)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.randoms(use_true_random=False).map(random_graph))
def test_a_random_graph_compiles_to_the_same_outputs_and_the_same_files(proto: onnx.ModelProto) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one"), Path(folder, "two")
        result = gscompile.compile(proto, "4x4", out=one, max_error=0)
        assert result.report.verification[-1].startswith("netlist and tiles rebuild")
        if not any("onnxruntime ends its process" in message for message in result.report.messages):
            assert_same(proto, one / "model.onnx")
        gscompile.compile(proto, "4x4", out=two, max_error=0)
        verify_again(two)
        for name in FILES:
            assert (one / name).read_bytes() == (two / name).read_bytes()
