"""Compare every emitted netlist of a folder with its netlist.json."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
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

_SUFFIXES = (".v", ".yosys.json", ".sp", ".lef", ".def", ".dot")


@dataclass(frozen=True, eq=False)
class Emitted:
    """The emitted netlists of an output folder.

    Resistances of SPICE are compared with those of `target`; without a target they are only counted.
    """

    folder: Path
    netlist: Netlist
    weights: Mapping[str, NDArray[Any]]
    target: Target | None = None

    @cached_property
    def _source(self) -> Source:
        return Source(self.folder, Hierarchy(self.netlist), self.weights, self.target)

    @cached_property
    def files(self) -> Mapping[str, list[str]]:
        """Return the names of the files that each format has, or would have, in the folder."""
        return {name: import_module(module).files(self._source.hierarchy) for name, module in READERS.items()}

    @property
    def is_none(self) -> bool:
        """Return whether no file of the folder has an extension of a format, so that names need not be computed."""
        return not any(name.endswith(_SUFFIXES) for name in os.listdir(self.folder))

    def check(self) -> Iterator[str]:
        """Yield a line for each format that has a file in the folder, compared with the netlist.

        Raises VerificationError for a file that is missing beside others of its format, and for the first fact that
        differs.
        """
        for name, files in {} if self.is_none else self.files.items():
            missing = [file for file in files if not os.path.isfile(self.folder / file)]
            if len(missing) == len(files):
                continue
            if missing:
                there = next(file for file in files if file not in missing)
                raise VerificationError(f"{self.folder / missing[0]}: missing; {there} is there")
            count = import_module(READERS[name]).check(self._source)
            yield f"{', '.join(files[:2])}{' ...' if len(files) > 2 else ''}: {count:,} facts as in netlist.json"
