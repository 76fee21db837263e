"""Write the files of an output folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gscompile.crossbars.mapping import tile_weights
from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import write_tiles
from gscompile.graph.network import Network
from gscompile.hardware.floorplan import Floorplan
from gscompile.judging.files_check import sha256
from gscompile.reporting.report import CompileReport


def write_model(network: Network, path: Path) -> None:
    """Write the compressed model, with external data beside it where one file is too small."""
    network.save(path)


def write_design(network: Network, netlist: Netlist, folder: Path) -> None:
    """Write `netlist.json` and `tiles.npz`."""
    write_netlist(netlist, folder / "netlist.json")
    write_tiles(tile_weights(network, netlist), folder / "tiles.npz")


def write_report(
    report: CompileReport, before: Netlist, after: Netlist, folder: Path, plans: Mapping[str, Floorplan] | None = None
) -> CompileReport:
    """Write `report.html`, then `report.json`, which lists the digest of the page too; return the written report.

    The pictures of the floorplans in `plans` must be in the folder.
    """
    from gscompile.placement.floorplan_html import floorplans
    from gscompile.reporting.report_html import html

    page = folder / "report.html"
    page.write_text(html(report, before, after, floorplans(folder, plans or {})), "utf-8")
    report = replace(report, files=dict(sorted({**report.files, page.name: sha256(page)}.items())))
    (folder / "report.json").write_text(json.dumps(report.to_json(), indent=1) + "\n", "utf-8")
    return report
