"""The numbers that steps of training multiply: single precision, or bfloat16 where the processor is made for it.

Weights, what the optimiser remembers, losses and scores are in single precision either way (mixed precision,
Micikevicius et al. 2018, with a format that needs no scaling of the loss).
"""

from __future__ import annotations

import torch

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")  # x86 twice, ARM


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it: without, it is slower than single precision."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and any(_capabilities().get(name) for name in _INSTRUCTIONS)


def _capabilities() -> dict[str, object]:
    """What torch knows of the processor; nothing where it does not tell."""
    tell = getattr(torch.cpu, "get_capabilities", dict)
    return dict(tell())
