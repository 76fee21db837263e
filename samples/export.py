"""Write a torch `Sequential` as a plain ONNX file: each layer's nodes by hand, under the layer's own name.

Input `image` [batch, channels, rows, columns], output `logits` [batch, classes], float32. A layer `conv1`
becomes the node `conv1` with `conv1.weight` and `conv1.bias`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 17
IR_VERSION = 8


class LocalNorm(nn.Module):
    """x / (1 + alpha * mean(x^2)) ^ beta, the mean over 3 x 3 pixels of the same channel (Caffe's LRN)."""

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta
        # Caffe counts the zeros outside the image as neighbours, so that the divisor is 9 everywhere.
        self.mean = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=True)

    def forward(self, x: Tensor) -> Tensor:
        squares: Tensor = self.mean(x * x)
        return x * (1 + self.alpha * squares) ** -self.beta


@dataclass
class Graph:
    """Nodes and weights so far; `last` is the tensor that the next layer reads."""

    last: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        self.last = name
        return name

    def weight(self, name: str, values: Tensor | float) -> str:
        array = np.asarray(torch.as_tensor(values).detach().numpy(), dtype=np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name


def conv(graph: Graph, name: str, layer: nn.Conv2d) -> None:
    weight, bias = parameters(graph, name, layer)
    rows, columns = layer.kernel_size
    above, left = (int(pad) for pad in layer.padding)
    graph.node("Conv", name, graph.last, weight, bias, kernel_shape=[rows, columns], pads=[above, left, above, left])


def linear(graph: Graph, name: str, layer: nn.Linear) -> None:
    weight, bias = parameters(graph, name, layer)
    graph.node("Gemm", name, graph.last, weight, bias, transB=1)


def parameters(graph: Graph, name: str, layer: nn.Conv2d | nn.Linear) -> tuple[str, str]:
    if layer.bias is None:
        raise ValueError(f"{name}: the samples' layers have a bias")
    return graph.weight(f"{name}.weight", layer.weight), graph.weight(f"{name}.bias", layer.bias)


def max_pool(graph: Graph, name: str, layer: nn.MaxPool2d) -> None:
    graph.node("MaxPool", name, graph.last, **window(layer))


def average_pool(graph: Graph, name: str, layer: nn.AvgPool2d) -> None:
    counted = int(layer.count_include_pad)
    graph.node("AveragePool", name, graph.last, **window(layer), count_include_pad=counted)


def window(layer: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, list[int]]:
    """Kernel, stride and padding, above/left/below/right, of a square pool."""
    size, stride, pad = (square(number) for number in (layer.kernel_size, layer.stride, layer.padding))
    # Ceil mode as one more row below and one more column at the right: on the even sizes here that is the
    # same, and every runtime reads it alike.
    end = pad + int(layer.ceil_mode)
    return {"kernel_shape": [size, size], "strides": [stride, stride], "pads": [pad, pad, end, end]}


def square(size: int | tuple[int, ...]) -> int:
    if not isinstance(size, int):
        raise ValueError(f"{size}: the samples' pools are square")
    return size


def local_norm(graph: Graph, name: str, layer: LocalNorm) -> None:
    image = graph.last
    graph.node("Mul", f"{name}.squares", image, image)
    average_pool(graph, f"{name}.mean", layer.mean)
    graph.node("Mul", f"{name}.scaled", graph.last, graph.weight(f"{name}.alpha", layer.alpha))
    graph.node("Add", f"{name}.sum", graph.last, graph.weight(f"{name}.one", 1.0))
    graph.node("Pow", f"{name}.divisor", graph.last, graph.weight(f"{name}.beta", layer.beta))
    graph.node("Div", name, image, graph.last)


def relu(graph: Graph, name: str, _: nn.ReLU) -> None:
    graph.node("Relu", name, graph.last)


def flatten(graph: Graph, name: str, _: nn.Flatten) -> None:
    graph.node("Flatten", name, graph.last, axis=1)


LAYERS: dict[type[nn.Module], Callable[[Graph, str, Any], None]] = {
    nn.Conv2d: conv,
    nn.Linear: linear,
    nn.MaxPool2d: max_pool,
    nn.AvgPool2d: average_pool,
    LocalNorm: local_norm,
    nn.ReLU: relu,
    nn.Flatten: flatten,
}


def write(net: nn.Sequential, shape: Sequence[int], path: Path) -> None:
    """Write `net`, which takes images of `shape` (channels, rows, columns)."""
    graph = Graph("image")
    for name, layer in net.named_children():
        LAYERS[type(layer)](graph, name, layer)
    graph.nodes[-1].output[0] = "logits"
    classes = list(net.parameters())[-1].numel()
    model = model_of(graph, path.stem, [*shape], classes)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def model_of(graph: Graph, name: str, shape: list[int], classes: int) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *shape])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    body = helper.make_graph(graph.nodes, name, [image], [logits], graph.weights)
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(body, opset_imports=opset, ir_version=IR_VERSION)


def measure(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a file with one input and one output gives for images, in onnxruntime: logits [images, classes]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [images[start : start + 500] for start in range(0, len(images), 500)]
    return np.concatenate([np.asarray(session.run(None, {name: part})[0]) for part in parts])
