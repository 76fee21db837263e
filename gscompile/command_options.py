"""Options of single commands, each declared once; those of a compile are in `gscompile.options`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from gscompile.declaration import option


class OptionGroup(StrEnum):
    """Headings under which options are listed, in this order."""

    FRONTIER = "Frontier"
    DATA = "Data"
    BUDGET = "Budget"
    HARDWARE = "Hardware and mapping"
    COMPRESSION = "Compression"
    TRAINING = "Training"
    MACHINE = "Machine"
    SIMULATION = "Simulation"
    PLACEMENT = "Placement"
    REDUCTION = "Reduction"
    OUTPUT = "Output"
    GENERAL = "General"


Engine = Literal["auto", "coloquinte", "shelves"]

DEFAULT_TARGET = "group_scissor"


_OUT: dict[str, Any] = {"group": OptionGroup.OUTPUT, "is_path": True, "metavar": "PATH", "flags": ("-o", "--out")}
TARGET_OPTION: dict[str, Any] = {
    "help": "Hardware description: the name of one that comes with gscompile, or a .toml file.",
    "group": OptionGroup.HARDWARE,
    "is_path": True,
    "metavar": "NAME|FILE",
    "expected": "the name of a target, or the path of a .toml file",
}


@dataclass(frozen=True)
class CompileOutput:
    """Where `compile` writes, and whether it replaces and continues."""

    out: str | Path | None = option(None, "Output folder.", computed="MODEL's name + .gscompile", **_OUT)
    force: bool = option(False, "Replace an output folder that exists.", group=OptionGroup.OUTPUT)
    resume: bool = option(True, "Continue where the same command was interrupted.", group=OptionGroup.OUTPUT)


@dataclass(frozen=True)
class FrontierOptions(CompileOutput):
    """Where `frontier` writes, how many networks, and what of each."""

    out: str | Path | None = option(None, "Output folder.", computed="MODEL's name + .frontier", **_OUT)
    points: int = option(8, "Largest number of networks on the curve.", group=OptionGroup.FRONTIER, minimum=3)
    folders: bool = option(False, "Write a complete output folder for every point.", group=OptionGroup.FRONTIER)
    max_drop: float = option(
        1.0,
        "Percentage points of the validation score, below the original, at which the curve ends.",
        group=OptionGroup.FRONTIER,
        minimum=0,
        unit="percentage points",
    )


@dataclass(frozen=True)
class ExplainOptions:
    """Which matrices `explain` shows."""

    matrix: str | None = option(
        None,
        "One matrix: the name of its layer in the original network.",
        group=OptionGroup.OUTPUT,
        metavar="NAME",
        expected="the name of a matrix",
    )


@dataclass(frozen=True)
class SimulateOptions:
    """Samples, chips and devices of `simulate`."""

    data: Any = option(
        help="Samples: an .npz file, a folder of them, or package.module:function.",
        group=OptionGroup.DATA,
        metavar="DATA",
    )
    target: str | None = option(None, computed="the one compiled for", **TARGET_OPTION)
    samples: int = option(1000, "Samples to run, from the start of the data.", group=OptionGroup.DATA, minimum=1)
    seeds: int = option(
        3, "Simulated chips for each figure with device effects.", group=OptionGroup.SIMULATION, minimum=1
    )
    sweep: bool = option(
        False, "Also measure accuracy against the strength of each effect.", group=OptionGroup.SIMULATION
    )


@dataclass(frozen=True)
class PlacementOptions:
    """Original, devices and engine of `place`."""

    original: str | Path | None = option(
        None,
        "Network before compression, to be placed beside the compressed one.",
        group=OptionGroup.PLACEMENT,
        is_path=True,
        metavar="MODEL",
    )
    target: str | None = option(None, computed="the one compiled for", **TARGET_OPTION)
    engine: Engine = option(
        "auto",
        "Placement engine: coloquinte, shelves (in netlist order), or auto (coloquinte where it is installed).",
        group=OptionGroup.PLACEMENT,
    )
    route_seconds: int = option(
        0,
        "Time for which nextpnr searches for the channel width; 0 for no search.",
        group=OptionGroup.PLACEMENT,
        minimum=0,
        unit="seconds",
    )


@dataclass(frozen=True)
class ReduceOptions:
    """How `reduce` runs the command that fails."""

    out: str | Path | None = option(None, "File to write.", computed="MODEL's name + .reduced.onnx", **_OUT)
    seconds: int = option(600, "Longest run of COMMAND.", group=OptionGroup.REDUCTION, minimum=1, unit="seconds")
    any_message: bool = option(False, "Compare exit codes alone, not the messages.", group=OptionGroup.REDUCTION)


@dataclass(frozen=True)
class TerminalOptions:
    """Options of the command line alone."""

    config: Path | None = option(
        None,
        "Options from a TOML file; the command line wins.",
        group=OptionGroup.GENERAL,
        is_path=True,
        metavar="FILE",
        commands=("compile", "frontier"),
    )
    quiet: bool = option(
        False,
        "Print nothing but errors.",
        group=OptionGroup.GENERAL,
        flags=("-q", "--quiet"),
        commands=("compile", "frontier", "simulate", "place", "reduce"),
    )
    as_json: bool = option(
        False,
        "Print the result as JSON.",
        group=OptionGroup.GENERAL,
        flags=("--json",),
        commands=("compile", "inspect", "explain", "verify", "simulate", "place"),
    )
