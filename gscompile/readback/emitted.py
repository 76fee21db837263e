"""Compare every emitted netlist of a folder with its netlist.json."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gscompile.crossbars.netlist import Netlist
from gscompile.errors import VerificationError
from gscompile.hardware.target import Target
from gscompile.readback import READERS
from gscompile.readback.facts import Source
from gscompile.targets.modules import Hierarchy


def emitted_files(netlist: Netlist, formats: Iterable[str]) -> dict[str, list[str]]:
    """Names of the files that each of the formats has in an output folder."""
    wanted = [*formats]
    hierarchy = Hierarchy(netlist) if wanted else None
    return {name: import_module(READERS[name]).files(hierarchy) for name in wanted}


def check_emitted(
    folder: Path, netlist: Netlist, weights: Mapping[str, NDArray[Any]], target: Target | None = None
) -> Iterator[str]:
    """Yield a line for each format that has a file in the folder, compared with the netlist.

    `target` is what resistances are worked out on; without it they are only counted. Raises VerificationError for a
    file that is missing beside others of its format, and for the first fact that differs.
    """
    source = None
    for name, files in emitted_files(netlist, READERS).items():
        there = [file for file in files if os.path.isfile(folder / file)]
        if not there:
            continue
        missing = next((file for file in files if file not in set(there)), None)
        if missing is not None:
            raise VerificationError(f"{folder / missing}: missing; {there[0]} is there")
        source = source or Source(folder, Hierarchy(netlist), weights, target)
        count = import_module(READERS[name]).check(source)
        yield f"{', '.join(files[:2])}{' ...' if len(files) > 2 else ''}: {count:,} facts as in netlist.json"
