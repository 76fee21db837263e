"""One training step up to its gradients: forward, loss against the teacher's outputs and the labels, backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gscompile.execute import Executor
from gscompile.training.batches import BatchLoader, Shard
from gscompile.training.objective import Objective
from gscompile.training.run_spec import RunSpec
from gscompile.training.teacher import Teacher


@dataclass(frozen=True, eq=False)
class TrainingStep:
    """The loss of a training step; `bfloat16` if products are computed in that type."""

    feeder: BatchLoader
    objective: Objective
    teacher: Teacher
    bfloat16: bool

    def backward(self, executor: Executor, shard: Shard, spec: RunSpec, epoch: int) -> Tensor:
        """Return the mean loss over a shard, in an epoch of a run; its gradients are left in the weights."""
        targets = self.teacher.targets(shard, spec, epoch)
        with self.feeder.world.parted(shard.share):
            return backward(executor, shard, targets, self.feeder, self.objective, self.bfloat16)


def backward(
    executor: Executor,
    shard: Shard,
    targets: Mapping[str, Tensor],
    feeder: BatchLoader,
    objective: Objective,
    bfloat16: bool,
) -> Tensor:
    """Return the mean loss over a shard; its gradients are left in the weights."""
    with torch.autocast(feeder.device.type, torch.bfloat16, enabled=bfloat16):
        outputs = executor(shard.feeds)
    loss = objective.loss(outputs, targets, feeder.labels(shard.batch))
    torch.autograd.backward(loss)
    return loss
