"""The product of a matrix on its tiles: partial sums of every tile's columns, added on the lines.

`Ideal` and device effects share one shape. All that writing, stuck devices and line resistance do is linear
and fixed once the array is written, so it is an effective weight; read noise and converters act at each read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.hardware.conductance import Pair, programmed, to_pair
from gscompile.hardware.target import Device, Target
from gscompile.simulation.nodal import transfer

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class TileMatrix:
    """One tile ready to multiply: effective weights [rows, cols], and the sigma^2 of one read of each of
    them."""

    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    weights: Array
    variance: Array | None = None


@dataclass(eq=False)
class MatrixOnTiles:
    """x [n, inputs] -> [n, outputs], tile by tile.

    `adc_bits` 0 is an ideal converter; otherwise every partial sum is rounded to 2^bits - 1 levels over the
    range of the first batch that was seen (a converter's range is set once, by calibration).
    """

    inputs: int
    outputs: int
    tiles: list[TileMatrix]
    adc_bits: int = 0
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    full_scale: float = 0.0
    uses: int = 0

    def __call__(self, x: NDArray[np.generic]) -> NDArray[np.generic]:
        self.uses += len(x)
        kind = np.float64 if x.dtype == np.float64 else np.float32
        y = np.zeros((len(x), self.outputs), kind)
        sums = [self._partial(tile, np.asarray(x[:, tile.inputs], kind)) for tile in self.tiles]
        for tile, partial in zip(self.tiles, self._converted(sums), strict=True):
            y[:, tile.outputs] += partial
        return np.asarray(y, x.dtype)

    def _partial(self, tile: TileMatrix, x: Array) -> Array:
        y: Array = x @ tile.weights.astype(x.dtype, copy=False)
        if tile.variance is not None:
            sigma = np.sqrt(np.square(x) @ tile.variance)
            y = y + sigma * self.rng.standard_normal(y.shape).astype(y.dtype)
        return y

    def _converted(self, sums: list[Array]) -> list[Array]:
        if not self.adc_bits or not sums:
            return sums
        self.full_scale = self.full_scale or max(float(np.abs(s).max(initial=0)) for s in sums)
        top = self.full_scale or 1.0
        steps = max(2 ** (self.adc_bits - 1) - 1, 1)  # either side of zero, which is a level
        return [(np.clip(np.round(s / top * steps), -steps, steps) * (top / steps)).astype(s.dtype) for s in sums]


@dataclass(frozen=True)
class Effects:
    """The device effects that are simulated beyond the ideal product.

    `device` None is exact weights; `segment_ohm` is the resistance of the line between two cells; `adc_bits` 0 is an
    ideal converter.
    """

    device: Device | None = None
    segment_ohm: float = 0.0
    adc_bits: int = 0

    @classmethod
    def of(cls, target: Target) -> Effects:
        """All that a target describes: line resistance = ohm per um x side of a cell."""
        segment = target.wire.resistance_ohm_per_um * target.pitch_um
        return cls(target.device, segment, target.periphery.adc_bits if target.periphery else 0)


def on_tiles(
    netlist: Netlist, weights: Mapping[str, NDArray[np.generic]], effects: Effects, seed: int = 0
) -> dict[str, MatrixOnTiles]:
    """Every matrix of the netlist on its tiles, by name; one chip, written with one seed."""
    rng = np.random.default_rng(seed)
    return {matrix.name: _matrix(matrix, weights, effects, rng) for matrix in netlist.matrices}


def _matrix(
    matrix: Matrix, weights: Mapping[str, NDArray[np.generic]], effects: Effects, rng: np.random.Generator
) -> MatrixOnTiles:
    arrays = [np.asarray(weights[tile.name]) for tile in matrix.tiles]
    largest = max((float(np.abs(array).max(initial=0)) for array in arrays), default=0.0)
    tiles = []
    for tile, array in zip(matrix.tiles, arrays, strict=True):
        effective, variance = _effective(array, largest, effects, rng)
        tiles.append(TileMatrix(tile.inputs, tile.outputs, effective, variance))
    return MatrixOnTiles(inputs=matrix.inputs, outputs=matrix.outputs, tiles=tiles, adc_bits=effects.adc_bits, rng=rng)


def _effective(
    array: NDArray[np.generic], largest: float, effects: Effects, rng: np.random.Generator
) -> tuple[Array, Array | None]:
    """Effective weights and read variance of a tile.

    Var of one read of a weight = (noise x scale)^2 (g_plus^2 + g_minus^2): two independent devices.
    """
    if effects.device is None and effects.segment_ohm == 0:
        return array.astype(array.dtype if array.dtype == np.float64 else np.float32), None
    device = effects.device
    assert device is not None
    pair = programmed(to_pair(array, largest, device), device, rng)
    pair = with_lines(pair, effects.segment_ohm)
    if device.read_noise_fraction == 0:
        return pair.weights.astype(np.float32), None
    sigma = device.read_noise_fraction * pair.weight_per_siemens
    variance = sigma**2 * (np.square(pair.plus) + np.square(pair.minus))
    return pair.weights.astype(np.float32), variance.astype(np.float32)


def with_lines(pair: Pair, segment_ohm: float) -> Pair:
    """The pair as it acts through resistive lines; plus and minus devices stand in arrays of their own."""
    if segment_ohm == 0:
        return pair
    plus, minus = transfer(pair.plus, segment_ohm), transfer(pair.minus, segment_ohm)
    return Pair(plus, minus, pair.weight_per_siemens)
