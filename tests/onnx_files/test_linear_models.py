"""A linear regression is a matrix like any other."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from gscompile.graph.network import Network
from gscompile.scoring.evaluate import Runner


def test_a_linear_regression_is_a_gemm_of_its_coefficients() -> None:
    node = helper.make_node(
        "LinearRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        coefficients=[1.0, 2, 3, 4],
        intercepts=[5.0, 6],
        targets=2,
    )
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    proto = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=imports, ir_version=8)
    network, fed = Network.from_proto(proto), {"x": np.array([[1, 10]], np.float32)}
    (layer,) = network.layers
    assert layer.matrix.tolist() == [[1, 3], [2, 4]]
    assert Runner(proto.SerializeToString())(fed)["y"].tolist() == Runner(network)(fed)["y"].tolist() == [[26, 49]]
    assert proto.graph.node[0].op_type == "LinearRegressor"
    onnx.checker.check_model(network.to_proto(), full_check=True)
