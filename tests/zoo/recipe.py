"""What it takes to export an architecture: how it is built, and inputs with their names and open axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Inputs = dict[str, tuple[Tensor, dict[int, str]]]


@dataclass(frozen=True)
class Recipe:
    """`inputs` maps names to a sample and its open axes, by number; `opset` is the one the older exporter writes."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    outputs: tuple[str, ...] = ("y",)
    opset: int = 17


def images(size: int = 32, channels: int = 3, sides: bool = False) -> Callable[[], Inputs]:
    """A batch of two square images; with `sides`, of any size."""
    open_axes = {0: "batch", 2: "height", 3: "width"} if sides else {0: "batch"}
    return lambda: {"x": (torch.randn(2, channels, size, size), open_axes)}


def tensor(*shape: int, **axes: int) -> tuple[Tensor, dict[int, str]]:
    """A random tensor, whose open axes are named: `tensor(2, 8, 40, batch=0, time=2)`."""
    return torch.randn(*shape), {axis: name for name, axis in axes.items()}


def tokens(kinds: int, *shape: int, **axes: int) -> tuple[Tensor, dict[int, str]]:
    """Whole numbers below `kinds`, with named axes as above."""
    return torch.randint(0, kinds, shape), {axis: name for name, axis in axes.items()}
