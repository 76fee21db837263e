"""The com.microsoft ops against onnxruntime, values and gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from gscompile.execute import Executor

torch.set_num_threads(1)

MICROSOFT = "com.microsoft"
Shapes = Sequence[Any]


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def bytes_(kind: type, *shape: int) -> np.ndarray[Any, Any]:
    # Half the range: without VNNI, onnxruntime's products of uint8 and int8 saturate at 16 bits.
    limits = np.iinfo(kind)
    return np.random.default_rng(sum(shape)).integers(limits.min // 2, limits.max // 2, shape, dtype=kind)


def scale(value: float) -> np.ndarray[Any, Any]:
    return np.array(value, np.float32)


def zero(value: int, kind: type = np.uint8) -> np.ndarray[Any, Any]:
    return np.array(value, kind)


ids = np.array([[1, 4, 2], [0, 3, 3]], np.int32)
angles = floats(8, 2)
quantised = (bytes_(np.uint8, 2, 3, 5, 5), scale(0.02), zero(120))

# name: (op, inputs (None is absent), outputs, attributes)
CASES: dict[str, tuple[str, Sequence[Any], int, Mapping[str, Any]]] = {
    "FusedMatMul": ("FusedMatMul", [floats(2, 3, 4), floats(2, 5, 4)], 1, {"transB": 1, "alpha": 0.5}),
    "FusedMatMul transA": ("FusedMatMul", [floats(4, 3), floats(4, 5)], 1, {"transA": 1}),
    "FusedMatMul batch": (
        "FusedMatMul",
        [floats(3, 2, 4), floats(4, 2, 5)],
        1,
        {"transBatchA": 1, "transBatchB": 1},
    ),
    "BiasGelu": ("BiasGelu", [floats(3, 4), floats(4)], 1, {}),
    "Gelu": ("Gelu", [floats(3, 4)], 1, {}),
    "FastGelu": ("FastGelu", [floats(3, 4), floats(4)], 1, {}),
    "FastGelu without bias": ("FastGelu", [floats(3, 4)], 1, {}),
    "QuickGelu": ("QuickGelu", [floats(3, 4)], 1, {"alpha": 1.5}),
    "SkipLayerNormalization": (
        "SkipLayerNormalization",
        [floats(2, 3, 4), floats(2, 3, 4), floats(4), floats(4), floats(4)],
        1,
        {"epsilon": 1e-5},
    ),
    "SkipSimplifiedLayerNormalization": (
        "SkipSimplifiedLayerNormalization",
        [floats(2, 3, 4), floats(2, 3, 4), floats(4), floats(4)],
        1,
        {"epsilon": 1e-5},
    ),
    "SimplifiedLayerNormalization": (".SimplifiedLayerNormalization", [floats(2, 3, 4), floats(4)], 1, {}),
    "EmbedLayerNormalization": (
        "EmbedLayerNormalization",
        [
            ids,
            ids % 2,
            floats(5, 4),
            floats(3, 4),
            floats(2, 4),
            floats(4),
            floats(4),
            (ids > 0).astype(np.int32),
        ],
        2,
        {"epsilon": 1e-5},
    ),
    "Attention": ("Attention", [floats(2, 3, 8), floats(8, 24), floats(24)], 1, {"num_heads": 2}),
    "Attention with a mask": (
        "Attention",
        [floats(2, 3, 8), floats(8, 24), floats(24), np.array([[1, 1, 0], [1, 0, 0]], np.int32)],
        1,
        {"num_heads": 2},
    ),
    "Attention with lengths": (
        "Attention",
        [floats(2, 3, 8), floats(8, 24), floats(24), np.array([2, 3], np.int32)],
        1,
        {"num_heads": 2},
    ),
    "Attention one way": (
        "Attention",
        [floats(2, 3, 8), floats(8, 24), floats(24)],
        1,
        {"num_heads": 2, "unidirectional": 1},
    ),
    "Attention with a past": (
        "Attention",
        [floats(2, 3, 8), floats(8, 24), floats(24), None, floats(2, 2, 2, 5, 4)],
        2,
        {"num_heads": 2},
    ),
    "MultiHeadAttention": (
        "MultiHeadAttention",
        [floats(2, 3, 8), floats(2, 5, 8), floats(2, 5, 8), floats(24)],
        1,
        {"num_heads": 2},
    ),
    "MultiHeadAttention with a mask": (
        "MultiHeadAttention",
        [floats(2, 3, 8), floats(2, 3, 8), floats(2, 3, 8), None, np.array([[1, 1, 0], [1, 0, 0]], np.int32)],
        1,
        {"num_heads": 2, "scale": 0.3},
    ),
    "MultiHeadAttention with a bias": (
        "MultiHeadAttention",
        [floats(2, 3, 8), floats(2, 3, 8), floats(2, 3, 8), None, None, floats(2, 2, 3, 3)],
        1,
        {"num_heads": 2},
    ),
    "RotaryEmbedding": (
        "RotaryEmbedding",
        [floats(2, 3, 8), np.array([[0, 1, 2], [3, 4, 5]]), np.cos(angles), np.sin(angles)],
        1,
        {},
    ),
    "RotaryEmbedding by neighbours": (
        "RotaryEmbedding",
        [floats(2, 2, 3, 4), np.array([2]), np.cos(angles), np.sin(angles)],
        1,
        {"interleaved": 1},
    ),
    "FusedConv": (
        "FusedConv",
        [floats(2, 3, 5, 5), floats(4, 3, 3, 3), floats(4)],
        1,
        {"activation": "Relu", "pads": [1, 1, 1, 1]},
    ),
    "FusedConv with parameters": (
        "FusedConv",
        [floats(2, 3, 5, 5), floats(4, 3, 3, 3), floats(4)],
        1,
        {"activation": "Clip", "activation_params": [-1.0, 2.0]},
    ),
    "FusedGemm": (
        "FusedGemm",
        [floats(3, 4), floats(4, 5), floats(5)],
        1,
        {
            "alpha": 0.5,
            "beta": 2.0,
            "transA": 0,
            "transB": 0,
            "activation": "LeakyRelu",
            "activation_alpha": 0.2,
        },
    ),
    "FusedMatMul, both turned": ("FusedMatMul", [floats(4, 3), floats(5, 4)], 1, {"transA": 1, "transB": 1}),
    "SkipLayerNormalization of a shared skip": (
        "SkipLayerNormalization",
        [floats(2, 3, 4), floats(3, 4), floats(4), floats(4)],
        1,
        {},
    ),
    "Attention with sizes": (
        "Attention",
        [floats(2, 3, 8), floats(8, 20), floats(20)],
        1,
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
    ),
    "Attention with a mask for each step": (
        "Attention",
        [floats(2, 3, 8), floats(8, 24), floats(24), np.array([[[1, 1, 0]] * 3, [[1, 0, 0]] * 3], np.int32)],
        1,
        {"num_heads": 2},
    ),
    "MultiHeadAttention one way": (
        "MultiHeadAttention",
        [floats(2, 3, 8), floats(2, 3, 8), floats(2, 3, 8)],
        1,
        {"num_heads": 2, "unidirectional": 1},
    ),
    "MultiHeadAttention with a past": (
        "MultiHeadAttention",
        [floats(2, 3, 8)] * 3 + [None] * 3 + [floats(2, 2, 4, 4)] * 2,
        3,
        {"num_heads": 2},
    ),
    "MultiHeadAttention to another sequence, by heads": (
        "MultiHeadAttention",
        [floats(2, 3, 8), floats(2, 2, 5, 4), floats(2, 2, 5, 4)],
        1,
        {"num_heads": 2},
    ),
    "RotaryEmbedding of a part": (
        "RotaryEmbedding",
        [floats(2, 3, 8), np.array([[0, 1, 2], [3, 4, 5]]), np.cos(floats(8, 1)), np.sin(floats(8, 1))],
        1,
        {"num_heads": 2, "rotary_embedding_dim": 2},
    ),
    "FusedConv with a sum": (
        "FusedConv",
        [floats(2, 3, 5, 5), floats(4, 3, 3, 3), floats(4), floats(2, 4, 3, 3)],
        1,
        {"activation": "Tanh"},
    ),
    "QLinearAdd": ("QLinearAdd", [*quantised, *quantised, scale(0.05), zero(110)], 1, {}),
    "QLinearMul": ("QLinearMul", [*quantised, *quantised, scale(0.05), zero(110)], 1, {}),
    "QLinearSigmoid": ("QLinearSigmoid", [*quantised, scale(0.004), zero(0)], 1, {}),
    "MatMulIntegerToFloat": (
        "MatMulIntegerToFloat",
        [bytes_(np.uint8, 3, 4), bytes_(np.uint8, 4, 5), scale(0.1), scale(0.2), zero(9), zero(7), floats(5)],
        1,
        {},
    ),
    "DynamicQuantizeMatMul": (
        "DynamicQuantizeMatMul",
        [floats(3, 4), bytes_(np.uint8, 4, 5), scale(0.2), zero(7), floats(5)],
        1,
        {},
    ),
    "QLinearConv": (
        ".QLinearConv",
        [
            *quantised,
            bytes_(np.int8, 4, 3, 3, 3),
            np.array([0.01, 0.02, 0.03, 0.04], np.float32),
            np.zeros(4, np.int8),
            scale(0.5),
            zero(128),
            np.array([100, -100, 0, 1000], np.int32),
        ],
        1,
        {"strides": [2, 2]},
    ),
    "DynamicQuantizeLinear": (".DynamicQuantizeLinear", [floats(3, 4)], 3, {}),
    "MatMulInteger": (
        ".MatMulInteger",
        [bytes_(np.uint8, 3, 4), bytes_(np.int8, 4, 5), zero(9), zero(-7, np.int8)],
        1,
        {},
    ),
    "ConvInteger": (".ConvInteger", [quantised[0], bytes_(np.uint8, 4, 3, 3, 3), zero(120), zero(90)], 1, {}),
}


def _model(op: str, inputs: Sequence[Any], outputs: int, attributes: Mapping[str, Any]) -> onnx.ModelProto:
    """A model of one node; an op that begins with a dot is in ONNX's own domain."""
    names = ["" if value is None else f"i{n}" for n, value in enumerate(inputs)]
    results = [f"o{n}" for n in range(outputs)]
    domain = "" if op.startswith(".") else MICROSOFT
    node = onnx.helper.make_node(op.removeprefix("."), names, results, "it", domain=domain, **attributes)
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in zip(names, inputs, strict=True)
        if name
    ]
    graph = onnx.helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=name) for name in results])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(MICROSOFT, 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_onnxruntime_and_gradients_pass(name: str) -> None:
    op, inputs, outputs, attributes = CASES[name]
    model = _model(op, inputs, outputs, attributes)
    feeds = {f"i{n}": value for n, value in enumerate(inputs) if value is not None}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)
    tensors = {k: torch.tensor(v, requires_grad=v.ndim > 0 and v.dtype == np.float32) for k, v in feeds.items()}
    results = Executor(ir.from_proto(model))(tensors)
    for actual, wanted in zip(results.values(), expected, strict=True):
        assert actual.detach().numpy().dtype == wanted.dtype
        np.testing.assert_allclose(actual.detach().numpy(), wanted, rtol=1e-4, atol=2e-5)
    leaves = [tensor for tensor in tensors.values() if tensor.requires_grad]
    reached = [value.sum() for value in results.values() if value.requires_grad]
    if leaves and op not in (".DynamicQuantizeLinear", ".QLinearConv"):
        torch.stack(reached).sum().backward()  # type: ignore[no-untyped-call]
        assert all(tensor.grad is not None for tensor in leaves)


# Ops on floats with a derivative: not those that round, and not lookups.
SMOOTH = [
    name for name, (op, *_) in CASES.items()
    if not any(word in op for word in ("QLinear", "Integer", "Quantize")) and "Relu" not in str(CASES[name][3])
]  # fmt: skip
STEP = 1e-2


def _at(session: onnxruntime.InferenceSession, feeds: Mapping[str, Any], way: Mapping[str, Any], step: float) -> float:
    """The sum of all outputs, a step along `way` from `feeds`."""
    moved = {name: (value + step * way[name] if name in way else value) for name, value in feeds.items()}
    return float(sum(np.sum(output, dtype=np.float64) for output in session.run(None, moved)))


def _gradient(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_the_slopes_that_onnxruntime_shows(name: str) -> None:
    op, inputs, outputs, attributes = CASES[name]
    model = _model(op, inputs, outputs, attributes)
    feeds = {f"i{n}": value for n, value in enumerate(inputs) if value is not None}
    rng = np.random.default_rng(5)
    way = {k: rng.standard_normal(v.shape).astype(np.float32) for k, v in feeds.items() if v.dtype == np.float32}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    slope = (_at(session, feeds, way, STEP) - _at(session, feeds, way, -STEP)) / (2 * STEP)
    tensors = {k: torch.tensor(v, requires_grad=k in way) for k, v in feeds.items()}
    total = torch.stack([y.sum() for y in Executor(ir.from_proto(model))(tensors).values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    along = sum((float((_gradient(tensors[k]) * torch.tensor(v)).sum()) for k, v in way.items()), 0.0)
    assert along == pytest.approx(slope, rel=0.02, abs=0.05)
