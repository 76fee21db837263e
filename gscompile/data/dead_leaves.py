"""Pictures made of nothing: leaves of all sizes that fall on each other.

The dead leaves model (Lee, Mumford and Huang 2001): discs whose radius r is as frequent as r^-3 cover each other, so
that there are edges, shades and even areas at every scale, as in pictures of the world. White noise has none of these,
and what a network of filters makes of it says less of what it makes of pictures.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float64]

COVERS = 4.0  # leaves on each pixel, on average: 1 pixel of 55 shows what lies under all of them
MAX_LEAVES = 400  # leaves of a picture
SLIM = 0.4, 1.0  # width of a leaf relative to its length
EDGE_OVERHANG = 0.1  # how far beyond the edges leaves fall, relative to the picture
SMALLEST, LARGEST = 1 / 56, 1 / 2  # radius of a leaf, relative to the picture's shorter side
COLOURED = 0.35  # how far a colour is from grey, relative to how far greys are from each other


def dead_leaves(shape: tuple[int, int, int], rng: np.random.Generator) -> Picture:
    """One picture [channels, height, width] of mean 0 and deviation 1."""
    channels, height, width = shape
    picture = np.zeros(shape) + _colour(channels, rng)
    short = min(height, width)
    low = max(2.0, SMALLEST * short)  # pixels
    high = max(2 * low, LARGEST * short)
    for radius in rng.uniform(high**-2, low**-2, leaves_of(height, width, low, high)) ** -0.5:
        _drop(picture, float(radius), rng)
    picture -= picture.mean()
    return picture / (picture.std() or 1.0)


def leaves_of(height: int, width: int, low: float, high: float) -> int:
    """Return how many leaves with radii of `low` to `high` pixels cover a picture COVERS times, at most MAX_LEAVES.

    The mean of r^2 under the density r^-3 is 2 ln(high / low) / (low^-2 - high^-2).

    >>> leaves_of(8, 8, 2, 4)
    23
    """
    mean_square = 2 * math.log(high / low) / (low**-2 - high**-2)
    leaf = math.pi * mean_square * sum(SLIM) / 2  # pixels
    return min(MAX_LEAVES, math.ceil(COVERS * height * width * (1 + 2 * EDGE_OVERHANG) ** 2 / leaf))


def _colour(channels: int, rng: np.random.Generator) -> Picture:
    return rng.normal() + COLOURED * rng.normal(size=(channels, 1, 1))


def _drop(picture: Picture, radius: float, rng: np.random.Generator) -> None:
    """A leaf of one colour, shaded along its length and grained, somewhere on the picture or across its edge."""
    channels, height, width = picture.shape
    x, y = (
        float(place) * size
        for place, size in zip(rng.uniform(-EDGE_OVERHANG, 1 + EDGE_OVERHANG, 2), (width, height), strict=True)
    )
    turn, slim = rng.uniform(0, math.pi), rng.uniform(*SLIM)
    colour, shade, grain = _colour(channels, rng), 0.5 * rng.normal(), 0.2 * abs(rng.normal())
    rows, cols = (_span(middle, radius, size) for middle, size in ((y, height), (x, width)))
    down, right = np.arange(rows.start, rows.stop)[:, None] - y, np.arange(cols.start, cols.stop) - x
    cosine, sine = math.cos(turn), math.sin(turn)
    along = (right * cosine + down * sine) / radius
    across = (down * cosine - right * sine) / (slim * radius)
    inside = along**2 + across**2 < 1
    leaf = colour + shade * along + grain * rng.normal(size=inside.shape)
    np.copyto(picture[:, rows, cols], leaf, where=inside)


def _span(middle: float, radius: float, size: int) -> slice:
    """The pixels that a leaf may touch."""
    first, end = math.floor(middle - radius), math.ceil(middle + radius) + 1
    return slice(min(max(first, 0), size), min(max(end, 0), size))
