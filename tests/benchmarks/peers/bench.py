"""What every peer's script shares: options, fine-tuning, the written file, and the row that is measured on it.

Fine-tuning is the same for all: AdamW without decay, batches of 128, a learning rate that falls as a cosine, cross
entropy; CIFAR's images are mirrored by chance. Seconds are of the processor and memory is the most the process ever
held, from its start until the file is written. Accuracy is onnxruntime's on that file; cells, tiles and wires are what
`count.py` counts in it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import resource
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from tests.benchmarks.peers.count import count
from tests.benchmarks.peers.problems import Problem, Split, problem

RESULTS = Path(__file__).with_name("results.json")
BATCH = 128
Net = nn.Module


def options(peer: str, strength: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.peers.{peer}")
    parser.add_argument("network", choices=["lenet", "convnet", "resnet20"])
    parser.add_argument("--data", type=Path, required=True, help="MNIST's four files, or cifar-10-batches-bin")
    parser.add_argument("--model", type=Path, help="the file of resnet20")
    parser.add_argument("--epochs", type=int, required=True, help="of training in all")
    parser.add_argument("--strength", type=float, required=True, help=strength)
    parser.add_argument("--out", type=Path, default=Path("peer.onnx"), help="the file to write")
    parser.add_argument("--seed", type=int, default=0)
    return parser


class Training:
    """Steps of fine-tuning, so many epochs in all, that a peer may take in several stretches."""

    def __init__(self, task: Problem, train: Split, epochs: int, seed: int) -> None:
        self.task, self.train, self.seed = task, train, seed
        self.steps, self.step = epochs * (len(train.labels) // BATCH), 0
        torch.manual_seed(seed)

    def optimizer(self, net: Net) -> torch.optim.Optimizer:
        return torch.optim.AdamW(net.parameters(), self.task.rate, weight_decay=0.0)

    def run(
        self, net: Net, part: float = 1.0, optimizer: Any = None, before_step: Callable[[], None] = lambda: None
    ) -> None:
        """Train for a part of all steps; `before_step` is called when the gradients are there."""
        used, end = optimizer or self.optimizer(net), min(self.step + round(part * self.steps), self.steps)
        net.train()
        while self.step < end:
            for images, labels in islice(self.train.batches(BATCH, self.seed + self.step), end - self.step):
                for group in used.param_groups:
                    group["lr"] = self.task.rate * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
                used.zero_grad()
                self._loss(net, images, labels).backward()  # type: ignore[no-untyped-call]
                before_step()
                used.step()
                self.step += 1
        net.eval()

    def _loss(self, net: Net, images: Tensor, labels: Tensor) -> Tensor:
        if self.task.flips:
            images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)
        return nn.functional.cross_entropy(net(images), labels)


def export(net: Net, task: Problem, path: Path) -> None:
    """Write a network with a free batch."""
    example, free = torch.zeros(2, *task.shape), {"x": {0: torch.export.Dim("batch")}}
    settings = {
        "input_names": ["x"],
        "output_names": ["logits"],
        "opset_version": 18,
        "dynamo": True,
        "verbose": False,
    }
    program = torch.onnx.export(net.eval(), (example,), dynamic_shapes=tuple(free.values()), **settings)  # type: ignore[arg-type]
    assert program is not None
    program.save(str(path), external_data=False)


def accuracy(path: Path, split: Split) -> float:
    """Percent that onnxruntime gets right with the file."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    name, right = session.get_inputs()[0].name, 0
    for start in range(0, len(split.labels), 500):
        images, labels = split.batch(slice(start, start + 500))
        (logits,) = session.run(None, {name: images.numpy()})
        right += int((np.argmax(logits, 1) == labels.numpy()).sum())
    return 100 * right / len(split.labels)


Compress = Callable[[Problem, Training, argparse.Namespace], Net | None]


def main(peer: str, package: str, strength: str, compress: Compress) -> None:
    """Run a peer and keep its row, in place of another of the same peer, network, epochs, strength and seed.

    `compress` returns the network, or None where it has written the file itself.
    """
    torch.set_num_threads(1)
    args = options(peer, strength).parse_args()
    task = problem(args.network, args.model)
    train, val, test = task.read(args.data)
    net = compress(task, Training(task, train, args.epochs, args.seed), args)
    if net is not None:
        export(net, task, args.out)
    taken = resource.getrusage(resource.RUSAGE_SELF)
    before = {"val": accuracy(task.path, val), "test": accuracy(task.path, test)}
    row = {
        "peer": peer,
        "version": f"{package} {importlib.metadata.version(package)}",
        "network": args.network,
        "epochs": args.epochs,
        "strength": args.strength,
        "seed": args.seed,
        "before": before | count(task.path),
        "after": {"val": accuracy(args.out, val), "test": accuracy(args.out, test)} | count(args.out),
        "processor s": round(taken.ru_utime + taken.ru_stime, 1),
        "peak MB": round(taken.ru_maxrss / 1024),
    }
    keep(row)
    print(json.dumps(row))


def keep(row: dict[str, Any]) -> None:
    names = ("network", "peer", "epochs", "strength", "seed")
    rows = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else []
    known = {tuple(str(r[name]) for name in names): r for r in [*rows, row]}
    RESULTS.write_text(json.dumps([known[key] for key in sorted(known)], indent=1) + "\n", "utf-8")
