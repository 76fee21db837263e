"""Several processes with torch.distributed: gloo between CPUs, nccl between GPUs if each process has its own."""

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

PATIENCE = timedelta(
    days=7
)  # workers wait while the first process decomposes and scores; a lost process is noticed at once


class Group(World):
    """A process among others that communicate by torch.distributed."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def share(self, value: Any = None) -> Any:
        box = [value]
        with _communicating():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def average(self, loss: Tensor, parameters: Sequence[Tensor], share: float, over: bool) -> tuple[Tensor, bool]:
        """Average in one message: the gradients, flags of those that exist, the loss, and a flag of the time."""
        used = [p.grad is not None for p in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        facts = torch.tensor([float(over), *map(float, used)], device=loss.device)
        flat = torch.cat([*(g.flatten() * share for g in gradients), (loss.detach() * share).reshape(1), facts])
        with _communicating():
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
    with _communicating():
        dist.all_reduce(tensor)
    return tensor


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def group(device: str) -> Iterator[Group]:
    """Join the processes that the environment names, or the group that the caller has already joined."""
    if dist.is_initialized():
        yield Group()
        return
    with _communicating():
        _join(device)
    try:
        yield Group()
    finally:
        dist.destroy_process_group()


def _join(device: str) -> None:
    """Find the other processes by the file of `launch`, which opens no port, or by the address of torchrun."""
    path, size, rank = os.environ.get("GSCOMPILE_RENDEZVOUS"), int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    place = f"file://{path}" if path else "env://"
    dist.init_process_group(_backend(device), place, rank=rank, world_size=size, timeout=PATIENCE)


def _backend(device: str) -> str:
    """Return the back end: nccl if each process has a GPU of its own, else gloo."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not device.startswith("cuda") or torch.cuda.device_count() < local:
        return "gloo"
    torch.cuda.set_device(_local_rank())
    return "cpu:gloo,cuda:nccl"


@contextmanager
def _communicating() -> Iterator[None]:
    try:
        yield
    except RuntimeError as problem:  # the only error of gloo and nccl for a broken connection
        raise LostError(f"another process is gone; {AGAIN}") from problem
