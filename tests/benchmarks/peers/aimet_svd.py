"""AIMET's weight SVD: every layer but the last becomes two of a smaller rank, then fine-tuning.

`python -m tests.benchmarks.peers.aimet_svd lenet --data MNIST --epochs 6 --strength 0.3`
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from decimal import Decimal
from types import ModuleType
from typing import Any

from torch import nn

from tests.benchmarks.peers.bench import Net, Training, main
from tests.benchmarks.peers.problems import Problem

NAMES = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.ops")


@contextmanager
def stand_in_for_torchvision() -> Iterator[None]:
    """torchvision does not import beside a CPU build of torch; AIMET asks for names of it that SVD has no use for."""

    class Anything(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    sys.modules.update({name: Anything(name) for name in NAMES})
    for name in NAMES[1:]:
        setattr(sys.modules["torchvision"], name.partition(".")[2], sys.modules[name])
    yield
    for name in NAMES:
        del sys.modules[name]


def compress(task: Problem, training: Training, args: argparse.Namespace) -> Net:
    with (
        stand_in_for_torchvision(),
        tempfile.TemporaryDirectory() as notes,
        chdir(notes),
    ):  # AIMET writes into ./data
        found = factored(task, args.strength)
    training.run(found)
    return found


def factored(task: Problem, ratio: float) -> Net:
    """The network, every layer but the last as two that have this part of its weights."""
    from aimet_common.defs import CompressionScheme, CostMetric
    from aimet_torch.compress import ModelCompressor
    from aimet_torch.defs import ModuleCompRatioPair, WeightSvdParameters

    net = task.network()
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)][:-1]
    pairs = [ModuleCompRatioPair(layer, Decimal(str(ratio))) for layer in layers]
    manual = WeightSvdParameters.ManualModeParams(pairs)
    found, _ = ModelCompressor.compress_model(
        net,
        eval_callback=lambda *_: 1.0,
        eval_iterations=1,
        input_shape=(1, *task.shape),
        compress_scheme=CompressionScheme.weight_svd,
        cost_metric=CostMetric.memory,
        parameters=WeightSvdParameters(WeightSvdParameters.Mode.manual, manual),
    )
    assert isinstance(found, nn.Module)
    return found


if __name__ == "__main__":
    main("aimet_svd", "aimet-torch", "part of a layer's weights that its two factors have", compress)
