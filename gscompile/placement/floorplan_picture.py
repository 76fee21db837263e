"""Floorplans as pictures, SVG and PNG: arrays coloured by layer and blocks grey, or the fullness of the channels.

All pictures of a set have one scale, so that before and after can be compared by eye. The die is a transparent grey and
its surroundings are transparent: the pictures fit white paper and a dark page.

All pictures of a set are drawn at one scale, so that before and after can be compared by eye. The die is a veil of
grey and what is outside it transparent: they stand on white paper and on a dark page.
"""

from __future__ import annotations

import colorsys
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gscompile.hardware.floorplan import Component, Floorplan
from gscompile.placement.congestion import Congestion
from gscompile.printable import escape

SIDE = 900  # pixels of the largest die
_MARGIN, _WORDS, _CAPTION = 12, 220, 34  # pixels around a picture, for the legend beside it, for its size below
Colour = tuple[int, int, int]
Legend = Mapping[str, Colour]
Image = NDArray[np.uint8]  # [height, width, 4]: red, green, blue, opacity
# The first layers have colours that every kind of colour vision tells apart (Paul Tol's bright ones).
_FIRST = ((68, 119, 170), (238, 102, 119), (34, 136, 51), (204, 187, 68), (102, 204, 238), (170, 51, 119))
GREY: Colour = (160, 160, 160)
_PALE: Colour = (200, 200, 200)  # everything built, under a map of the channels
_DIE = (128, 128, 128, 30)  # red, green, blue, opacity of 255
_HEAT_COLOURS = ((255, 247, 188), (254, 217, 118), (253, 141, 60), (227, 26, 28), (128, 0, 38))  # empty to full
_HEAT_OPACITY = 0.85
LEGEND_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def scale_of(plans: Iterable[Floorplan]) -> float:
    """Return the pixels per nanometre for all pictures of a set: the largest die is SIDE pixels wide or high."""
    return SIDE / max((max(plan.width, plan.height) for plan in plans), default=SIDE)


def colours(*plans: Floorplan) -> Legend:
    """Return a colour for each layer, in order of appearance."""
    layers = dict.fromkeys(c.layer for plan in plans for c in plan.components if c.kind == "array")
    return {layer: _colour(number) for number, layer in enumerate(layers)}


def _colour(number: int) -> Colour:
    """Return colour `number`: a given one at first, then hues that differ by the golden angle."""
    if number < len(_FIRST):
        return _FIRST[number]
    red, green, blue = colorsys.hls_to_rgb(number * 0.381966 % 1, 0.55, 0.4)
    return round(255 * red), round(255 * green), round(255 * blue)


def heat(fullness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return red, green, blue [..., 3] of channels by their fullness: pale when empty, dark red from 1 on."""
    channels = [np.interp(fullness, LEGEND_STEPS, [colour[k] for colour in _HEAT_COLOURS]) for k in range(3)]
    return np.stack(channels, axis=-1)


def heat_legend() -> Legend:
    """Return the legend of the channel colours."""
    found = heat(np.array(LEGEND_STEPS)).round().astype(int).tolist()
    shares = {
        f"{100 * step:.0f} % of the tracks": (r, g, b) for step, (r, g, b) in zip(LEGEND_STEPS, found, strict=True)
    }
    return shares | {"no wire across": _PALE}


# -- SVG ---------------------------------------------------------------------------------------------------


def write_svg(
    plan: Floorplan,
    path: str | Path,
    scale: float,
    crowd: Congestion | None = None,
    legend: Legend | None = None,
) -> None:
    """Draw a floorplan, or with `crowd` the fullness of its channels.

    `legend` has the colour of each layer, for all pictures of a set.
    """
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_svg(plan, scale, crowd, legend or colours(plan)))


def _svg(plan: Floorplan, scale: float, crowd: Congestion | None, legend: Legend) -> Iterator[str]:
    width, height = plan.width * scale, plan.height * scale
    shown = heat_legend() if crowd else {**legend, "digital blocks": GREY}
    wide = width + _WORDS + 2 * _MARGIN
    tall = max(height, 20 * len(shown)) + _CAPTION + 2 * _MARGIN
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{tall:.0f}" '
    yield f'viewBox="{-_MARGIN} {-_MARGIN} {wide:.0f} {tall:.0f}">\n'
    yield _FLOORPLAN_STYLE
    yield f'<rect width="{width:.2f}" height="{height:.2f}" class="die"/>\n'
    for component in plan.components:
        yield _box(component, plan, scale, hexadecimal(_fill(component, None if crowd else legend)))
    if crowd is not None:
        yield from _crowd(crowd, plan, scale)
    for line, (word, colour) in enumerate(shown.items()):
        fill = hexadecimal(colour)
        yield f'<rect x="{width + 16:.1f}" y="{20 * line}" width="12" height="12" rx="2" fill="{fill}"/>'
        yield f'<text x="{width + 36:.1f}" y="{20 * line + 11}">{escape(word)}</text>\n'
    size = f"{plan.width / 1000:.1f} x {plan.height / 1000:.1f} µm"
    yield f'<text y="{height + 22:.1f}">{size}</text>\n</svg>\n'


_FLOORPLAN_STYLE = """<style>text{font:13px Inter,system-ui,Helvetica,Arial,sans-serif;fill:#62666d}
.die{fill:#808080;fill-opacity:.12}
@media(prefers-color-scheme:dark){text{fill:#9da1a8}}</style>
"""


def _box(c: Component, plan: Floorplan, scale: float, fill: str) -> str:
    """Return the rectangle of a component, which leaves a seam to its neighbours."""
    x, y = c.x * scale, (plan.height - c.y - c.height) * scale
    width, height = (max(side * scale - 0.7, 0.3) for side in (c.width, c.height))
    size = f'width="{width:.2f}" height="{height:.2f}"'
    return f'<rect x="{x:.2f}" y="{y:.2f}" {size} fill="{fill}"><title>{escape(c.name)}</title></rect>\n'


def _crowd(crowd: Congestion, plan: Floorplan, scale: float) -> Iterator[str]:
    """Yield the squares that a wire runs through; the last squares end with the die."""
    side, colour = crowd.square_nm, heat(crowd.map)
    for row, col in np.argwhere(crowd.map > 0).tolist():
        x0, x1 = (min(n * side, plan.width) * scale for n in (col, col + 1))
        y0, y1 = ((plan.height - min(n * side, plan.height)) * scale for n in (row + 1, row))
        place = f'x="{x0:.2f}" y="{y0:.2f}" width="{x1 - x0:.2f}" height="{y1 - y0:.2f}"'
        r, g, b = colour[row, col].round().astype(int).tolist()
        yield f'<rect {place} fill="{hexadecimal((r, g, b))}" fill-opacity="{_HEAT_OPACITY}"/>\n'


def _fill(component: Component, legend: Legend | None) -> Colour:
    """Return the colour of a component; without a legend all components are pale."""
    if legend is None:
        return _PALE
    return legend.get(component.layer, GREY) if component.kind == "array" else GREY


def hexadecimal(colour: Colour) -> str:
    """Return a colour in the notation of SVG and CSS."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


# -- PNG ---------------------------------------------------------------------------------------------------


def write_png(
    plan: Floorplan,
    path: str | Path,
    scale: float,
    crowd: Congestion | None = None,
    legend: Legend | None = None,
) -> None:
    """Write the picture in pixels, without text."""
    height, width = max(round(plan.height * scale), 1), max(round(plan.width * scale), 1)
    image: Image = np.full((height, width, 4), _DIE, np.uint8)
    legend = None if crowd else legend or colours(plan)
    for c in plan.components:
        x0, x1 = _pixels(c.x * scale, (c.x + c.width) * scale)
        y0, y1 = _pixels((plan.height - c.y - c.height) * scale, (plan.height - c.y) * scale)
        image[y0:y1, x0:x1] = (*_fill(c, legend), 255)
    if crowd is not None:
        image = _shaded(image, crowd, plan, scale)
    Path(path).write_bytes(_png(image))


def _pixels(start: float, stop: float) -> tuple[int, int]:
    """Return the first pixel of a side and the end of its range, which leaves a seam free where there is room."""
    first, last = round(start), round(stop)
    return first, max(last - 1, first + 1)


def _shaded(image: Image, crowd: Congestion, plan: Floorplan, scale: float) -> Image:
    """Return the map of the channels composed over the components (Porter and Duff 1984, operator "over")."""
    side, fullness = crowd.square_nm * scale, crowd.map
    height, width = image.shape[:2]
    rows = np.clip((plan.height * scale - np.arange(height) - 0.5) / side, 0, fullness.shape[0] - 1).astype(int)
    cols = np.clip((np.arange(width) + 0.5) / side, 0, fullness.shape[1] - 1).astype(int)
    top = (_HEAT_OPACITY * (fullness > 0))[np.ix_(rows, cols)][..., None]
    under = image[..., 3:] / 255 * (1 - top)
    mixed = heat(fullness)[np.ix_(rows, cols)] * top + image[..., :3] * under
    opacity = top + under
    return np.concatenate([mixed / opacity, 255 * opacity], axis=2).round().astype(np.uint8)


def _png(image: Image) -> bytes:
    """Return an 8-bit RGBA PNG of `image` [height, width, 4] (PNG specification, section 11)."""
    height, width = image.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
