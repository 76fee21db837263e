"""The numbers that steps of training multiply: single precision, or bfloat16 where the processor is made for it.

Weights, what the optimiser remembers, losses and scores are in single precision either way (mixed precision,
Micikevicius et al. 2018, with a format that needs no scaling of the loss).
"""

from __future__ import annotations

import torch

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")  # x86 twice, ARM


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 instructions; without them bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and any(_capabilities().get(name) for name in _INSTRUCTIONS)


def _capabilities() -> dict[str, object]:
    """Return torch's description of the processor; empty where there is none."""
    tell = getattr(torch.cpu, "get_capabilities", dict)
    return dict(tell())
