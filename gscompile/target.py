"""What a netlist is emitted for: the design that is handed over, and the output formats that take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from gscompile.netlist import Netlist


@dataclass(frozen=True, eq=False)
class Design:
    """A netlist and the weights of its tiles, by tile name (read when asked for)."""

    netlist: Netlist
    weights: Mapping[str, NDArray[Any]]


class Format(Protocol):
    """An output format: a frozen dataclass whose fields are its options on the command line."""

    name: str

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write the design into `folder`; returns the files, in a stable order."""
