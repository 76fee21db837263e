"""Weights as differential pairs of conductances, and back.

w = (g_plus - g_minus) x scale: a positive weight is programmed into the plus device, a negative one into the minus
device; the other device stays at the off conductance, as both do for a zero.

w = (g_plus - g_minus) x scale: a positive weight is programmed into the plus device, a negative one into the
minus device, the other one stays at the off conductance; a zero leaves both off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gscompile.hardware.target import Device

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Conductances in siemens, shaped as the weights, and the weight per siemens of difference."""

    plus: Array
    minus: Array
    weight_per_siemens: float

    @property
    def weights(self) -> Array:
        """Return the weights that the conductances stand for."""
        return (self.plus - self.minus) * self.weight_per_siemens


def weight_per_siemens(largest: float, device: Device) -> float:
    """Return the weight per siemens of difference when the `largest` weight takes the whole range of a device."""
    return (largest or 1.0) / (device.on_siemens - device.off_siemens)


def to_pair(weights: NDArray[np.generic], largest: float, device: Device) -> Pair:
    """Return ideal conductances of `weights`, of magnitude at most `largest`, rounded to the levels of the device.

    >>> device = Device(on_ohm=1.0, off_ohm=2.0, read_v=1.0, read_ns=1.0)
    >>> pair = to_pair(np.array([1.0, -0.5]), 1.0, device)
    >>> pair.plus.tolist(), pair.minus.tolist(), pair.weights.tolist()
    ([1.0, 0.5], [0.5, 0.75], [1.0, -0.5])
    """
    part = np.asarray(weights, np.float64) / (largest or 1.0)
    if device.levels > 1:
        part = np.round(part * (device.levels - 1)) / (device.levels - 1)
    span = device.on_siemens - device.off_siemens
    plus = device.off_siemens + span * np.clip(part, 0, None)
    minus = device.off_siemens + span * np.clip(-part, 0, None)
    return Pair(plus, minus, weight_per_siemens(largest, device))


def programmed(pair: Pair, device: Device, rng: np.random.Generator) -> Pair:
    """Return the conductances after programming: lognormal spread, then stuck devices.

    g -> g x exp(sigma x N(0, 1) - sigma^2 / 2), so that the mean stays (the usual model of RRAM variation).
    """
    written = [_stuck(_spread(g, device.spread_fraction, rng), device, rng) for g in (pair.plus, pair.minus)]
    return Pair(written[0], written[1], pair.weight_per_siemens)


def read(pair: Pair, device: Device, rng: np.random.Generator) -> Pair:
    """Return the conductances of one read: Gaussian noise on each, relative to its value."""
    sigma = device.read_noise_fraction
    if sigma == 0:
        return pair
    noisy = [g * (1 + sigma * rng.standard_normal(g.shape)) for g in (pair.plus, pair.minus)]
    return Pair(noisy[0], noisy[1], pair.weight_per_siemens)


def _spread(g: Array, sigma: float, rng: np.random.Generator) -> Array:
    return g if sigma == 0 else g * np.exp(sigma * rng.standard_normal(g.shape) - sigma * sigma / 2)


def _stuck(g: Array, device: Device, rng: np.random.Generator) -> Array:
    if device.stuck_on_fraction == device.stuck_off_fraction == 0:
        return g
    draw = rng.random(g.shape)
    on, off = device.stuck_on_fraction, device.stuck_on_fraction + device.stuck_off_fraction
    return np.where(draw < on, device.on_siemens, np.where(draw < off, device.off_siemens, g))
