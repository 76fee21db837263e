"""Random numbers, from torch's generator: seeded by the node's `seed`, never equal to another engine's."""

from __future__ import annotations

import struct

import torch
from torch import Tensor

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import torch_type


def _generator(node: NodeInfo, device: torch.device) -> torch.Generator | None:
    """Return a generator with the node's seed (a float in ONNX, taken by its bits); None is torch's global one."""
    if "seed" not in node.attributes:
        return None
    generator = torch.Generator(device)
    generator.manual_seed(int.from_bytes(struct.pack("<f", node.attributes["seed"]), "little"))
    return generator


def _normal(node: NodeInfo, x: Tensor) -> Tensor:
    y = torch.randn(x.shape, generator=_generator(node, x.device), device=x.device)
    return (y * node.get("scale", 1.0) + node.get("mean", 0.0)).to(x.dtype)


def _uniform(node: NodeInfo, x: Tensor) -> Tensor:
    low, high = node.get("low", 0.0), node.get("high", 1.0)
    y = torch.rand(x.shape, generator=_generator(node, x.device), device=x.device)
    return (y * (high - low) + low).to(x.dtype)


def _empty(node: NodeInfo) -> Tensor:
    return torch.empty(tuple(node.get("shape", ())), dtype=torch_type(node.get("dtype", 1)))


def _alike(node: NodeInfo, x: Tensor) -> Tensor:
    return torch.empty_like(x, dtype=torch_type(node.attributes["dtype"]) if "dtype" in node.attributes else x.dtype)


@op("RandomNormal")
def random_normal(node: NodeInfo) -> Tensor:
    """Return normal numbers of the shape `shape`."""
    return _normal(node, _empty(node))


@op("RandomUniform")
def random_uniform(node: NodeInfo) -> Tensor:
    """Return uniform numbers of the shape `shape`."""
    return _uniform(node, _empty(node))


@op("RandomNormalLike")
def random_normal_like(node: NodeInfo, x: Tensor) -> Tensor:
    """Return normal numbers of the shape of x."""
    return _normal(node, _alike(node, x))


@op("RandomUniformLike")
def random_uniform_like(node: NodeInfo, x: Tensor) -> Tensor:
    """Return uniform numbers of the shape of x."""
    return _uniform(node, _alike(node, x))


@op("Multinomial")
def multinomial(node: NodeInfo, x: Tensor) -> Tensor:
    """Draw [batch, sample_size] classes with the log-probabilities x [batch, classes]."""
    count, generator = node.get("sample_size", 1), _generator(node, x.device)
    drawn = torch.multinomial(torch.softmax(x.float(), -1), count, replacement=True, generator=generator)
    return drawn.to(torch_type(node.get("dtype", 6)))
