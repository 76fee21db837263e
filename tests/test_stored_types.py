"""Weights of every floating type, in every place, are compressed and written back as what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import gscompile
from tests.small_networks import model

RANK_2 = (np.arange(24)[:, None] % 5 - 2) * np.ones((1, 20)) + np.ones((24, 1)) * (np.arange(20) % 3)
PLACES = {
    "float": "g (float[n,24] x) => (float[n,20] y) <float[24,20] w> { y = MatMul (x, w) }",
    "double": "g (double[n,24] x) => (double[n,20] y) <double[24,20] w> { y = MatMul (x, w) }",
    "half": "g (float16[n,24] x) => (float16[n,20] y) <float16[24,20] w> { y = MatMul (x, w) }",
    "half behind a cast": """g (float[n,24] x) => (float[n,20] y) <float16[24,20] w>
        { v = Cast <to = 1> (w)  y = MatMul (x, v) }""",
    "bfloat16 behind a cast": """g (float[n,24] x) => (float[n,20] y) <bfloat16[24,20] w>
        { v = Cast <to = 1> (w)  y = MatMul (x, v) }""",
    "turned": """g (float[n,20] x) => (float[n,24] y) <float[24,20] w>
        { v = Transpose (w)  y = MatMul (x, v) }""",
    "tied": """g (float[n,24] x) => (float[n,20] y, float[n,20] z) <float[24,20] w>
        { v = Identity (w)  a = Neg (x)  y = MatMul (x, v)  z = MatMul (a, w) }""",
    "dequantised": """g (float[n,24] x) => (float[n,20] y) <int8[24,20] w, float s, int8 o>
        { v = DequantizeLinear (w, s, o)  y = MatMul (x, v) }""",
    "integers by a factor": """g (float[n,24] x) => (float[n,20] y) <int8[24,20] w, float[20] s>
        { c = Cast <to = 1> (w)  v = Mul (c, s)  y = MatMul (x, v) }""",
    "in a loop": """g (float[n,24] x, int64 m) => (float[n,20] y) <float[24,20] w> {
        t = Constant <value = bool {1}> ()
        z = MatMul (x, w)
        y = Loop (m, t, z) <body = b (int64 i, bool c, float[n,20] p) => (bool d, float[n,20] q)
            { d = Identity (c)  o = MatMul (x, w)  q = Add (p, o) }> }""",
}


def test_what_onnxruntime_does_not_compute_in_a_type_is_mapped_and_keeps_it(tmp_path: Path) -> None:
    proto = model(PLACES["float"].replace("float", "bfloat16"), w=RANK_2)
    result = gscompile.compile(proto, out=tmp_path / "out")
    assert "an op that onnxruntime does not run" in result.report.messages[0]
    assert result.report.drift is None
    assert result.network.to_proto().graph.initializer == proto.graph.initializer
    assert result.network.layers[0].matrix.tolist() == RANK_2.tolist()  # small whole numbers are exact


@pytest.mark.parametrize("place", PLACES)
def test_a_matrix_of_rank_two_is_found_wherever_it_is(place: str, tmp_path: Path) -> None:
    turned = RANK_2.T.reshape(24, 20) if place == "turned" else RANK_2
    proto = model(PLACES[place], w=turned if place != "turned" else RANK_2, s=np.array(0.5), o=np.array(0))
    result = gscompile.compile(proto, out=tmp_path / "out")
    if place != "integers by a factor":  # its columns have factors of their own
        assert result.report.after.cells == 2 * (24 + 20)
    assert result.report.drift is not None
    assert result.report.drift <= 0.01
    kinds = {t.data_type for t in result.network.to_proto().graph.initializer if len(t.dims) == 2}
    wanted = {"double": onnx.TensorProto.DOUBLE, "half": onnx.TensorProto.FLOAT16}.get(
        place, onnx.TensorProto.FLOAT
    )
    assert wanted in kinds
