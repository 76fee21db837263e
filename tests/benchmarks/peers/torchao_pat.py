"""torchao's proximal group lasso (PAT): a group is an output of a layer; two thirds of the epochs shrink, the rest heal.

Deleted outputs stay in the file as zeros, which `count.py` does not count.

`python -m tests.benchmarks.peers.torchao_pat lenet --data MNIST --epochs 6 --strength 0.01`
"""

from __future__ import annotations

import argparse

from torch import nn
from torchao.prototype.pat.optim import build_prune_optimizer

from tests.benchmarks.peers.bench import Net, Training, main
from tests.benchmarks.peers.problems import Problem


def compress(task: Problem, training: Training, args: argparse.Namespace) -> Net:
    net = task.network()
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    pruned = [layer.weight for layer in layers[:-1]]
    rest = [p for p in net.parameters() if all(p is not q for q in pruned)]
    base = training.optimizer(net)
    base.param_groups.clear()
    base.add_param_group({"params": pruned, "group_type": "Dim0Grouper", "prox_type": "ProxGroupLasso"})
    base.add_param_group({"params": rest})
    heal = training.steps * 2 // 3
    training.run(net, 1.0, build_prune_optimizer(base, args.strength, 0, heal))
    return net


if __name__ == "__main__":
    main("torchao_pat", "torchao", "reg_lambda", compress)
