"""Small networks as ONNX text, and what onnxruntime says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
from numpy.typing import NDArray

from gscompile.graph.network import Network
from gscompile.scoring.runner import Runner

Arrays = dict[str, NDArray[Any]]


def model(text: str, opset: int = 17, ir_version: int = 8, imports: str = "", **given: NDArray[Any]) -> onnx.ModelProto:
    """The model of a graph as text; a weight is what `given` says, else random, and nodes are named n0, n1, ..."""
    header = f'<ir_version: {ir_version}, opset_import: ["" : {opset}{imports}]>\n'
    proto = onnx.parser.parse_model(header + text)
    rng = np.random.default_rng(1)
    for info in proto.graph.value_info:
        kind = info.type.tensor_type
        shape = tuple(d.dim_value for d in kind.shape.dim)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        array = given[info.name].astype(dtype) if info.name in given else rng.standard_normal(shape).astype(dtype)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
    proto.graph.ClearField("value_info")
    for number, node in enumerate(proto.graph.node):
        node.name = f"n{number}"
        if not node.domain:
            node.ClearField("domain")  # the parser writes "", which says the same
    return proto


def network(text: str, **options: Any) -> Network:
    """The network of `model(text)`."""
    return Network.from_proto(model(text, **options))


def feeds_for(proto: onnx.ModelProto, seed: int = 0, open_size: int = 2) -> Arrays:
    """Random inputs; open axes have `open_size`."""
    rng = np.random.default_rng(seed)
    held = {tensor.name for tensor in proto.graph.initializer}
    feeds: Arrays = {}
    for info in proto.graph.input:
        if info.name not in held:
            kind = info.type.tensor_type
            shape = tuple(d.dim_value or open_size for d in kind.shape.dim)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            whole = np.issubdtype(dtype, np.integer)
            feeds[info.name] = (
                rng.integers(0, 9, shape).astype(dtype) if whole else rng.standard_normal(shape).astype(dtype)
            )
    return feeds


def outputs(proto: onnx.ModelProto | Path, feeds: Arrays) -> Arrays:
    """What onnxruntime computes, without its optimisations."""
    source = proto if isinstance(proto, Path) else proto.SerializeToString()
    return Runner(source, optimise=False, threads=1)(feeds)


def assert_same_outputs(before: onnx.ModelProto, after: Network | onnx.ModelProto, error: float = 1e-5) -> None:
    """Both compute the same for a random batch, to `error` of the largest output."""
    feeds = feeds_for(before)
    wanted, got = (
        outputs(before, feeds),
        outputs(after.to_proto() if isinstance(after, Network) else after, feeds),
    )
    assert wanted.keys() == got.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(
            got[name], array, rtol=0, atol=error * max(float(np.abs(array).max(initial=0)), 1e-6)
        )
