"""Floorplans in the report: the pictures of a placement, in the page itself, and what their colours mean."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path

from gscompile.floorplan import Floorplan
from gscompile.floorplan_picture import colours, hexadecimal, scale_of
from gscompile.report import length, printable

SHOWN = 40  # layers in the legend


def floorplans(folder: Path, plans: Mapping[str, Floorplan]) -> str:
    """Floorplan and congestion map of every plan, before beside after and at one scale."""
    if not plans:
        return ""
    largest = max(round(plan.width * scale_of(plans.values())) for plan in plans.values())
    pictures = "".join(
        _picture(folder / f"{kind}_{name}.png", plan, f"{words}, {name}", largest)
        for kind, words in (("floorplan", "floorplan"), ("congestion", "congestion, full channels red"))
        for name, plan in plans.items()
    )
    return f'{_legend(plans)}<div class="plans">{pictures}</div>'


def _picture(path: Path, plan: Floorplan, words: str, largest: int) -> str:
    data, width = b64encode(path.read_bytes()).decode("ascii"), int.from_bytes(path.read_bytes()[16:20], "big")
    caption = f"{words}: {length(plan.width / 1000)} &times; {length(plan.height / 1000)}"
    image = f'<img alt="{words}" style="width:{100 * width / largest:.1f}%" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _legend(plans: Mapping[str, Floorplan]) -> str:
    legend = colours(*plans.values())
    shown = [(hexadecimal(colour), escape(printable(layer))) for layer, colour in legend.items()][:SHOWN]
    spans = "".join(f'<span style="--swatch:{colour}">{layer}</span>' for colour, layer in shown)
    more = f"<span>{len(legend) - SHOWN:,} more layers</span>" if len(legend) > SHOWN else ""
    return f'<p class="legend">{spans}<span style="--swatch:#969696">digital blocks</span>{more}</p>'
