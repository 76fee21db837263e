"""The options of a compile, each declared once: command line, `--config` and Python API all fill `Options`."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from gscompile.command_options import (
    DEFAULT_TARGET,
    TARGET_OPTION,
    CompileOutput,
    ExplainOptions,
    FrontierOptions,
    OptionGroup,
    PlacementOptions,
    ReduceOptions,
    SimulateOptions,
    TerminalOptions,
)
from gscompile.crossbars.size import Crossbar, Tiling
from gscompile.declaration import Declaration, declarations, did_you_mean, option, with_aliases
from gscompile.errors import UsageError
from gscompile.passes import PASSES
from gscompile.sizes import Size, parse_size
from gscompile.targets import FORMATS
from gscompile.user_function import UserFunction, called

if TYPE_CHECKING:
    from gscompile.hardware.target import Format, Target

Effort = Literal["quick", "standard", "max"]
Minimize = Literal["area", "cells", "wires", "tiles"]
Finetune = Literal["none", "blocks", "full"]
Precision = Literal["auto", "float32", "bfloat16"]
MAX_ERROR = 0.01  # of the output's range, where neither another bound nor a size is asked for
DEFAULT_PASSES = tuple(PASSES)
EFFORTS: Mapping[Effort, float] = {"quick": 0.5, "standard": 1.0, "max": 2.5}  # training relative to standard

_SEARCHES = ("compile", "frontier")
_SIZE = "a number or a percentage, as in 50000 or 40%"
_LARGEST: dict[str, Any] = {"group": OptionGroup.BUDGET, "metavar": "N|P%", "expected": _SIZE, "commands": ("compile",)}


@dataclass(frozen=True)
class Options:
    """Everything a compile can be told; a value that makes no sense raises UsageError.

    `data`, `val` and `test` are anything that `gscompile.data.dataset.load_data` takes.

    `loss`, `metric` and items of `augment` are functions, or `package.module:function`:
    loss(outputs, targets, labels) is a scalar tensor, from tensors by output name, those of the network and of the
    original; metric(outputs, targets, labels) is percent of one batch, from numpy arrays; augment(inputs, generator)
    returns the inputs, tensors by name, varied. Labels are None where the data has none.
    """

    crossbar: str | tuple[int, int] | Crossbar | None = option(
        None,
        "Largest crossbar: rows by columns.",
        group=OptionGroup.HARDWARE,
        computed="that of the target, 64x64",
        expected="ROWSxCOLS, as in 64x64",
        metavar="ROWSxCOLS",
        commands=(*_SEARCHES, "inspect"),
    )
    tiling: Tiling = option(
        "full",
        "full: whole crossbars and a remainder; equal: tiles of equal size, the rule of the paper.",
        group=OptionGroup.HARDWARE,
        commands=(*_SEARCHES, "inspect"),
    )
    pack: bool = option(True, "Let small tiles of a layer share an array.", group=OptionGroup.HARDWARE)
    arrange: bool = option(
        True, "Reorder inputs and outputs among tiles.", group=OptionGroup.HARDWARE, affects_training=False
    )
    data: Any = option(
        None,
        "Training data: an .npz file, a folder of them, or package.module:function.",
        group=OptionGroup.DATA,
        metavar="DATA",
        affects_training=False,  # by its name: checkpoints compare the samples
    )
    val: Any = option(
        None,
        "Validation data, on which all decisions are made.",
        group=OptionGroup.DATA,
        computed="a part of --data",
        aliases=("eval",),
        metavar="DATA",
        affects_training=False,  # by its name: checkpoints compare the samples
    )
    test: Any = option(
        None,
        "Test data: measured once, on the written file.",
        group=OptionGroup.DATA,
        metavar="DATA",
        affects_training=False,
    )
    max_drop: float | None = option(
        None,
        "Percentage points of the validation score that may be lost.",
        group=OptionGroup.BUDGET,
        minimum=0,
        unit="percentage points",
        computed="0, or any loss where a size is given",
        commands=("compile",),
    )
    margin: float = option(
        0.0,
        "Safety margin inside --max-drop, in standard errors of the score.",
        group=OptionGroup.BUDGET,
        minimum=0,
        unit="standard errors",
    )
    max_output_error: float | None = option(
        None,
        "Largest output error where no accuracy decides, relative to the range of the output.",
        group=OptionGroup.BUDGET,
        minimum=0,
        unit="range of the output",
        aliases=("max_error",),
        computed=f"{MAX_ERROR}, or any error where a size is given and no data",
    )
    max_cells: str | int | None = option(None, "Cells that may be taken, or percent of the original.", **_LARGEST)
    max_tiles: str | int | None = option(None, "Tiles that may be taken, or percent of the original.", **_LARGEST)
    max_wires: str | int | None = option(None, "Wires that may be taken, or percent of the original.", **_LARGEST)
    passes: tuple[str, ...] = option(
        DEFAULT_PASSES,
        "A pass to run, with its options; once per pass, in order.",
        group=OptionGroup.COMPRESSION,
        metavar="NAME[:OPTION=VALUE,...]",
        flags=("--pass",),
    )
    minimize: Minimize = option(
        "area", "Quantity that the search minimizes; area is that of the target.", group=OptionGroup.COMPRESSION
    )
    finetune: Finetune = option(
        "full",
        "full: train the compressed network end to end; none: solve for its weights by least squares; blocks: solve, "
        "then train block by block.",
        group=OptionGroup.COMPRESSION,
    )
    effort: Effort = option("standard", "How much training the search may do.", group=OptionGroup.COMPRESSION)
    epochs_per_round: float = option(
        1.0,
        "Length of one training run; a search has many.",
        group=OptionGroup.TRAINING,
        minimum=1e-6,
        unit="epochs",
        aliases=("epochs",),
    )
    batch_size: int = option(
        128,
        "Samples per training step.",
        group=OptionGroup.TRAINING,
        minimum=1,
        unit="samples",
        computed="128, or what the network fixes",
    )
    lr: float | None = option(
        None, "Learning rate.", group=OptionGroup.TRAINING, minimum=1e-12, computed="found by trials"
    )
    seed: int = option(0, "Seed of all random numbers.", group=OptionGroup.TRAINING, minimum=0)
    time_budget: str | float | None = option(
        None,
        "Time after which the search ends with the best network so far.",
        group=OptionGroup.COMPRESSION,
        expected="a time, as in 90s, 30m or 2h",
        metavar="TIME",
        affects_training=False,
    )
    nproc: int = option(
        1,
        "Processes of this machine that train together.",
        group=OptionGroup.MACHINE,
        minimum=1,
        affects_training=False,
    )
    threads: int | None = option(
        None,
        "Threads for training.",
        group=OptionGroup.MACHINE,
        minimum=1,
        computed="all cores",
        affects_training=False,
    )
    device: str = option("cpu", "Device that torch trains on.", group=OptionGroup.MACHINE, affects_training=False)
    precision: Precision = option("auto", "Number format of products in training.", group=OptionGroup.TRAINING)
    augment: tuple[Any, ...] = option(
        (),
        "Augmentation of training images: crop, flip or module:function.",
        group=OptionGroup.TRAINING,
        metavar="NAME",
    )
    teacher: str | None = option(
        None,
        "Network to learn from in place of the original, larger or better trained.",
        group=OptionGroup.TRAINING,
        is_path=True,
        metavar="MODEL",
        affects_training=False,  # by its name: checkpoints compare the network
    )
    loss: Any = option(None, "Custom loss, as module:function.", group=OptionGroup.TRAINING, metavar="FUNCTION")
    metric: Any = option(
        None,
        "Custom metric in percent of a batch, in place of accuracy, as module:function.",
        group=OptionGroup.TRAINING,
        metavar="FUNCTION",
    )
    strict: bool = option(
        False,
        "Exit with code 3 where nothing smaller fits the budget.",
        group=OptionGroup.BUDGET,
        affects_training=False,
        commands=("compile",),
    )
    fold: bool = option(True, "Fold batch normalization and constants first.", group=OptionGroup.COMPRESSION)
    input_shape: tuple[str, ...] = option(
        (),
        "Sizes of an input that the file leaves open.",
        group=OptionGroup.DATA,
        metavar="NAME=D,D,...",
        commands=(*_SEARCHES, "verify"),
    )
    emit: tuple[str, ...] = option(
        (),
        f"Netlist formats beside JSON: {', '.join(FORMATS)}.",
        group=OptionGroup.OUTPUT,
        metavar="FORMAT,...",
        affects_training=False,
    )
    target: str | None = option(None, computed=DEFAULT_TARGET, **TARGET_OPTION)
    place: bool | None = option(
        None,
        "Place the tiles on a die.",
        group=OptionGroup.HARDWARE,
        computed="where they are few, with --target",
        affects_training=False,
    )

    def __post_init__(self) -> None:
        self._take_types()
        _ = self.hardware, self.formats, self.seconds, self.sizes  # each raises UsageError at once
        if self.max_drop is None and not self.sizes:
            object.__setattr__(self, "max_drop", 0.0)
        if self.max_output_error is None and (self.data is not None or not self.sizes):
            object.__setattr__(self, "max_output_error", MAX_ERROR)
        if self.data is None and self.val is not None:
            raise UsageError("--val needs --data: without training data nothing is tuned")
        if self.data is None and (self.loss is not None or self.metric is not None or self.augment):
            raise UsageError("--loss, --metric and --augment need --data: without it nothing is tuned")
        if self.finetune != "full" and self.teacher is not None:
            raise UsageError("--teacher needs --finetune full: nothing else is learned from it")
        if self.finetune != "full" and self.nproc > 1:
            raise UsageError(f"--finetune {self.finetune} runs in one process: expected --nproc 1, found {self.nproc}")
        if self.sizes and self.nproc > 1:
            raise UsageError(
                f"--max-{next(iter(self.sizes))} is reached in one process: expected --nproc 1, found {self.nproc}"
            )
        if self.data is None and self.teacher is not None:
            raise UsageError("--teacher needs --data: without it nothing is tuned")

    def _take_types(self) -> None:
        """Check types and bounds; lists become tuples, paths and crossbars text. Raises UsageError."""
        for name, declared in declarations(type(self)).items():
            value = getattr(self, name)
            if declared.about.is_path and isinstance(value, os.PathLike):
                value = os.fsdecode(value)
            if name == "crossbar":
                value = crossbar_text(value)
            declared.check(value)
            object.__setattr__(self, name, tuple(value) if declared.is_list else value)

    @cached_property
    def hardware(self) -> Target:
        """The target with arrays of the size that was asked for."""
        from gscompile.hardware.target import load_target  # numpy: not before it is needed

        target = load_target(self.target or DEFAULT_TARGET)
        return target if self.crossbar is None else target.with_crossbar(Crossbar.parse(str(self.crossbar)))

    @cached_property
    def formats(self) -> tuple[Format, ...]:
        """The netlist formats of `emit`, beside JSON."""
        from gscompile.formats import parse_formats

        return parse_formats(",".join(self.emit))

    @cached_property
    def seconds(self) -> float | None:
        """`time_budget`; None where there is none."""
        return None if self.time_budget is None else parse_duration(self.time_budget)

    @cached_property
    def sizes(self) -> Mapping[str, Size]:
        """What a network may take at most, by `cells`, `tiles` and `wires`, of those that are given."""
        given = {"cells": self.max_cells, "tiles": self.max_tiles, "wires": self.max_wires}
        return {name: parse_size(f"max-{name}", size) for name, size in given.items() if size is not None}

    @property
    def drop(self) -> float:
        """The points that may be lost; infinite where only a size is asked for."""
        return float("inf") if self.max_drop is None else self.max_drop

    @property
    def error(self) -> float:
        """The output error that is allowed without data; infinite where only a size is asked for."""
        return float("inf") if self.max_output_error is None else self.max_output_error

    @property
    def epochs(self) -> float:
        """The length of a training run: the name of `epochs_per_round` in `TrainingOptions`."""
        return self.epochs_per_round

    @property
    def max_error(self) -> float | None:
        """The bound of the output error: the name of `max_output_error` in `TrainingOptions`."""
        return self.max_output_error

    @property
    def priced_by(self) -> Minimize:
        """What the search pays for: the only size that is asked for, else what is minimised."""
        return cast(Minimize, next(iter(self.sizes))) if len(self.sizes) == 1 else self.minimize

    @property
    def functions(self) -> tuple[UserFunction, ...]:
        """The user's own functions among the options. Raises UsageError for one that cannot be had."""
        given = [("loss", self.loss), ("metric", self.metric), *(("augment", each) for each in self.augment)]
        return tuple(UserFunction.of(name, f) for name, f in given if callable(f) or ":" in str(f))

    def plain(self) -> dict[str, object]:
        """The options as a report prints them; data objects by their type."""
        values = {name: _plain(getattr(self, name)) for name in declarations(type(self))}
        return values | {"crossbar": str(self.hardware.size)}


def parse_duration(given: str | float) -> float:
    """Seconds, given as such or as text. Raises UsageError.

    >>> parse_duration("90s"), parse_duration("1.5m"), parse_duration("2h"), parse_duration(10)
    (90.0, 90.0, 7200.0, 10.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([smh]?)", str(given).strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"time-budget {given!r}: write a time, as in 90s, 30m or 2h")
    return seconds


def _plain(value: Any) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    return called(value) if callable(value) else f"<{type(value).__name__}>"


def read_config(path: Path) -> dict[str, Any]:
    """Options from a TOML file; keys as on the command line. Raises UsageError for one that is unknown."""
    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))  # some editors begin a file with a byte order mark
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read: {problem.strerror}") from problem
    except ValueError as problem:  # tomllib's own errors, other encodings, integers of thousands of digits
        raise UsageError(f"{path}: not TOML: {str(problem).partition(';')[0]}") from problem
    except RecursionError as problem:
        raise UsageError(f"{path}: not TOML that can be read: its brackets are nested too deeply") from problem
    options: dict[str, Any] = {}
    for key, value in found.items():
        name, checked = _checked(path, key, value)
        if name in options:
            raise UsageError(f"{path}: option {key!r} is given twice, once as {name.replace('_', '-')!r}")
        options[name] = checked
    return options


def _checked(path: Path, key: str, value: Any) -> tuple[str, Any]:
    known, name = with_aliases(declarations(Options)), key.replace("-", "_")
    if name not in known:
        hint = did_you_mean(name, known, lambda close: close.replace("_", "-"))
        raise UsageError(f"{path}: option {key!r} is unknown{hint}")
    try:
        known[name].check(value, from_file=key)
    except UsageError as problem:
        raise UsageError(f"{path}: {problem}") from problem
    return known[name].name, tuple(value) if isinstance(value, list) else value


def crossbar_text(value: Any) -> Any:
    """Return a crossbar, or a pair of rows and columns, as text; anything else as it is."""
    if isinstance(value, Crossbar):
        return str(value)
    if isinstance(value, tuple | list) and len(value) == 2 and all(_is_whole(side) for side in value):
        return str(Crossbar(int(value[0]), int(value[1])))
    return value


def _is_whole(side: object) -> bool:
    return isinstance(side, Integral) and not isinstance(side, bool)


_OWN = {
    "compile": CompileOutput,
    "frontier": FrontierOptions,
    "explain": ExplainOptions,
    "simulate": SimulateOptions,
    "place": PlacementOptions,
    "reduce": ReduceOptions,
}
COMMANDS = ("compile", "frontier", "inspect", "explain", "verify", "simulate", "place", "reduce")


def options_of(command: str) -> dict[str, Declaration]:
    """Return the options that a command takes, by name; its own first, in the order of its Python signature."""
    own = dict(declarations(_OWN[command])) if command in _OWN else {}
    shared = declarations(Options).items()
    return own | {k: d for k, d in shared if command in (d.about.commands or _SEARCHES) and k not in own}


def terminal_options_of(command: str) -> dict[str, Declaration]:
    """Return the options that a command has on the command line alone, by name."""
    return {name: each for name, each in declarations(TerminalOptions).items() if command in each.about.commands}
