"""Torch-Pruning's channel pruning: the channels of least norm in every group at once, then fine-tuning.

`python -m tests.benchmarks.peers.torch_pruning_channels lenet --data MNIST --epochs 6 --strength 0.5`
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
import torch_pruning

from tests.benchmarks.peers.bench import Net, Training, main
from tests.benchmarks.peers.problems import Problem, ResNet


def kept_whole(net: Net) -> list[Net]:
    """Outputs, and in the ResNet what lies on the way past its blocks: it is padded with channels there."""
    if isinstance(net, ResNet):
        return [net.stem, net.last, *(layer for name, layer in net.named_modules() if name.endswith("conv2"))]
    return [*net.children()][-1:]


def pruner(net: Net, task: Problem, how: Any, importance: Any, ratio: float) -> Any:
    return how(
        net,
        torch.zeros(1, *task.shape),
        importance=importance,
        pruning_ratio=ratio,
        global_pruning=True,
        max_pruning_ratio=0.95,
        ignored_layers=kept_whole(net),
    )


def compress(task: Problem, training: Training, args: argparse.Namespace) -> Net:
    net = task.network()
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    pruner(net, task, torch_pruning.pruner.MetaPruner, importance, args.strength).step()
    training.run(net)
    return net


if __name__ == "__main__":
    main("torch_pruning_channels", "torch-pruning", "part of the channels that go", compress)
