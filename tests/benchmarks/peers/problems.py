"""The three networks of the comparison: their data, and torch modules of whatever sizes a file's weights have."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).parents[3]
HELD_OUT = 5_000  # of the training images, the last ones
Bytes = NDArray[np.uint8]
Weights = list[tuple[Tensor, Tensor]]
Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True)
class Split:
    """Images [n, channels, rows, columns] as bytes, what makes numbers of them, and labels [n]."""

    images: Bytes
    labels: NDArray[np.int64]
    scaled: Callable[[Tensor], Tensor]

    def batch(self, chosen: NDArray[np.int64] | slice) -> tuple[Tensor, Tensor]:
        return self.scaled(torch.tensor(self.images[chosen]).float()), torch.tensor(self.labels[chosen])

    def part(self, count: int) -> Split:
        """The first so many images."""
        return Split(self.images[:count], self.labels[:count], self.scaled)

    def batches(self, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole batches in a random order."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        for start in range(0, len(order) - size + 1, size):
            yield self.batch(order[start : start + size])


@dataclass(frozen=True)
class Problem:
    """A network's file, its data and the learning rate that fine-tuning begins with."""

    path: Path
    shape: tuple[int, int, int]
    make: Callable[[Weights], nn.Module]
    read: Callable[[Path], tuple[Split, Split, Split]]
    rate: float
    flips: bool

    def network(self, path: Path | None = None) -> nn.Module:
        """The network of a file, with the sizes that its weights have there."""
        return self.make(weights(path or self.path)).eval()


def weights(path: Path) -> Weights:
    """Weight and bias of every Conv and Gemm, in the order of the graph."""
    graph = onnx.load(path).graph
    held = {tensor.name: torch.tensor(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    return [(held[node.input[1]], held[node.input[2]]) for node in nodes]


def conv(pair: tuple[Tensor, Tensor], padding: int = 0, stride: int = 1) -> nn.Conv2d:
    outputs, inputs, size, _ = pair[0].shape
    return _filled(nn.Conv2d(inputs, outputs, size, stride, padding), pair)


def linear(pair: tuple[Tensor, Tensor]) -> nn.Linear:
    return _filled(nn.Linear(pair[0].shape[1], pair[0].shape[0]), pair)


def _filled(layer: Layer, pair: tuple[Tensor, Tensor]) -> Layer:
    layer.load_state_dict({"weight": pair[0], "bias": pair[1]})
    return layer


class LocalNorm(nn.Module):
    """x / (1 + alpha mean(x^2))^beta, the mean over 3 x 3 pixels, zeros outside the image counted."""

    def forward(self, x: Tensor) -> Tensor:
        mean = functional.avg_pool2d(x * x, 3, 1, 1)
        return x * (1 + 5e-5 * mean) ** -0.75


def lenet(w: Weights) -> nn.Module:
    first = [conv(w[0]), nn.MaxPool2d(2), conv(w[1]), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*first, linear(w[2]), nn.ReLU(), linear(w[3]))


def convnet(w: Weights) -> nn.Module:
    mean = partial(nn.AvgPool2d, 3, 2, ceil_mode=True, count_include_pad=False)
    first = [conv(w[0], 2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(), LocalNorm()]
    second = [conv(w[1], 2), nn.ReLU(), mean(), LocalNorm()]
    return nn.Sequential(*first, *second, conv(w[2], 2), nn.ReLU(), mean(), nn.Flatten(), linear(w[3]))


class Block(nn.Module):
    """Two convolutions and a way past them; where the sizes differ it takes every second pixel and adds channels."""

    def __init__(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], inputs: int) -> None:
        super().__init__()
        self.more = second[0].shape[0] - inputs
        self.conv1 = conv(first, 1, 2 if self.more else 1)
        self.conv2 = conv(second, 1)

    def forward(self, x: Tensor) -> Tensor:
        past = x
        if self.more:
            past = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + past)


class ResNet(nn.Module):
    def __init__(self, w: Weights) -> None:
        super().__init__()
        self.stem = conv(w[0], 1)
        widths = [len(w[0][1]), *(len(w[i][1]) for i in range(2, len(w) - 1, 2))]
        pairs = zip(w[1:-1:2], w[2:-1:2], widths, strict=False)
        self.blocks = nn.Sequential(*(Block(first, second, inputs) for first, second, inputs in pairs))
        self.last = linear(w[-1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(torch.relu(self.stem(x)))
        logits: Tensor = self.last(functional.avg_pool2d(y, 8).flatten(1))
        return logits


def _idx(path: Path, rank: int) -> Bytes:
    content = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(content, ">i4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def mnist(folder: Path) -> tuple[Split, Split, Split]:
    """The four published files; an image is pixel / 256."""

    def part(name: str) -> tuple[Bytes, NDArray[np.int64]]:
        images = _idx(folder / f"{name}-images-idx3-ubyte.gz", 3)[:, None]
        return images, _idx(folder / f"{name}-labels-idx1-ubyte.gz", 1).astype(np.int64)

    return _splits(*part("train"), *part("t10k"), lambda x: x / 256)


def cifar10(folder: Path, centred: bool) -> tuple[Split, Split, Split]:
    """`cifar-10-batches-bin`; an image less the mean of all, or each colour by its own mean and deviation."""

    def part(names: list[str]) -> tuple[Bytes, NDArray[np.int64]]:
        records = np.concatenate([np.fromfile(folder / name, np.uint8).reshape(-1, 3073) for name in names])
        return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)

    images, labels = part([f"data_batch_{number}.bin" for number in range(1, 6)])
    mean = torch.from_numpy(images.mean(0, np.float64).astype(np.float32))
    shift, scale = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    scaled: Callable[[Tensor], Tensor] = (lambda x: x - mean) if centred else (lambda x: (x / 255 - shift) / scale)
    return _splits(images, labels, *part(["test_batch.bin"]), scaled)


def _splits(
    images: Bytes,
    labels: NDArray[np.int64],
    tests: Bytes,
    test_labels: NDArray[np.int64],
    scaled: Callable[[Tensor], Tensor],
) -> tuple[Split, Split, Split]:
    edge = len(labels) - HELD_OUT
    train, val = Split(images[:edge], labels[:edge], scaled), Split(images[edge:], labels[edge:], scaled)
    return train, val, Split(tests, test_labels, scaled)


def problem(name: str, resnet20: Path | None) -> Problem:
    """`lenet`, `convnet` or `resnet20`; the file of the last is not shipped."""
    if name == "lenet":
        return Problem(ROOT / "samples/lenet.onnx", (1, 28, 28), lenet, mnist, 1e-3, False)
    if name == "convnet":
        return Problem(ROOT / "samples/convnet.onnx", (3, 32, 32), convnet, partial(cifar10, centred=True), 3e-4, True)
    if resnet20 is None:
        raise SystemExit("resnet20: say where its file is with --model")
    return Problem(resnet20, (3, 32, 32), ResNet, partial(cifar10, centred=False), 3e-4, True)
