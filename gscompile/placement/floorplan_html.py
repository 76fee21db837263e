"""Floorplans in the report: the pictures of a placement, in the page itself, and what their colours mean."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from gscompile.hardware.floorplan import Floorplan
from gscompile.placement.floorplan_picture import GREY, colours, heat_legend, hexadecimal, scale_of
from gscompile.reporting.report import length, micro
from gscompile.reporting.templates import render

MAX_LEGEND = 40  # layers in the legend


@dataclass(frozen=True)
class PlanPicture:
    """A PNG in base64, its size on the die, and its share of the page's width in percent."""

    words: str
    data: str
    width: str
    height: str
    share: float


def floorplans(folder: Path, plans: Mapping[str, Floorplan]) -> Markup:
    """Return the floorplan and congestion map of every plan, whose PNG files are in the folder; empty without plans."""
    if not plans:
        return Markup()
    largest = max(round(plan.width * scale_of(plans.values())) for plan in plans.values())
    legend = colours(*plans.values())
    shown = [(layer, hexadecimal(colour)) for layer, colour in [*legend.items()][:MAX_LEGEND]]
    return render(
        "gscompile.placement",
        "floorplans.html.j2",
        layers=[*shown, ("digital blocks", hexadecimal(GREY))],
        more=len(legend) - MAX_LEGEND,
        arrays=_pictures(folder, "floorplan", "arrays by layer", plans, largest),
        heat=[(words, hexadecimal(colour)) for words, colour in heat_legend().items()],
        channels=_pictures(folder, "congestion", "how full the channels are", plans, largest),
    )


def _pictures(folder: Path, kind: str, words: str, plans: Mapping[str, Floorplan], largest: int) -> list[PlanPicture]:
    return [_picture(folder / f"{kind}_{name}.png", plan, f"{words}, {name}", largest) for name, plan in plans.items()]


def _picture(path: Path, plan: Floorplan, words: str, largest: int) -> PlanPicture:
    png = path.read_bytes()
    pixels = int.from_bytes(png[16:20], "big")  # the width, in the header of a PNG
    width, height = (micro(length(side / 1000)) for side in (plan.width, plan.height))  # plans are in nm
    return PlanPicture(words, b64encode(png).decode("ascii"), width, height, 100 * pixels / largest)
