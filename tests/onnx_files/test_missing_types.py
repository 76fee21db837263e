"""Maps of classifiers, outputs without a shape and inputs of texts go through, as onnxruntime takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

import gscompile
from gscompile.graph.network import Network
from gscompile.scoring.runner import Runner
from tests.small_networks import model

ML = ', "ai.onnx.ml" : 3'


def classifier() -> onnx.ModelProto:
    """Words to a label's probability: what comes out last is a map for each sample."""
    proto = model(
        """g (string[n,3] words) => (float[n,3] p, float[n,3] y) <float[4,20] table, float[20,3] w>
        { i = ai.onnx.ml.LabelEncoder <keys_strings = ["a", "b", "c"], values_int64s = [1, 2, 3], default_int64 = 0> (words)
          e = Gather (table, i)  r = ReduceMean <axes = [1], keepdims = 0> (e)  l = MatMul (r, w)  p = Softmax (l)
          y = ai.onnx.ml.ZipMap <classlabels_strings = ["ten", "two", "four"]> (p) }""",
        imports=ML,
    )
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    proto.graph.output[1].CopyFrom(helper.make_value_info("y", helper.make_sequence_type_proto(kind)))
    return proto


def test_maps_are_compared_by_ascending_label() -> None:
    found = Runner(classifier().SerializeToString())({"words": np.array([["a", "b", "c"], ["c", "x", "a"]])})
    np.testing.assert_array_equal(found["y"], found["p"][:, [2, 0, 1]])  # four, ten, two


def test_a_model_with_maps_keeps_their_types() -> None:
    proto = classifier()
    before = proto.SerializeToString(deterministic=True)
    assert Network.from_proto(proto).to_proto().graph.output == proto.graph.output
    assert proto.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("with_data", [False, True])
def test_a_classifier_of_words_compiles(with_data: bool, tmp_path: Path) -> None:
    onnx.save(classifier(), tmp_path / "model.onnx")
    rng = np.random.default_rng(0)

    def batches() -> Iterator[dict[str, NDArray[Any]]]:
        yield from ({"words": rng.choice(["a", "b", "c"], (8, 3)).astype(object)} for _ in range(4))

    data = batches if with_data else None
    result = gscompile.compile(
        tmp_path / "model.onnx",
        out=tmp_path / "out",
        data=data,
        effort="quick",
        epochs_per_round=0.1,
        threads=1,
        time_budget="2s",
    )
    assert [layer.op for layer in result.report.layers] == ["MatMul"]
    written = onnx.load(tmp_path / "out" / "model.onnx")
    assert written.graph.output == classifier().graph.output


def test_an_output_without_a_shape_is_compiled_and_said_not_to_be_checked(tmp_path: Path) -> None:
    proto = model("g (float[n,8] x) => (float[n,8] y) <float[8,8] w> { y = MatMul (x, w) }")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, tmp_path / "model.onnx")
    result = gscompile.compile(tmp_path / "model.onnx", out=tmp_path / "out", max_output_error=0)
    assert "checks no shapes where an output has none" in result.report.verification[0]
    assert not onnx.load(tmp_path / "out" / "model.onnx").graph.output[0].type.tensor_type.HasField("shape")
