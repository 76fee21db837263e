"""Networks too large to be copied: read and written a weight at a time, compiled from files, the same as small ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import gscompile
from gscompile.errors import ModelError
from gscompile.graph import shelved_network
from gscompile.graph.network import Network
from gscompile.judging.verify import verify_again
from gscompile.onnx_files import loading
from gscompile.onnx_files.protobuf_stream import read_hollow, write_whole
from gscompile.scoring import runner as evaluate
from tests.small_networks import model

TEXT = """g (float[n,600] x) => (float[n,500] y) <float[600,600] a, float[600] b, float[600,500] c>
    { h = Gemm (x, a, b)  i = Relu (h)  y = MatMul (i, c) }"""


def low_rank(n: int, m: int, rank: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(n + m)
    return np.asarray(rng.standard_normal((n, rank)) @ rng.standard_normal((rank, m)) / n**0.5)


def proto() -> onnx.ModelProto:
    """Two weights beyond a mebibyte, of rank 5 and 3."""
    return model(TEXT, a=low_rank(600, 600, 5), c=low_rank(600, 500, 3))


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAPPED", 1 << 20)
    monkeypatch.setattr(shelved_network, "MIN_SHELVED_BYTES", 1 << 20)
    monkeypatch.setattr(evaluate, "MIN_LEAN_BYTES", 1 << 20)


@pytest.fixture(params=["one file", "data beside it"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    onnx.save(proto(), tmp_path / "m.onnx", save_as_external_data=request.param != "one file", location="w.data")
    return tmp_path / "m.onnx"


def test_a_hollow_model_points_into_its_own_file(tmp_path: Path) -> None:
    whole = proto()
    onnx.save(whole, tmp_path / "m.onnx")
    hollow = read_hollow(tmp_path / "m.onnx")
    assert hollow.ByteSize() < 10_000 < whole.ByteSize()
    onnx.external_data_helper.load_external_data_for_model(hollow, str(tmp_path))
    for tensor, wanted in zip(hollow.graph.initializer, whole.graph.initializer, strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), onnx.numpy_helper.to_array(wanted))
    assert hollow.graph.node == whole.graph.node


def test_a_model_written_a_weight_at_a_time_is_the_model(tmp_path: Path) -> None:
    onnx.save(proto(), tmp_path / "m.onnx")
    network = Network.load(tmp_path / "m.onnx")
    outside = loading.large_tensors(network.model)
    assert len(outside) == 2
    write_whole(loading.pointing_proto(network.model, outside), outside.values(), tmp_path / "again.onnx")
    again, wanted = onnx.load(tmp_path / "again.onnx"), network.to_proto()
    assert again.SerializeToString(deterministic=True) == wanted.SerializeToString(deterministic=True)


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("cut", [0, 1, 50, 1_000_000, 2_640_000])
def test_a_large_file_cut_short_is_refused_in_one_line(cut: int, tmp_path: Path) -> None:
    onnx.save(proto(), tmp_path / "m.onnx")
    data = (tmp_path / "m.onnx").read_bytes()
    assert len(data) > 2_640_000
    (tmp_path / "m.onnx").write_bytes(data[:cut] + b"\xff" * (1_100_000 if cut < 1000 else 0))
    with pytest.raises(ModelError, match=r"m\.onnx: ") as caught:
        Network.load(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def test_a_large_network_compiles_to_what_a_small_one_does(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    small = gscompile.compile(path, out=tmp_path / "small", passes=("rank-clip",))
    request.getfixturevalue("everything_is_large")
    large = gscompile.compile(path, out=tmp_path / "large", passes=("rank-clip",))
    assert small.report.after == large.report.after
    assert large.report.after.cells == 5 * 1200 + 3 * 1100
    for name in ("netlist.json", "tiles.npz"):
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "large" / name).read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert verify_again(tmp_path / "large")


@pytest.mark.usefixtures("everything_is_large")
def test_large_weights_that_stay_are_streamed_to_the_output(path: Path, tmp_path: Path) -> None:
    result = gscompile.compile(path, out=tmp_path / "out", passes=("drop-dead-units",))
    assert result.report.after.cells == 600 * 600 + 600 * 500
    assert "onnxruntime: runs it, optimisation off (large: on, it would copy all weights)" in result.report.verification
    again = onnx.load(tmp_path / "out/model.onnx")
    held = {t.name: onnx.numpy_helper.to_array(t) for t in again.graph.initializer}
    np.testing.assert_array_equal(held["a"], low_rank(600, 600, 5).astype(np.float32))
    assert json.loads((tmp_path / "out/report.json").read_text())["files"].keys() >= {"model.onnx", "tiles.npz"}
    verify_again(tmp_path / "out")
