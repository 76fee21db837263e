"""The size of a crossbar, and the rules by which a matrix is cut; no numpy, so that the command line starts fast."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gscompile.errors import UsageError

Tiling = Literal["full", "equal"]


@dataclass(frozen=True)
class Crossbar:
    """The size of the largest array: `rows` word lines by `cols` bit lines.

    >>> Crossbar.parse("64x32")
    Crossbar(rows=64, cols=32)
    """

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise UsageError(f"crossbar size {self.rows}x{self.cols}: rows and columns must be at least 1")

    @classmethod
    def parse(cls, text: str) -> Crossbar:
        """Read `ROWSxCOLS`. Raises UsageError for anything else."""
        match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text.strip().lower(), re.ASCII)
        if match is None:
            raise UsageError(f"crossbar size {text!r}: write ROWSxCOLS, as in 64x64")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"
