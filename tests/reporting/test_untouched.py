"""The report has a row for every large constant that was not compressed, and says why."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from gscompile.graph.fold import fold
from gscompile.graph.network import Network
from gscompile.reporting.untouched import untouched
from tests.small_networks import model, network

MS = ', "com.microsoft" : 1'
WHY = {
    "lookup": ("g (int64[n] x) => (float[n,4] y) <float[99,4] w> { y = Gather (w, x) }", "embedding lookup"),
    "sum": ("g (float[n,300] x) => (float[n,300] y) <float[300] b> { y = Add (x, b) }", "element-wise"),
    "bias": (
        "g (float[n,1] x) => (float[n,300] y) <float[1,300] w, float[300] b> { y = Gemm (x, w, b) }",
        "added digitally",
    ),
    "norm": (
        "g (float[n,300] x) => (float[n,300] y) <float[300] s> { y = LayerNormalization (x, s) }",
        "normalisation",
    ),
    "kept": (
        "g (float[n,30] x) => (float[n,30] y) <float[30,30] w> { y = MatMul (x, w) }",
        "nothing smaller",
    ),
    "behind a cast": (
        "g (float[n,30] x) => (float[n,30] y) <float16[30,30] w> { v = Cast <to = 1> (w)  y = MatMul (x, v) }",
        "nothing smaller fitted the budget (behind Cast)",
    ),
    "quantised": (
        "g (int8[n,30] x) => (int32[n,30] y) <int8[30,30] w> { y = MatMulInteger (x, w) }",
        "a quantised weight",
    ),
    "constants alone": (
        "g (float[n,300] x) => (float[n,300] y) <float[300] b> { c = Exp (b)  y = Add (x, c) }",
        "before anything is fed",
    ),
    "no product": (
        'g (float[n,30] x) => (float[30] y) <float[30,30] w> { y = Einsum <equation = "ni,ij->j"> (x, w) }',
        "not one matrix",
    ),
    "a Constant node": (
        "g (int64[n] x) => (float[n] y) { w = Constant <value = float[256] {" + ",".join(["1.0"] * 256) + "}> ()"
        "  y = Gather (w, x) }",
        "embedding lookup",
    ),
    "in a branch": (
        """g (float[n,300] x, bool c) => (float[n,300] y) <float[300] b> { y = If (c) <
        then_branch = t () => (float[n,300] p) { p = Add (x, b) }, else_branch = e () => (float[n,300] q) { q = Neg (x) }> }""",
        "element-wise",
    ),
    "a stranger": (
        "g (float[n,300] x) => (float[n,300] y) <float[300] b> { y = some.where.Twist (x, b) }",
        "the operator some.where:Twist is unknown",
    ),
    "bits": (
        """g (float[n,32] x) => (float[n,32] y) <uint8[32,1,16] w, float[32] s>
        { y = com.microsoft.MatMulNBits <K = 32, N = 32, bits = 4, block_size = 32> (x, w, s) }""",
        "a few bits",
    ),
    "a table in the node itself": (
        f"""g (int64[n] x) => (int64[n] y) {{ y = ai.onnx.ml.LabelEncoder
        <keys_int64s = [{",".join(map(str, range(256)))}], values_int64s = [{",".join(map(str, range(256)))}]> (x) }}""",
        "an attribute of LabelEncoder: it stays digital",
    ),
}


@pytest.mark.parametrize("case", WHY)
def test_every_large_constant_has_a_row_and_a_reason(case: str) -> None:
    text, why = WHY[case]
    net = network(text, opset=17, imports=MS + ', "some.where" : 1, "ai.onnx.ml" : 3')
    rows = [*untouched(net, net.copy())]
    assert why in rows[-1].why
    assert all(row.elements >= 256 for row in rows)


def test_what_was_compressed_or_is_small_has_no_row() -> None:
    before = network("g (float[n,30] x) => (float[n,30] y) <float[30,30] w, float[30] b> { y = Gemm (x, w, b) }")
    after = before.copy()
    after.factor("n0", np.ones((1, 30, 2)), np.ones((1, 2, 30)))
    assert [*untouched(before, after)] == []


def test_a_weight_behind_a_cast_that_was_compressed_has_no_row() -> None:
    before = network(WHY["behind a cast"][0])
    after = before.copy()
    after.factor("n1", np.ones((1, 30, 2)), np.ones((1, 2, 30)))
    assert [*untouched(before, after)] == []


def test_a_batch_norm_that_was_folded_says_so() -> None:
    before = network(
        """g (float[n,1,5] x) => (float[n,300,5] y)
        <float[300,1,1] a, float[300] s, float[300] t, float[300] m, float[300] v>
        { h = Conv (x, a)  y = BatchNormalization (h, s, t, m, v) }""",
        v=np.ones(300),
    )
    after = before.copy()
    assert fold(after)
    assert {row.why for row in untouched(before, after)} == {"folded into the layer before n1"}


def test_functions_are_not_looked_into_and_said_to_be() -> None:
    proto = model("g (float[n,300] x) => (float[n,300] y) { y = my.own.Shift (x) }", imports=', "my.own" : 1')
    held = onnx.numpy_helper.from_array(np.ones(300, np.float32))
    body = [
        onnx.helper.make_node("Constant", [], ["c"], value=held),
        onnx.helper.make_node("Add", ["a", "c"], ["b"], "add"),
    ]
    imports = [onnx.helper.make_opsetid("", 17)]
    proto.functions.append(onnx.helper.make_function("my.own", "Shift", ["a"], ["b"], body, imports))
    net = Network.from_proto(proto)
    (row,) = untouched(net, net.copy())
    assert (row.node, row.why) == ("add", "inside the function my.own:Shift: functions are not compressed")
    assert net.to_proto().functions == proto.functions
