"""A size as users give it: a number, or a share of what the original network takes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gscompile.errors import UsageError


@dataclass(frozen=True)
class Size:
    """A number, or a share of what the original network takes, in percent."""

    number: float
    is_share: bool

    def most(self, whole: int) -> int:
        """Return the largest number of cells, tiles or wires that is within it, `whole` being the original's."""
        return math.floor(self.number * whole / 100 + 1e-9) if self.is_share else int(self.number)


def parse_size(option: str, given: str | int) -> Size:
    """Return the size that is given as a number or as a percentage. Raises UsageError.

    >>> parse_size("max-cells", "40%"), parse_size("max-cells", 5000)
    (Size(number=40.0, is_share=True), Size(number=5000.0, is_share=False))
    """
    found = re.fullmatch(r"(\d+)|(\d+(?:\.\d*)?|\.\d+)\s*%", str(given).strip(), re.ASCII)
    if not found:
        raise UsageError(f"{option} {given!r}: expected a number or a percentage, as in 50000 or 40%")
    size = Size(float(found[1] or found[2]), found[2] is not None)
    if size.is_share and size.number > 100:
        raise UsageError(f"{option} {given!r}: must be at most 100%")
    return size
