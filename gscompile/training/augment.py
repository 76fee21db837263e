"""Augmentation of training inputs, by name or by a function of the user. Labels stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.errors import UsageError
from gscompile.user_function import UserFunction

TensorInputs = dict[str, Tensor]
Augment = Callable[[TensorInputs, torch.Generator], TensorInputs]


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image [n, channels, rows, columns] by up to a twelfth of its size each way, padded with zeros."""
    count, _, rows, columns = images.shape
    most = max(1, min(rows, columns) // 12)
    padded = functional.pad(images, (most,) * 4)
    shifts = torch.randint(0, 2 * most + 1, (2, count, 1), generator=generator)
    down, across = shifts.to(images.device)
    along = partial(torch.arange, device=images.device)
    picked: Tensor = padded[
        along(count)[:, None, None, None],
        along(images.shape[1])[:, None, None],
        (down + along(rows))[:, None, :, None],
        (across + along(columns))[:, None, None, :],
    ]
    return picked


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image [n, channels, rows, columns] left to right with probability 0.5."""
    coin = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(coin[:, None, None, None], images.flip(-1), images)


_IMAGES: Mapping[str, Callable[[Tensor, torch.Generator], Tensor]] = {"crop": crop, "flip": flip}


def augmentation(given: Iterable[Any]) -> Augment:
    """Return a function that applies augmentations to the inputs of a batch, in order.

    `crop` and `flip` apply to every floating-point input of four axes. A function of the user takes (inputs, generator)
    and returns tensors by the same names, of the same shapes and types. Raises UsageError for anything else.
    """
    steps = [_step(item) for item in given]

    def apply(inputs: TensorInputs, generator: torch.Generator) -> TensorInputs:
        for step in steps:
            inputs = step(inputs, generator)
        return inputs

    return apply


def _step(given: Any) -> Augment:
    if given in _IMAGES:
        return _of_images(_IMAGES[given])
    if isinstance(given, str) and ":" not in given:
        known = ", ".join(_IMAGES)
        raise UsageError(f"augment {given!r}: unknown; expected one of {known}, or package.module:function")
    return _users(UserFunction.of("augment", given))


def _of_images(step: Callable[[Tensor, torch.Generator], Tensor]) -> Augment:
    def apply(inputs: TensorInputs, generator: torch.Generator) -> TensorInputs:
        return {n: step(t, generator) if t.ndim == 4 and t.is_floating_point() else t for n, t in inputs.items()}

    return apply


def _users(function: UserFunction) -> Augment:
    def apply(inputs: TensorInputs, generator: torch.Generator) -> TensorInputs:
        varied = function(dict(inputs), generator)
        if not isinstance(varied, Mapping) or _kinds(varied) != _kinds(inputs):
            raise function.wrong("must return the inputs: tensors by the same names, of the same shapes and types")
        return dict(varied)

    return apply


def _kinds(inputs: Mapping[str, Any]) -> dict[str, object]:
    return {n: (t.shape, t.dtype, t.device) if isinstance(t, Tensor) else None for n, t in inputs.items()}
