"""The device of torch, set up to give the same numbers every time."""

from __future__ import annotations

import os

import torch

from gscompile.errors import UsageError, one_line


def device_named(name: str) -> torch.device:
    """Return the device of that name; a GPU is made deterministic. Raises UsageError if there is no such device."""
    try:
        device = torch.device(name)
        if device.type == "cuda":
            _repeatable()
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as problem:  # torch raises either
        raise UsageError(f"device {name!r}: {one_line(problem)}") from problem
    return device


def _repeatable() -> None:
    """Make torch add in the same order every time and not round float32 to TF32; an op that cannot do so warns."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product of matrices
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # all is written here
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
