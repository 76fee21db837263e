"""gscompile's own row: a search whose time is over when it has taken as many steps as so many epochs have.

A search has no number of epochs to be given, but a time: here that is what the steps that are left would take of plain
fine-tuning. The row tells how many epochs of steps it came to. The learning rate is that of all peers.

`python -m tests.benchmarks.peers.gscompile_search lenet --data MNIST --epochs 6 --strength 0.1`
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import gscompile
from gscompile.graph.network import Network
from gscompile.training import run_context as run_context
from gscompile.training.optimizer import Adam
from tests.benchmarks.peers.bench import BATCH, Training, main
from tests.benchmarks.peers.problems import Problem, Split

TIMED = 100  # steps whose time tells that of an epoch


def compress(task: Problem, training: Training, args: argparse.Namespace) -> None:
    taken, step, each = [0], Adam.step, seconds(task, training)

    def counted(self: Adam) -> None:
        taken[0] += 1
        step(self)

    def left() -> float:
        return each * (training.steps - taken[0])

    clock = patch.object(Adam, "step", counted), patch.object(run_context, "deadline", lambda _: left)
    with tempfile.TemporaryDirectory() as name, clock[0], clock[1]:
        folder, (_, val, _) = Path(name), task.read(args.data)
        for part, split in (("train", training.train), ("val", val)):
            save(split, folder / f"{part}.npz", gscompile_input(task))
        gscompile.compile(
            task.path,
            crossbar="64x64",
            out=folder / "out",
            data=str(folder / "train.npz"),
            val=str(folder / "val.npz"),
            max_drop=args.strength,
            effort="quick",
            lr=task.rate,
            time_budget=left(),
            augment=("flip",) if task.flips else (),
            batch_size=BATCH,
            seed=args.seed,
            threads=1,
        )
        shutil.copy(folder / "out/model.onnx", args.out)
    args.epochs = round(taken[0] / (len(training.train.labels) // BATCH), 1)


def gscompile_input(task: Problem) -> str:
    return next(value.name or "" for value in Network.load(task.path).inputs)


def save(split: Split, path: Path, name: str) -> None:
    images = np.concatenate([split.batch(slice(i, i + 500))[0].numpy() for i in range(0, len(split.labels), 500)])
    arrays: dict[str, Any] = {name: images, "labels": split.labels}
    np.savez(path, **arrays)


def seconds(task: Problem, training: Training) -> float:
    """What a step of fine-tuning takes here, by the clock that the search looks at."""
    probe = Training(task, training.train.part(TIMED * BATCH), 1, training.seed)
    net = task.network()
    began = time.perf_counter()
    probe.run(net)
    return (time.perf_counter() - began) / probe.steps


if __name__ == "__main__":
    main("gscompile_search", "gscompile", "points of validation accuracy that may go", compress)
