"""One network, written at every opset there is since 7: it compiles, keeps its opset and computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.onnx_files.loading import OLDEST_OPSET
from tests.small_networks import assert_same_outputs, model

TEXT = """g (float[n,3,8,8] x) => (float[n,10] y)
    <float[12,3,3,3] a, float[12] s, float[12] t, float[12] m, float[12] v, float[12,10] b, float[10] c> {
        h = Conv <pads = [1,1,1,1]> (x, a)
        i = BatchNormalization (h, s, t, m, v)
        r = Relu (i)
        p = GlobalAveragePool (r)
        f = Flatten (p)
        y = Gemm (f, b, c)
}"""
NEWEST = onnx.defs.onnx_opset_version()


def at(opset: int) -> onnx.ModelProto:
    """The network with a 12 x 10 matrix of rank two."""
    rank_two = np.outer(np.arange(12), np.ones(10)) + np.outer(np.ones(12), np.arange(10) % 3)
    return model(TEXT, opset=opset, ir_version=min(8, 3 + opset // 5), v=np.ones(12), b=rank_two / 20)


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, NEWEST + 1))
def test_a_network_compiles_at_every_opset(opset: int, tmp_path: Path) -> None:
    proto = at(opset)
    result = gscompile.compile(proto, "8x8", out=tmp_path / "out", max_output_error=0.001)
    assert result.report.after.cells == 12 * 27 + 2 * (12 + 10)
    written = onnx.load(tmp_path / "out" / "model.onnx")
    assert (written.opset_import, written.ir_version) == (proto.opset_import, proto.ir_version)
    assert_same_outputs(proto, written, error=0.002)
