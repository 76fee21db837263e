"""The type of numbers that training steps multiply: float32, or bfloat16 where the processor has instructions for it.

Weights, the state of the optimizer, losses and scores are float32 either way (mixed precision, Micikevicius et al.
2018, with a type that needs no scaling of the loss).
"""

from __future__ import annotations

import torch

from gscompile.data.dataset import Dataset
from gscompile.errors import ExecutionError, UsageError
from gscompile.graph.network import Network
from gscompile.graph.trainable import exposed, trainable_values
from gscompile.options import Precision
from gscompile.scoring.metrics import Metric
from gscompile.training.batches import BatchLoader, Shard
from gscompile.training.channels_last import has_groups, has_images
from gscompile.training.objective import Objective
from gscompile.training.teacher import Teacher
from gscompile.training.training_step import backward

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")  # of the processor: x86 twice, ARM


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 instructions; without them bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and any(_capabilities().get(name) for name in _INSTRUCTIONS)


def _capabilities() -> dict[str, object]:
    """Return torch's description of the processor; empty if this version of torch has none."""
    describe = getattr(torch.cpu, "get_capabilities", dict)
    return dict(describe())


def choose_bfloat16(
    precision: Precision,
    original: Network,
    train: Dataset,
    feeder: BatchLoader,
    teacher: Teacher,
    objective: Objective,
    metric: Metric,
    seed: int,
) -> bool:
    """Return True if training steps use bfloat16: as requested, or for image classification where it is faster.

    Outputs and probabilities that are compared closely need all their digits; grouped convolutions are slower. Raises
    UsageError if bfloat16 is requested and an op does not support it.
    """
    if precision == "float32":
        return False
    if precision == "auto":
        is_coarse = metric.classes and not metric.looks_closely
        is_coarse = is_coarse and not objective.probabilities and not objective.function
        is_faster = has_images(original) and not has_groups(original) and multiplies_bfloat16(feeder.device)
        if not (is_coarse and is_faster):
            return False
    runs = runs_in_bfloat16(original, train, feeder, teacher, objective, seed)
    if precision == "bfloat16" and not runs:
        raise UsageError("precision bfloat16: an op of the network does not take it; expected float32 or auto")
    return runs


def runs_in_bfloat16(
    original: Network, train: Dataset, feeder: BatchLoader, teacher: Teacher, objective: Objective, seed: int
) -> bool:
    """Return True if original and teacher run in bfloat16, with gradients: not every op supports mixed types."""
    probe = next(feeder.batches(train, seed), None)
    if probe is None:
        return False
    rows, batch = probe
    network = exposed(original)
    shard, targets = Shard(rows, batch, feeder.feeds(batch), 1.0), teacher.outputs.uncached(batch)
    try:
        if not teacher.is_original:
            teacher.outputs.run(shard.feeds, bfloat16=True)
        executor = feeder.executor(network, trainable_values(network))
        backward(executor, shard, targets, feeder, objective, bfloat16=True)
    except (RuntimeError, ExecutionError):
        return False
    return True
