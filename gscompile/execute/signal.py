"""Fourier transforms. A complex number is a last dimension of 2, a real one of 1."""

from __future__ import annotations

import torch
from torch import Tensor

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import number


def _as_complex(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.contiguous()) if x.shape[-1] == 2 else x.squeeze(-1)


@op("DFT", since=17)
def dft_axis_attribute(node: NodeInfo, x: Tensor, length: Tensor | None = None) -> Tensor:
    """Return the Fourier transform with `axis` as an attribute (until opset 19)."""
    return _dft(node, x, length, node.get("axis", 1))


@op("DFT", since=20)
def dft(node: NodeInfo, x: Tensor, length: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    """Return the discrete Fourier transform along an axis, forward or inverse, all of it or half."""
    return _dft(node, x, length, -2 if axis is None else int(number(axis)))


def _dft(node: NodeInfo, x: Tensor, length: Tensor | None, axis: int) -> Tensor:
    dim = axis % x.ndim
    half = bool(node.get("onesided", 0))
    signal = _as_complex(x)
    n = None if length is None else int(number(length))
    if not node.get("inverse", 0):
        y = torch.fft.fft(signal, n, dim)
        return torch.view_as_real(y.narrow(dim, 0, y.shape[dim] // 2 + 1) if half else y)
    if half:
        real: Tensor = torch.fft.irfft(signal, n, dim)
        return real[..., None]
    return torch.view_as_real(torch.fft.ifft(signal, n, dim))


@op("STFT", since=17)
def stft(node: NodeInfo, x: Tensor, step: Tensor, window: Tensor | None = None, length: Tensor | None = None) -> Tensor:
    """Compute x [batch, samples, 1 or 2] -> [batch, frames, bins, 2], a window of `length` every `step` samples."""
    size = int(number(length)) if length is not None else window.shape[0] if window is not None else x.shape[1]
    frames = _as_complex(x).unfold(1, size, int(number(step)))
    y = torch.fft.fft(frames if window is None else frames * window)
    return torch.view_as_real(y[..., : size // 2 + 1] if node.get("onesided", 1) else y)
