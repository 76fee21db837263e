"""The price of a cell, a wire and a tile under the objective of the user (`--minimize`)."""

from __future__ import annotations

from dataclasses import dataclass

from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import Footprint
from gscompile.hardware.components import array_periphery_um2
from gscompile.hardware.cost import array_area_um2, interconnect_um2
from gscompile.hardware.target import Target

BESIDE = 0.1  # weight of what was not asked for, so that a rank that saves little takes no tile and many wires for it
COUNTED_FOR = {"cells": ("cells",), "wires": ("wires",), "tiles": ("tiles",), "area": ("cells", "wires")}


@dataclass(frozen=True)
class Pricing:
    """Prices for `cells`, `wires`, `tiles` or `area`, given what is left.

    Prices are relative: the worth of all there is adds up to about 1. `area` without a target weighs cells and
    wires alike; with one, all are areas on it.
    """

    minimize: str = "area"
    target: Target | None = None

    def __call__(self, now: Footprint) -> Price:
        if self.minimize == "area" and self.target is not None:
            return _area(now, self.target)
        cells, wires, tiles = {
            "cells": (1.0, BESIDE, BESIDE),
            "wires": (BESIDE, 1.0, BESIDE),
            "tiles": (BESIDE, BESIDE, 1.0),
            "area": (0.5, 0.5, 0.0),
        }[self.minimize]
        return Price(cells / max(now.cells, 1), wires / max(now.wires, 1), tiles / max(now.tiles, 1))

    def named(self, taken: Footprint) -> tuple[int, ...]:
        """Return the figures that must not grow: the one that is minimised; cells and wires for `area`."""
        return tuple(getattr(taken, name) for name in COUNTED_FOR[self.minimize])

    def grew(self, before: Footprint, after: Footprint) -> bool:
        """Return True if a figure that must not grow did, or what all is worth together."""
        if any(b > a for a, b in zip(self.named(before), self.named(after), strict=True)):
            return True
        return self(before).saved(before, after) < 0


def _area(now: Footprint, target: Target) -> Price:
    """um2 of a cell; of a wire, with its converters' share and half a die of track; the tile has no more of its own.

    The length of a wire is a placement's business; half the side of all arrays together is its order of magnitude.
    """
    cell = array_area_um2(1, 1, target)
    rows, cols = target.crossbar.rows, target.crossbar.cols
    pin = array_periphery_um2(rows, cols, target) / (rows + cols)
    track = interconnect_um2(0.5 * (now.cells * cell + now.wires * pin) ** 0.5, target)
    total = now.cells * cell + now.wires * (pin + track) or 1.0
    return Price(cell / total, (pin + track) / total, 0.0)
