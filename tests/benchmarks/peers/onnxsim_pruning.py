"""onnxsim's structured pruning: channels of least norm between two layers go from the ONNX file, then fine-tuning.

onnxsim has no fine-tuning with labels: what it leaves is read into torch and tuned like the others.

`python -m tests.benchmarks.peers.onnxsim_pruning lenet --data MNIST --epochs 6 --strength 0.5`
"""

from __future__ import annotations

import argparse

import onnx
import onnxsim

from tests.benchmarks.peers.bench import Net, Training, main
from tests.benchmarks.peers.problems import Problem


def compress(task: Problem, training: Training, args: argparse.Namespace) -> Net:
    onnx.save(onnxsim.apply_structured_pruning(str(task.path), sparsity=args.strength), args.out)
    net = task.network(args.out)
    training.run(net)
    return net


if __name__ == "__main__":
    main("onnxsim_pruning", "onnxsim", "part of the channels that go", compress)
