"""Variations of training samples, by name or by a user's function; labels and the teacher's answer stay the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.errors import UsageError

Augment = Callable[[Tensor, torch.Generator], Tensor]


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image [n, channels, rows, columns] by up to a twelfth of its size each way; zeros come in."""
    count, _, rows, columns = images.shape
    most = max(1, min(rows, columns) // 12)
    padded = functional.pad(images, (most,) * 4)
    down, across = torch.randint(0, 2 * most + 1, (2, count, 1), generator=generator)
    at_rows = (down + torch.arange(rows))[:, None, :, None]
    at_cols = (across + torch.arange(columns))[:, None, None, :]
    picked: Tensor = padded[
        torch.arange(count)[:, None, None, None],
        torch.arange(images.shape[1])[:, None, None],
        at_rows,
        at_cols,
    ]
    return picked


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image, left to right, by the toss of a coin."""
    coin = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(coin[:, None, None, None], images.flip(-1), images)


_NAMED: Mapping[str, Augment] = {"crop": crop, "flip": flip}


def augmentation(names: tuple[str, ...]) -> Callable[[dict[str, Tensor], torch.Generator], dict[str, Tensor]]:
    """What to do to a batch's inputs, by name. Images are the floating inputs of four axes; other inputs stay.

    A name is `crop`, `flip` or `package.module:function` of (images, generator). Raises UsageError for another.
    """
    steps = [_step(name) for name in names]

    def apply(inputs: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        return {name: _apply(steps, tensor, generator) for name, tensor in inputs.items()}

    return apply


def _apply(steps: list[Augment], tensor: Tensor, generator: torch.Generator) -> Tensor:
    if tensor.ndim == 4 and tensor.is_floating_point():
        for step in steps:
            tensor = step(tensor, generator)
    return tensor


def _step(name: str) -> Augment:
    if name in _NAMED:
        return _NAMED[name]
    module, colon, function = name.partition(":")
    try:
        found: Any = getattr(import_module(module), function) if colon else None
    except (ImportError, AttributeError) as problem:
        raise UsageError(f"augment {name!r}: {problem}") from problem
    if found is None:
        raise UsageError(
            f"augment {name!r}: unknown; {', '.join(_NAMED)} or package.module:function would do"
        )
    step: Augment = found
    return step
