"""Torch-Pruning's group lasso (GroupNormPruner): half of the epochs with its penalty, then channels go, then the rest.

`python -m tests.benchmarks.peers.torch_pruning_lasso lenet --data MNIST --epochs 6 --strength 0.5`
"""

from __future__ import annotations

import argparse

import torch_pruning

from tests.benchmarks.peers.bench import Net, Training, main
from tests.benchmarks.peers.problems import Problem
from tests.benchmarks.peers.torch_pruning_channels import pruner

PENALTY = 1e-3  # times a group's norm


def compress(task: Problem, training: Training, args: argparse.Namespace) -> Net:
    net = task.network()
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    lasso = pruner(net, task, torch_pruning.pruner.GroupNormPruner, importance, args.strength)
    lasso.reg = PENALTY
    lasso.update_regularizer()
    training.run(net, 0.5, before_step=lambda: lasso.regularize(net))
    lasso.step()
    training.run(net, 0.5)
    return net


if __name__ == "__main__":
    main("torch_pruning_lasso", "torch-pruning", "part of the channels that go", compress)
