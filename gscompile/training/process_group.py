"""Several processes by torch.distributed: gloo between CPUs, nccl between GPUs where each process has its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gscompile.execute.batch_norm import batches_shared
from gscompile.training.world import AGAIN, LostError, World

PATIENCE = timedelta(days=7)  # others wait while the first decomposes, scores and writes; a lost one is noticed at once


class Group(World):
    """This process among others that talk by torch.distributed."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def share(self, value: Any = None) -> Any:
        box = [value]
        with _talking():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def average(self, loss: Tensor, parameters: Sequence[Tensor], share: float, over: bool) -> tuple[Tensor, bool]:
        """One message: the gradients, which of them there are, the loss, and whether the time is over."""
        used = [p.grad is not None for p in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        facts = torch.tensor([float(over), *map(float, used)], device=loss.device)
        flat = torch.cat([*(g.flatten() * share for g in gradients), (loss.detach() * share).reshape(1), facts])
        with _talking():
            dist.all_reduce(flat)
        *sums, total, anyone_over, users = torch.split(flat, [*map(torch.numel, parameters), 1, 1, len(parameters)])
        for p, gradient, count in zip(parameters, sums, users.tolist(), strict=True):
            p.grad = gradient.view(p.shape) if count else None
        return total[0], bool(anyone_over)

    def parted(self, share: float) -> AbstractContextManager[None]:
        return batches_shared(share, _total)

    def device(self, wanted: str) -> str:
        return f"cuda:{_local_rank() % torch.cuda.device_count()}" if wanted == "cuda" else wanted


def _total(tensor: Tensor) -> Tensor:
    with _talking():
        dist.all_reduce(tensor)
    return tensor


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def group(device: str) -> Iterator[Group]:
    """Join the processes of the environment, or a group that the caller is in already."""
    if dist.is_initialized():
        yield Group()
        return
    with _talking():
        _join(device)
    try:
        yield Group()
    finally:
        dist.destroy_process_group()


def _join(device: str) -> None:
    """Find each other by a file, where `launch` named one: nobody listens for strangers; else as torchrun says."""
    path, size, rank = os.environ.get("GSCOMPILE_RENDEZVOUS"), int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    place = f"file://{path}" if path else "env://"
    dist.init_process_group(_backend(device), place, rank=rank, world_size=size, timeout=PATIENCE)


def _backend(device: str) -> str:
    """nccl needs a GPU for each process; gloo shares one."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not device.startswith("cuda") or torch.cuda.device_count() < local:
        return "gloo"
    torch.cuda.set_device(_local_rank())
    return "cpu:gloo,cuda:nccl"


@contextmanager
def _talking() -> Iterator[None]:
    try:
        yield
    except RuntimeError as problem:  # gloo's and nccl's only word for a connection that broke
        raise LostError(f"another process is gone; {AGAIN}") from problem
