"""Networks of the sizes that benchmarks ask for, with weights made for the purpose, written without holding them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.onnx_files.protobuf_stream import point_to, write_whole

Weight = NDArray[np.float32]


def decaying(rng: np.random.Generator, n: int, m: int, half: float) -> Weight:
    """A matrix [n, m] with singular values 1 / (1 + (i / half)^2), about as those of trained transformers fall.

    Random directions are not made orthogonal: that takes longer than what is measured, and changes little.
    """
    k = min(n, m)
    values = 1 / (1 + (np.arange(k, dtype=np.float32) / half) ** 2)
    u, v = (rng.standard_normal((size, k), dtype=np.float32) for size in (n, m))
    return np.asarray(u * values @ v.T / np.sqrt(np.float32(n) * m), np.float32)


class Writer:
    """A graph written node by node; weights are handed over one at a time when it is saved."""

    def __init__(self, name: str, shape: list[int | str]) -> None:
        x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
        self.graph = onnx.GraphProto(name=name, input=[x])
        self.weights: list[Weight] = []

    def weight(self, array: Weight) -> str:
        name = f"w{len(self.weights)}"
        tensor = self.graph.initializer.add(name=name, data_type=onnx.TensorProto.FLOAT, dims=array.shape)
        point_to(tensor, "elsewhere", 0, array.nbytes)
        self.weights.append(array)
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.graph.node)}"
        self.graph.node.append(onnx.helper.make_node(op, inputs, [f"{name}_y"], name, **attributes))
        return f"{name}_y"

    def model(self, y: str, shape: list[int | str]) -> onnx.ModelProto:
        self.graph.output.append(onnx.helper.make_tensor_value_info(y, onnx.TensorProto.FLOAT, shape))
        model: onnx.ModelProto = onnx.helper.make_model(
            self.graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
        )
        return model

    def save(self, y: str, shape: list[int | str], path: Path) -> None:
        write_whole(self.model(y, shape), self._tensors(), path)

    def _tensors(self) -> Iterator[ir.TensorProtocol]:
        for number, array in enumerate(self.weights):
            yield ir.Tensor(array, name=f"w{number}")


def encoder(
    path: Path, layers: int, width: int = 768, inner: int = 3072, tokens: int = 16, words: int = 30_000
) -> None:
    """A BERT-base-sized encoder: 12 layers and the table of words that nothing multiplies by have 108 million weights."""
    rng, w = np.random.default_rng(0), Writer("encoder", [1, tokens])
    w.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    x = w.node("Gather", w.weight(rng.standard_normal((words, width), dtype=np.float32)), "x")
    for _ in range(layers):
        q, k, v = (w.node("MatMul", x, w.weight(decaying(rng, width, width, 60))) for _ in range(3))
        scores = w.node("Softmax", w.node("MatMul", q, w.node("Transpose", k, perm=[0, 2, 1])), axis=-1)
        mixed = w.node("MatMul", w.node("MatMul", scores, v), w.weight(decaying(rng, width, width, 60)))
        x = _normed(w, w.node("Add", x, mixed), width)
        hidden = w.node("Relu", w.node("MatMul", x, w.weight(decaying(rng, width, inner, 60))))
        x = _normed(w, w.node("Add", x, w.node("MatMul", hidden, w.weight(decaying(rng, inner, width, 60)))), width)
    w.save(x, [1, tokens, width], path)


def _normed(w: Writer, x: str, width: int) -> str:
    ones = np.ones(width, np.float32)
    return w.node("LayerNormalization", x, w.weight(ones), w.weight(0 * ones), axis=-1)


def resnet50(path: Path) -> None:
    """The convolutions of a ResNet-50 and its last layer, 25.5 million weights, on [1, 3, 224, 224]."""
    rng, w = np.random.default_rng(0), Writer("resnet50", ["n", 3, 224, 224])

    def conv(x: str, inputs: int, outputs: int, size: int, stride: int = 1) -> str:
        array = (
            rng.standard_normal((outputs, inputs, size, size), dtype=np.float32) / np.float32(inputs * size**2) ** 0.5
        )
        return w.node("Conv", x, w.weight(array), pads=[size // 2] * 4, strides=[stride] * 2)

    x = w.node("MaxPool", w.node("Relu", conv("x", 3, 64, 7, 2)), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 << stage
        for block in range(blocks):
            stride = 2 if block == 0 and stage else 1
            h = w.node("Relu", conv(w.node("Relu", conv(x, width, inner, 1)), inner, inner, 3, stride))
            h = conv(h, inner, 4 * inner, 1)
            x = w.node("Relu", w.node("Add", h, conv(x, width, 4 * inner, 1, stride) if block == 0 else x))
            width = 4 * inner
    x = w.node("Flatten", w.node("GlobalAveragePool", x))
    y = w.node("Gemm", x, w.weight(rng.standard_normal((1000, 2048), dtype=np.float32) / np.float32(45)), transB=1)
    w.save(y, ["n", 1000], path)
