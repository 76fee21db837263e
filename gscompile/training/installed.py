"""The check for torch, which only training needs: a compile without data runs without it."""

from __future__ import annotations

from gscompile.errors import UsageError


def check_torch() -> None:
    """Import torch. Raises UsageError if it is not installed or cannot be loaded."""
    try:
        import torch  # noqa: F401
    except ImportError as problem:
        found = "is not installed" if isinstance(problem, ModuleNotFoundError) else f"cannot be loaded ({problem})"
        raise UsageError(f"torch {found}; expected torch 2.6 or later for --data and --nproc") from problem
