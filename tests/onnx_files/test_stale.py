"""Declared shapes that contradict shape inference are corrected and named; others stay as the file tells them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from gscompile.graph.network import Network
from tests.small_networks import model

PRODUCT = "g (float[n,4] x) => (float[n,3] y) <float[4,3] w> { h = MatMul (x, w)  y = Relu (h) }"


def declared(name: str, sizes: list[int | str]) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)


@pytest.mark.parametrize("sizes", [["n", 5], [], ["n", 3, 1]])
def test_a_wrong_output_shape_is_corrected_and_named(sizes: list[int | str]) -> None:
    proto = model(PRODUCT)
    proto.graph.output[0].CopyFrom(declared("y", sizes))
    network = Network.from_proto(proto)
    assert network.corrected == ("declared shapes contradict shape inference and are corrected: 'y'",)
    onnx.checker.check_model(network.to_proto(), full_check=True)
    assert [d.dim_value for d in network.to_proto().graph.output[0].type.tensor_type.shape.dim] == [0, 3]


def test_a_wrong_intermediate_shape_is_corrected() -> None:
    proto = model(PRODUCT)
    proto.graph.value_info.append(declared("h", ["n", 3, 1]))
    network = Network.from_proto(proto)
    assert network.corrected == ("declared shapes contradict shape inference and are corrected: 'h'",)
    onnx.checker.check_model(network.to_proto(), full_check=True)


def test_a_wrong_shape_of_a_value_that_inference_does_not_know_is_removed() -> None:
    proto = model(
        """g (float[n,3] x) => (float[n,3] y) <int64 trips> {
        h = Loop (trips, , x) <body = b (int64 i, bool going, float[n,3] s) => (bool go, float[n,3] next)
            { go = Identity (going)  next = Tanh (s) }>
        y = Cast <to = 1> (h) }""",
        trips=np.array(2),
    )
    proto.graph.value_info.append(declared("h", ["n", 77]))
    network = Network.from_proto(proto)
    assert network.corrected == ("declared shapes contradict shape inference and are corrected: 'h'",)
    onnx.checker.check_model(network.to_proto(), full_check=True)


def test_what_agrees_is_left_as_it_was() -> None:
    proto = model(PRODUCT)
    proto.graph.value_info.append(declared("h", ["other", 3]))
    network = Network.from_proto(proto)
    assert network.corrected == ()
    assert network.to_proto().graph.value_info == proto.graph.value_info


def test_a_hub_cache_of_links_is_read(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    proto = model(PRODUCT)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    for name, blob in (("m.onnx", "a"), ("m.data", "b")):
        (tmp_path / name).rename(tmp_path / "blobs" / blob)
        (tmp_path / "snapshot" / name).symlink_to(f"../blobs/{blob}")
    assert Network.load(tmp_path / "snapshot" / "m.onnx").matrices("n0").shape == (1, 4, 3)
