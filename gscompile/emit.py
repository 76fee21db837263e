"""Write an output folder's netlist in the formats that hardware tools read (`--emit`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.tile_file import TileFile
from gscompile.errors import OutputError
from gscompile.hardware.target import Design, Format, Target
from gscompile.placement.place import PlaceOptions, place


def emit_folder(
    out: str | Path,
    formats: Sequence[Format],
    target: Target,
    options: PlaceOptions | None = None,
) -> list[Path]:
    """Write the netlist of `out` into `out` in every format; components are placed if a format needs that.

    Raises VerificationError for an incomplete folder, OutputError if a file cannot be written.
    """
    out = Path(out)
    netlist, weights = read_netlist(out / "netlist.json"), TileFile(out / "tiles.npz")
    try:
        return emit_design(Design(netlist, weights, target), formats, out, options)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror})") from error


def emit_design(
    design: Design, formats: Sequence[Format], folder: Path, options: PlaceOptions | None = None
) -> list[Path]:
    """Write a design into `folder` in every format; it is placed first if a format needs a placement."""
    if design.floorplan is None and any(form.name == "lefdef" for form in formats):
        design = replace(design, floorplan=place(design.netlist, design.target, options))
    return [path for form in formats for path in form.emit(design, folder)]
