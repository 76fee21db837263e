"""A complaint of shape inference that the original earns too is told from a new one."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from onnx.shape_inference import InferenceError

from gscompile.graph.network import Network
from gscompile.judging.own_faults import shares_complaints
from tests.small_networks import model

SAYS = "[ShapeInferenceError] Inference error(s): (op_type:{}, node name: n1): [ShapeInferenceError] {}\n"
DIFFER = "Inferred shape and existing shape differ in dimension 1: ({}) vs (7)"


@pytest.mark.parametrize(
    ("op", "complaint", "shared"),
    [
        ("Relu", DIFFER.format(5), True),
        ("Relu", DIFFER.format(4), True),
        ("Tanh", DIFFER.format(5), False),
        ("Relu", "Incompatible dimensions", False),
    ],
)
def test_a_complaint_is_shared_where_op_and_words_are_the_same(op: str, complaint: str, shared: bool) -> None:
    original = Network.from_proto(
        model("g (float[2,3] x) => (float[2,5] y) <float[3,5] w> { a = MatMul (x, w)  y = Relu (a) }")
    )
    original.outputs[0].shape = ir.Shape([2, 7])  # which is declared wrong
    assert shares_complaints(original, InferenceError(SAYS.format(op, complaint))) == shared
