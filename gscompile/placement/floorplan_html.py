"""Floorplans in the report: the pictures of a placement, in the page itself, and what their colours mean."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path

from gscompile.hardware.floorplan import Floorplan
from gscompile.placement.floorplan_picture import GREY, Colour, colours, heat_legend, hexadecimal, scale_of
from gscompile.printable import escape, printable
from gscompile.reporting.report import length, micro

MAX_LEGEND = 40  # layers in the legend


def floorplans(folder: Path, plans: Mapping[str, Floorplan]) -> str:
    """Floorplan and congestion map of every plan, before beside after and at one scale."""
    if not plans:
        return ""
    largest = max(round(plan.width * scale_of(plans.values())) for plan in plans.values())
    built = _legend(plans) + _pictures(folder, "floorplan", "arrays by layer", plans, largest)
    channels = _pictures(folder, "congestion", "how full the channels are", plans, largest)
    return built + _swatches(heat_legend().items()) + channels


def _pictures(folder: Path, kind: str, words: str, plans: Mapping[str, Floorplan], largest: int) -> str:
    files = ((folder / f"{kind}_{name}.png", plan, f"{words}, {name}") for name, plan in plans.items())
    return f'<div class="plans">{"".join(_picture(*file, largest) for file in files)}</div>'


def _picture(path: Path, plan: Floorplan, words: str, largest: int) -> str:
    data, width = b64encode(path.read_bytes()).decode("ascii"), int.from_bytes(path.read_bytes()[16:20], "big")
    caption = f"{words}: {micro(length(plan.width / 1000))} &times; {micro(length(plan.height / 1000))}"
    image = f'<img alt="{words}" style="width:{100 * width / largest:.1f}%" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _legend(plans: Mapping[str, Floorplan]) -> str:
    legend = colours(*plans.values())
    shown = {printable(layer): colour for layer, colour in [*legend.items()][:MAX_LEGEND]}
    more = f"<span>{len(legend) - MAX_LEGEND:,} more layers</span>" if len(legend) > MAX_LEGEND else ""
    return _swatches([*shown.items(), ("digital blocks", GREY)], more)


def _swatches(entries: Iterable[tuple[str, Colour]], more: str = "") -> str:
    spans = "".join(f'<span style="--swatch:{hexadecimal(c)}">{escape(word)}</span>' for word, c in entries)
    return f'<p class="legend">{spans}{more}</p>'
