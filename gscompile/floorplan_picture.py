"""Floorplans as pictures, SVG and PNG: arrays coloured by layer, blocks grey, congestion as a map on top.

All pictures of a set are drawn at one scale, so that before and after can be compared by eye.
"""

from __future__ import annotations

import colorsys
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gscompile.congestion import Congestion
from gscompile.floorplan import Component, Floorplan

SIDE = 900  # pixels of the largest die
_GREY = (150, 150, 150)
Colour = tuple[int, int, int]
Legend = Mapping[str, Colour]


def scale_of(plans: Iterable[Floorplan]) -> float:
    """Pixels a nanometre, the same for all: the largest die is SIDE wide or high."""
    return SIDE / max((max(plan.width, plan.height) for plan in plans), default=SIDE)


def colours(*plans: Floorplan) -> Legend:
    """A colour a layer, in order of appearance, as far from each other as the golden angle takes them."""
    layers = dict.fromkeys(c.layer for plan in plans for c in plan.components if c.kind == "array")
    return {layer: _colour(number) for number, layer in enumerate(layers)}


def _colour(number: int) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(number * 0.381966 % 1, 0.55, 0.65)
    return round(255 * red), round(255 * green), round(255 * blue)


# -- SVG ---------------------------------------------------------------------------------------------------


def write_svg(
    plan: Floorplan,
    path: str | Path,
    scale: float,
    crowd: Congestion | None = None,
    legend: Legend | None = None,
) -> None:
    """Draw a floorplan; with `crowd`, its squares are shaded red by how full they are. `legend` is the colour
    of each layer, for a set of pictures the same."""
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_svg(plan, scale, crowd, legend or colours(plan)))


def _svg(plan: Floorplan, scale: float, crowd: Congestion | None, legend: Legend) -> Iterator[str]:
    width, height = plan.width * scale, plan.height * scale
    tall = max(height, 16 * len(legend)) + 30
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 220:.0f}" height="{tall:.0f}">\n'
    yield "<style>text{font:12px sans-serif}rect{stroke:#222;stroke-width:.3}</style>\n"
    yield f'<rect width="{width:.2f}" height="{height:.2f}" fill="#f4f4f0"/>\n'
    for component in plan.components:
        yield _box(component, plan, scale, hexadecimal(_fill(component, legend)))
    if crowd is not None:
        yield from _crowd(crowd, plan, scale)
    for line, (layer, colour) in enumerate(legend.items()):
        yield f'<rect x="{width + 10:.1f}" y="{16 * line}" width="12" height="12" fill="{hexadecimal(colour)}"/>'
        yield f'<text x="{width + 28:.1f}" y="{16 * line + 11}">{escape(layer)}</text>\n'
    size = f"{plan.width / 1000:.1f} x {plan.height / 1000:.1f} um"
    yield f'<text y="{height + 18:.1f}">{size}</text>\n</svg>\n'


def _box(c: Component, plan: Floorplan, scale: float, fill: str) -> str:
    x, y = c.x * scale, (plan.height - c.y - c.height) * scale
    size = f'width="{c.width * scale:.2f}" height="{c.height * scale:.2f}"'
    return f'<rect x="{x:.2f}" y="{y:.2f}" {size} fill="{fill}"><title>{escape(c.name)}</title></rect>\n'


def _crowd(crowd: Congestion, plan: Floorplan, scale: float) -> Iterator[str]:
    side = crowd.square_nm * scale
    for (row, col), fullness in np.ndenumerate(crowd.map):
        y = plan.height * scale - (row + 1) * side
        opacity = min(fullness, 1) * 0.85
        place = f'x="{col * side:.2f}" y="{y:.2f}" width="{side:.2f}" height="{side:.2f}"'
        yield f'<rect {place} fill="#c00" fill-opacity="{opacity:.3f}" stroke="none"/>\n'


def _fill(component: Component, legend: Legend) -> Colour:
    return legend.get(component.layer, _GREY) if component.kind == "array" else _GREY


def hexadecimal(colour: Colour) -> str:
    """As SVG and CSS write a colour."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


# -- PNG ---------------------------------------------------------------------------------------------------


def write_png(
    plan: Floorplan,
    path: str | Path,
    scale: float,
    crowd: Congestion | None = None,
    legend: Legend | None = None,
) -> None:
    """The same picture in pixels, without words."""
    height, width = max(round(plan.height * scale), 1), max(round(plan.width * scale), 1)
    image = np.full((height, width, 3), 244, np.uint8)
    legend = legend or colours(plan)
    for c in plan.components:
        x0, x1 = round(c.x * scale), max(round((c.x + c.width) * scale), round(c.x * scale) + 1)
        y0, y1 = round((plan.height - c.y - c.height) * scale), round((plan.height - c.y) * scale)
        image[y0:y1, x0:x1] = (40, 40, 40)
        inner = image[y0 + 1 : y1, x0 + 1 : x1]
        inner[:] = _fill(c, legend)
    if crowd is not None:
        image = _shaded(image, crowd, plan, scale)
    Path(path).write_bytes(_png(image))


def _shaded(image: NDArray[np.uint8], crowd: Congestion, plan: Floorplan, scale: float) -> NDArray[np.uint8]:
    side, fullness = crowd.square_nm * scale, crowd.map
    height, width = image.shape[:2]
    rows = np.clip((plan.height * scale - np.arange(height) - 0.5) / side, 0, fullness.shape[0] - 1).astype(
        int
    )
    cols = np.clip((np.arange(width) + 0.5) / side, 0, fullness.shape[1] - 1).astype(int)
    opacity = np.minimum(fullness[np.ix_(rows, cols)], 1)[..., None] * 0.85
    return np.asarray(image * (1 - opacity) + np.array([204, 0, 0]) * opacity, np.uint8)


def _png(image: NDArray[np.uint8]) -> bytes:
    """An 8-bit RGB PNG of `image` [height, width, 3] (PNG specification, section 11)."""
    height, width = image.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
