"""What training minimises: random draws are the same on every device, and fall as often as they should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gscompile.training.augment import crop, flip
from gscompile.training.objective import Objective, drawn

BOTH = Objective(("classes",), frozenset(), {"values": 2.0}, None)


class EachGeneratorOnItsDevice(TorchDispatchMode):
    """Refuses what a GPU does: to draw numbers there by a generator of the CPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        generator = kwargs.get("generator")
        if generator is not None and result.device != generator.device:
            raise RuntimeError(f"Expected a '{result.device}' device type for generator but found '{generator.device}'")
        return result


def on(device: str) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(6, 3, device=device, requires_grad=True) for name in ("classes", "values")}


def test_a_probe_is_drawn_for_outputs_on_any_device() -> None:
    with EachGeneratorOnItsDevice():
        for device in ("cpu", "meta"):
            outputs = on(device)
            probe = BOTH.probe(outputs, torch.Generator().manual_seed(0))
            torch.autograd.backward(probe)
            assert {t.grad.device.type for t in outputs.values() if t.grad is not None} == {device}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_probabilities_that_are_zero_in_their_type_have_finite_gradients(dtype: torch.dtype) -> None:
    """In half precision e^-20 is zero; a class that has no chance draws no gradient of infinity."""
    objective = Objective(("classes",), frozenset({"classes"}), {}, None)
    scores = torch.tensor([[0.0, -8.0, -12.0, -20.0]] * 64, dtype=dtype, requires_grad=True)
    teacher = {"classes": torch.softmax(scores.detach(), -1)}
    for seed in range(8):
        outputs = {"classes": torch.softmax(scores, -1)}
        found = objective.probe(outputs, torch.Generator().manual_seed(seed)) + objective.loss(outputs, teacher, None)
        (gradient,) = torch.autograd.grad(found, scores)
        assert gradient.dtype == dtype
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("step", [crop, flip])
def test_images_are_varied_on_any_device(step: Any) -> None:
    with EachGeneratorOnItsDevice():
        images = torch.zeros(5, 1, 12, 12, device="meta")
        assert step(images, torch.Generator().manual_seed(0)).device == images.device


def test_classes_are_drawn_as_often_as_their_probability_says() -> None:
    chance = torch.tensor([0.5, 0.0, 0.3, 0.2]).repeat(20_000, 1)
    found = drawn(chance, torch.Generator().manual_seed(0))
    shares = found.bincount(minlength=4) / len(found)
    assert shares[1] == 0
    assert torch.allclose(shares, chance[0], atol=0.01)


def test_a_class_without_a_chance_is_never_drawn_though_rounding_leaves_a_gap() -> None:
    chance = torch.full((1000, 7), 1 / 7)
    chance[:, 0] = 0.0
    found = drawn(chance, torch.Generator().manual_seed(0))
    assert set(found.tolist()) == {1, 2, 3, 4, 5, 6}
