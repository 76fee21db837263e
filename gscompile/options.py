"""Everything a compilation can be told, in one place: the command line, `--config` and the Python API all fill this."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, cast, get_args

from gscompile.crossbars.crossbar import Crossbar, Tiling
from gscompile.errors import UsageError
from gscompile.formats import parse_formats
from gscompile.hardware.target import DEFAULT_TARGET, Format, Target, load_target
from gscompile.sizes import Size, parse_size
from gscompile.user_function import UserFunction, called

Effort = Literal["quick", "standard", "max"]
Minimize = Literal["area", "cells", "wires", "tiles"]
Finetune = Literal["none", "full"]
Precision = Literal["auto", "float32", "bfloat16"]
DEFAULT_PASSES = ("rank-clip", "delete-groups", "drop-dead-units")
EFFORTS: Mapping[str, float] = {"quick": 0.5, "standard": 1.0, "max": 2.5}


@dataclass(frozen=True)
class Options:
    """How to compile. `max_drop` is in points of the validation score, `margin` in its standard errors, `max_error`
    relative to the output's range.

    `teacher` is the ONNX file of another network with the same inputs and outputs, larger or better trained, that is
    learned from instead of the original.

    `max_cells`, `max_tiles` and `max_wires` are numbers, or text with a percentage of the original as in "40%". Without
    `max_drop` any loss is allowed where one of them is given, else none.

    `crossbar` is text as in `64x64`, a pair (rows, columns) or a Crossbar.
    `finetune` "full" trains the compressed network end to end; "none" solves for its weights by least squares, without
    gradient steps, for which a few hundred samples are enough.

    `data`, `eval` and `test` are whatever `gscompile.data.dataset.load_data` takes. `epochs` is the length of a
    training run; a search takes many. `passes` are `name:option=value,...`. Without `crossbar` arrays are of the
    target's size. `place` None places what is small when there is a `target`.

    `loss`, `metric` and items of `augment` are functions, or `package.module:function`:
    loss(outputs, targets, labels) is a scalar tensor, from tensors by output name, those of the network and of the
    original; metric(outputs, targets, labels) is percent of one batch, from numpy arrays; augment(inputs, generator)
    returns the inputs, tensors by name, varied. Labels are None where the data has none.
    """

    crossbar: str | tuple[int, int] | Crossbar | None = None
    tiling: Tiling = "full"
    pack: bool = True
    arrange: bool = True
    data: Any = None
    eval: Any = None
    test: Any = None
    max_drop: float | None = None
    margin: float = 0.0
    max_error: float = 0.01
    max_cells: str | int | None = None
    max_tiles: str | int | None = None
    max_wires: str | int | None = None
    passes: tuple[str, ...] = DEFAULT_PASSES
    minimize: Minimize = "area"
    finetune: Finetune = "full"
    effort: Effort = "standard"
    epochs: float = 1.0
    batch_size: int = 128
    lr: float | None = None
    seed: int = 0
    time_budget: str | float | None = None
    nproc: int = 1
    threads: int | None = None
    device: str = "cpu"
    precision: Precision = "auto"
    augment: tuple[Any, ...] = ()
    teacher: str | None = None
    loss: Any = None
    metric: Any = None
    strict: bool = False
    fold: bool = True
    input_shape: tuple[str, ...] = ()
    emit: tuple[str, ...] = ()
    target: str | None = None
    place: bool | None = None

    def __post_init__(self) -> None:
        self._take_types()
        _ = self.hardware, self.formats, self.seconds, self.sizes  # what is wrong in them is said at once
        _one_of("tiling", self.tiling, get_args(Tiling))
        _one_of("effort", self.effort, get_args(Effort))
        _one_of("finetune", self.finetune, get_args(Finetune))
        _one_of("minimize", self.minimize, get_args(Minimize))
        _one_of("precision", self.precision, get_args(Precision))
        if self.max_drop is None and not self.sizes:
            object.__setattr__(self, "max_drop", 0.0)
        for name, value, low in (
            ("max-drop", 0.0 if self.max_drop is None else self.max_drop, 0.0),
            ("margin", self.margin, 0.0),
            ("max-error", self.max_error, 0.0),
            ("epochs", self.epochs, 1e-6),
            ("lr", 1.0 if self.lr is None else self.lr, 1e-12),
            ("batch-size", self.batch_size, 1),
            ("threads", 1 if self.threads is None else self.threads, 1),
            ("seed", self.seed, 0),
            ("nproc", self.nproc, 1),
        ):
            if not low <= value < float("inf"):
                finite = "finite and " if value == float("inf") else ""
                raise UsageError(f"{name} {value}: must be {finite}at least {low:g}")
        if self.data is None and self.eval is not None:
            raise UsageError("--eval needs --data: without training data nothing is tuned")
        if self.data is None and (self.loss is not None or self.metric is not None or self.augment):
            raise UsageError("--loss, --metric and --augment need --data: without it nothing is tuned")
        if self.finetune == "none" and self.teacher is not None:
            raise UsageError("--teacher needs --finetune full: without fine-tuning nothing is learned from it")
        if self.finetune == "none" and self.nproc > 1:
            raise UsageError(f"--finetune none runs in one process: expected --nproc 1, found {self.nproc}")
        for name in self.sizes:
            if self.finetune != "none" or self.data is None:
                raise UsageError(f"--max-{name} needs --data and --finetune none: a size is reached by closed form")
        if self.data is None and self.teacher is not None:
            raise UsageError("--teacher needs --data: without it nothing is tuned")

    def _take_types(self) -> None:
        """Raise UsageError for a value of a wrong type; lists become tuples, paths and crossbars text."""
        for field in dataclasses.fields(self):
            value, wanted = getattr(self, field.name), str(field.type)
            if wanted in _TEXTS and isinstance(value, os.PathLike):
                value = os.fsdecode(value)
            if field.name == "crossbar":
                value = crossbar_text(value)
            if isinstance(value, list) and wanted.startswith("tuple"):
                value = tuple(value)
            if wanted != "Any" and not (value is None and "None" in wanted) and not _fits(wanted, value):
                raise UsageError(f"option {field.name!r} is {_shown(value)}; expected {_described(wanted)}")
            object.__setattr__(self, field.name, value)

    @cached_property
    def hardware(self) -> Target:
        """The target with arrays of the size that was asked for."""
        target = load_target(self.target or DEFAULT_TARGET)
        return target if self.crossbar is None else target.with_crossbar(Crossbar.parse(str(self.crossbar)))

    @cached_property
    def formats(self) -> tuple[Format, ...]:
        """The netlist formats of `emit`, beside JSON."""
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
        values = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
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


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} {value!r}: expected one of {', '.join(known)}")


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
    return dict(_checked(path, key, value) for key, value in found.items())


def _checked(path: Path, key: str, value: Any) -> tuple[str, Any]:
    fields = {f.name: f for f in dataclasses.fields(Options)}
    name = key.replace("-", "_")
    if name not in fields:
        hint = did_you_mean(name, fields, lambda close: close.replace("_", "-"))
        raise UsageError(f"{path}: option {key!r} is unknown{hint}")
    wanted = str(fields[name].type)
    if not _fits(wanted, value) or (_ACCEPTED_TYPES.get(wanted) == (tuple, list) and not isinstance(value, list)):
        raise UsageError(f"{path}: option {key!r} is {_shown(value)}; expected {_described(wanted)}")
    return name, tuple(value) if isinstance(value, list) else value


def did_you_mean(name: str, known: Iterable[str], spelt: Callable[[str], str] = str) -> str:
    """Return a hint at the name that was meant, in brackets; empty where none is close."""
    close = difflib.get_close_matches(name, [*known], n=1)
    return f" (did you mean {spelt(close[0])!r}?)" if close else ""


def crossbar_text(value: Any) -> Any:
    """Return a crossbar, or a pair of rows and columns, as text; anything else as it is."""
    if isinstance(value, Crossbar):
        return str(value)
    if isinstance(value, tuple | list) and len(value) == 2 and all(_fits("int", side) for side in value):
        return str(Crossbar(int(value[0]), int(value[1])))
    return value


def _shown(value: Any) -> str:
    """A value in an error: as it is written, or its type where that is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"of type {type(value).__name__}"


_TEXTS = ("str", "str | None")
_ACCEPTED_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "float": (Real,),
    "int": (Integral,),
    "int | None": (Integral,),
    "float | None": (Real,),
    "bool": (bool,),
    "bool | None": (bool,),
    "tuple[str, ...]": (tuple, list),
    "tuple[Any, ...]": (tuple, list),
    "Any": (str,),
    "str | None": (str,),
    "str | float | None": (str, Real),
    "str | int | None": (str, Integral),
}


def _fits(wanted: str, value: Any) -> bool:
    kinds = _ACCEPTED_TYPES.get(wanted, (str,))
    texts = isinstance(value, list) or wanted == "tuple[str, ...]"
    items = all(isinstance(item, str) for item in value) if texts and isinstance(value, tuple | list) else True
    return isinstance(value, kinds) and items and (bool in kinds or not isinstance(value, bool))


def _described(wanted: str) -> str:
    names = {
        "str | tuple[int, int] | Crossbar": "ROWSxCOLS, as in 64x64",
        "str | float": "a time, as in 90s, 30m or 2h",
        "str | int": "a number or a percentage, as in 50000 or 40%",
        "float": "a number",
        "int": "a whole number",
        "bool": "true or false",
        "tuple[str, ...]": "a list of texts",
        "tuple[Any, ...]": "a list of texts",
    }
    return names.get(wanted.removesuffix(" | None"), "a text")
