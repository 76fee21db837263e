"""The train step of the executor beside that of the same network written by hand in torch: at most 1.10x.

Beside both, the step as training takes it where the processor has bfloat16: multiplied in that, channels last.

Run by name: `python -m tests.benchmarks.bench_execute`. Seconds of the processor; the two take turns: a busy machine slows
both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional

from gscompile.execute import Executor
from gscompile.training.channels_last import channels_last
from tests.benchmarks.results import record

BATCH = 128
ROUNDS = 15
LIMIT = 1.10
Convolution = Callable[..., nn.Module]


class LeNet(nn.Module):
    """20 and 50 convolutions of 5x5, 500 and 10 units, on [batch, 1, 28, 28]."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.f1, self.f2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.c1(x), 2)
        x = functional.max_pool2d(self.c2(x), 2).flatten(1)
        y: Tensor = self.f2(torch.relu(self.f1(x)))
        return y


class ConvNet(nn.Module):
    """32, 32 and 64 convolutions of 5x5, 10 units, on [batch, 3, 32, 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(3, 32, 5, padding=2), nn.Conv2d(32, 32, 5, padding=2)
        self.c3, self.f1 = nn.Conv2d(32, 64, 5, padding=2), nn.Linear(576, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(functional.max_pool2d(self.c1(x), 3, 2))
        x = functional.avg_pool2d(torch.relu(self.c2(x)), 3, 2)
        x = functional.avg_pool2d(torch.relu(self.c3(x)), 3, 2)
        y: Tensor = self.f1(x.flatten(1))
        return y


class Normalized(nn.Sequential):
    """A convolution, and what it gives normalised over the batch."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        norm = nn.BatchNorm2d(outputs, track_running_stats=False)
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), norm)


class Block(nn.Module):
    """Two convolutions of 3x3 and a shortcut, by a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, conv: Convolution = nn.Conv2d) -> None:
        super().__init__()
        self.c1 = conv(inputs, outputs, 3, stride, 1)
        self.c2 = conv(outputs, outputs, 3, 1, 1)
        same = inputs == outputs
        self.shortcut: nn.Module = nn.Identity() if same else conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.c2(torch.relu(self.c1(x))) + self.shortcut(x))


class ResNet20(nn.Module):
    """Three groups of three blocks of 16, 32 and 64 channels, on [batch, 3, 32, 32]; batch norm folded, or not."""

    def __init__(self, conv: Convolution = nn.Conv2d) -> None:
        super().__init__()
        self.c1, self.f1 = conv(3, 16, 3, 1, 1), nn.Linear(64, 10)
        widths = [(16, 16, 1)] * 3 + [(16, 32, 2), *[(32, 32, 1)] * 2] + [(32, 64, 2), *[(64, 64, 1)] * 2]
        self.blocks = nn.Sequential(*(Block(*width, conv=conv) for width in widths))

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.c1(x)))
        y: Tensor = self.f1(x.mean((2, 3), keepdim=True).flatten(1))
        return y


class Writer:
    """Writes a graph node by node, one value after the other."""

    def __init__(self, channels: int, size: int) -> None:
        self.shape = [BATCH, channels, size, size]
        self.x = ir.val("x", ir.DataType.FLOAT, self.shape)
        self.nodes: list[ir.Node] = []
        self.weights: dict[str, ir.Value] = {}
        self.held: list[ir.Value] = []

    def node(self, op: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        node = ir.node(op, inputs, attributes)
        self.nodes.append(node)
        node.outputs[0].name = f"v{len(self.nodes)}"
        return node.outputs[0]

    def weight(self, name: str, tensor: Tensor, trains: bool = True) -> ir.Value:
        array: np.ndarray[Any, Any] = tensor.detach().numpy()
        value = ir.val(name, const_value=ir.tensor(array, name=name))
        self.held.append(value)
        if trains:
            self.weights[name] = value
        return value

    def layer(self, op: str, x: ir.Value, module: nn.Module, name: str, **attributes: Any) -> ir.Value:
        """A node with the weight and the bias of a torch module."""
        weights = [self.weight(f"{name}.{key}", tensor) for key, tensor in module.named_parameters()]
        return self.node(op, x, *weights, **attributes)

    def model(self, y: ir.Value) -> ir.Model:
        graph = ir.Graph([self.x], [y], nodes=self.nodes, initializers=self.held, opset_imports={"": 17})
        return ir.Model(graph, ir_version=8)


def conv(w: Writer, x: ir.Value, module: nn.Module, name: str) -> ir.Value:
    if isinstance(module, Normalized):
        return normalized(w, conv(w, x, module[0], name), module[1], name)
    assert isinstance(module, nn.Conv2d)
    pads = [int(p) for p in module.padding] * 2
    return w.layer("Conv", x, module, name, pads=pads, strides=list(module.stride))


def normalized(w: Writer, x: ir.Value, module: nn.Module, name: str) -> ir.Value:
    scale, shift = module.parameters()
    trained = [w.weight(f"{name}.{key}", tensor) for key, tensor in (("scale", scale), ("shift", shift))]
    unread = [w.weight(f"{name}.{key}", torch.ones_like(scale), trains=False) for key in ("mean", "variance")]
    return w.node("BatchNormalization", x, *trained, *unread, training_mode=1)


def gemm(w: Writer, x: ir.Value, module: nn.Linear, name: str) -> ir.Value:
    return w.layer("Gemm", x, module, name, transB=1)


def write_lenet(net: LeNet) -> Writer:
    w = Writer(1, 28)
    x = w.node("MaxPool", conv(w, w.x, net.c1, "c1"), kernel_shape=[2, 2], strides=[2, 2])
    x = w.node("MaxPool", conv(w, x, net.c2, "c2"), kernel_shape=[2, 2], strides=[2, 2])
    x = w.node("Relu", gemm(w, w.node("Flatten", x), net.f1, "f1"))
    gemm(w, x, net.f2, "f2")
    return w


def write_convnet(net: ConvNet) -> Writer:
    w = Writer(3, 32)
    pool = {"kernel_shape": [3, 3], "strides": [2, 2]}
    x = w.node("Relu", w.node("MaxPool", conv(w, w.x, net.c1, "c1"), **pool))
    x = w.node("AveragePool", w.node("Relu", conv(w, x, net.c2, "c2")), **pool)
    x = w.node("AveragePool", w.node("Relu", conv(w, x, net.c3, "c3")), **pool)
    gemm(w, w.node("Flatten", x), net.f1, "f1")
    return w


def write_resnet20(net: ResNet20) -> Writer:
    w = Writer(3, 32)
    x = w.node("Relu", conv(w, w.x, net.c1, "c1"))
    for n, block in enumerate(net.blocks):
        assert isinstance(block, Block)
        h = conv(w, w.node("Relu", conv(w, x, block.c1, f"{n}.c1")), block.c2, f"{n}.c2")
        if not isinstance(block.shortcut, nn.Identity):
            x = conv(w, x, block.shortcut, f"{n}.shortcut")
        x = w.node("Relu", w.node("Add", h, x))
    gemm(w, w.node("Flatten", w.node("GlobalAveragePool", x)), net.f1, "f1")
    return w


def step(run: Callable[[Tensor], Tensor], weights: list[nn.Parameter], x: Tensor, label: Tensor) -> float:
    """The seconds of one step of SGD."""
    start = time.process_time()
    loss = functional.cross_entropy(run(x), label)
    gradients = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(gradient, alpha=1e-3)
    return time.process_time() - start


def mixed(model: ir.Model, weights: dict[str, ir.Value]) -> tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]:
    """As the trainer runs it."""
    executor = Executor(model, weights)
    for weight in executor.parameters():
        weight.data = channels_last(weight.data)

    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            (y,) = executor({"x": channels_last(x)}).values()
        return torch.as_tensor(y).float()

    return run, list(executor.parameters())


def compare(name: str, net: nn.Module, writer: Writer) -> dict[str, Any]:
    """The milliseconds of the three steps, and the ratio of the first two."""
    y = writer.nodes[-1].outputs[0]
    model = writer.model(y)
    executor = Executor(model, writer.weights)
    x = torch.randn(writer.shape)
    label = torch.randint(10, (BATCH,))
    assert torch.allclose(executor({"x": x})[str(y.name)], net(x), atol=1e-4)
    runs = {
        "torch": (net.__call__, list(net.parameters())),
        "executor": (lambda x: executor({"x": x})[str(y.name)], list(executor.parameters())),
        "bfloat16": mixed(model, writer.weights),
    }
    seconds: dict[str, list[float]] = {key: [] for key in runs}
    for turn in range(ROUNDS + 2):
        for key, (run, weights) in runs.items():
            took = step(run, weights, x, label)
            if turn >= 2:  # the first two warm up
                seconds[key].append(took)
    ratio = statistics.median(a / b for a, b in zip(seconds["executor"], seconds["torch"], strict=True))
    times = {f"{key} ms": 1e3 * statistics.median(took) for key, took in seconds.items()}
    row = {"network": name, **times, "ratio": ratio}
    print(row)
    return row


def main() -> None:
    """All four networks; exits with 1 when one is over the limit."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lenet, convnet, resnet, normal = LeNet(), ConvNet(), ResNet20(), ResNet20(Normalized)
    rows = [
        compare("LeNet", lenet, write_lenet(lenet)),
        compare("ConvNet", convnet, write_convnet(convnet)),
        compare("ResNet-20", resnet, write_resnet20(resnet)),
        compare("ResNet-20, normalised", normal, write_resnet20(normal)),
    ]
    said = (
        f"a step of SGD on {BATCH} samples by the interpreter, and by the same network written by hand in torch; medians of "
        f"{ROUNDS}, taken in turns. Required: at most {LIMIT}x."
    )
    record("execute", said, rows)
    raise SystemExit(max(row["ratio"] for row in rows) > LIMIT)


if __name__ == "__main__":
    main()
