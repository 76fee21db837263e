"""Hardware descriptions, the design that is handed to an output format, and what a format is.

A description is a TOML file: one table for each class below, units in the names of the numbers.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from numpy.typing import NDArray

from gscompile.command_options import DEFAULT_TARGET
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.netlist import Netlist
from gscompile.errors import TargetError
from gscompile.hardware.floorplan import Floorplan


def _number(minimum: float, maximum: float = math.inf, default: float | None = None) -> Any:
    """A number of a description and the values that make sense for it, both ends included."""
    bounds = {"minimum": minimum, "maximum": maximum}
    return field(metadata=bounds) if default is None else field(default=default, metadata=bounds)


@dataclass(frozen=True)
class Arrays:
    """Crossbar limits; of `fixed` size every array is a whole one, otherwise only live rows and columns are
    built."""

    rows: int = _number(1, 1_000_000)
    cols: int = _number(1, 1_000_000)
    fixed: bool = False


@dataclass(frozen=True)
class Cell:
    """One crossing: its area in squares of the feature size, and how many of them hold a signed weight."""

    feature_nm: float = _number(1, 10_000)
    area_f2: float = _number(0.1, 10_000)
    devices_per_weight: int = _number(1, 64)


@dataclass(frozen=True)
class Device:
    """The resistive device. Fractions: spread and noise are sigmas relative to the conductance, stuck ones
    are parts of all devices. `levels` 0 is a continuous conductance."""

    on_ohm: float = _number(1e-3)
    off_ohm: float = _number(1e-3)
    read_v: float = _number(1e-6, 100)
    read_ns: float = _number(1e-6)
    levels: int = _number(0, 1 << 20, 0)
    spread_fraction: float = _number(0, 10, 0.0)
    read_noise_fraction: float = _number(0, 10, 0.0)
    stuck_on_fraction: float = _number(0, 1, 0.0)
    stuck_off_fraction: float = _number(0, 1, 0.0)

    @property
    def on_siemens(self) -> float:
        return 1 / self.on_ohm

    @property
    def off_siemens(self) -> float:
        return 1 / self.off_ohm


@dataclass(frozen=True)
class Wire:
    """Metal: per length of line inside the arrays and between them."""

    resistance_ohm_per_um: float = _number(0)
    capacitance_ff_per_um: float = _number(0)


@dataclass(frozen=True)
class Routing:
    """Tracks between the arrays: `layers` of them at a pitch of `pitch_nm`."""

    pitch_nm: float = _number(1, 100_000)
    layers: int = _number(1, 64)


@dataclass(frozen=True)
class Periphery:
    """Converters and digital work. `columns_per_adc` columns take turns at one converter; inputs are fed
    `dac_bits` at a time."""

    adc_bits: int = _number(1, 32)
    adc_area_um2: float = _number(0)
    adc_energy_pj: float = _number(0)
    adc_rate_gsps: float = _number(1e-6)
    columns_per_adc: int = _number(1, 1_000_000)
    input_bits: int = _number(1, 64)
    dac_bits: int = _number(1, 32)
    dac_area_um2: float = _number(0)
    dac_energy_pj: float = _number(0)
    sample_hold_area_um2: float = _number(0)
    shift_add_area_um2: float = _number(0)
    shift_add_energy_pj: float = _number(0)
    activation_area_um2: float = _number(0)
    register_area_um2_per_byte: float = _number(0)


@dataclass(frozen=True)
class Target:
    """A hardware description. Without `periphery` there is cell area and wire, and no chip to speak of."""

    name: str
    description: str
    crossbar: Arrays
    cell: Cell
    device: Device
    wire: Wire
    routing: Routing
    periphery: Periphery | None = None

    @cached_property
    def size(self) -> Crossbar:
        """The largest array."""
        return Crossbar(self.crossbar.rows, self.crossbar.cols)

    @property
    def pitch_um(self) -> float:
        """Side of the square that holds one weight: sqrt(devices x area_f2) x F."""
        cell = self.cell
        return math.sqrt(cell.area_f2 * cell.devices_per_weight) * cell.feature_nm * 1e-3

    def with_crossbar(self, size: Crossbar) -> Target:
        """Return the hardware with arrays of another size (`--crossbar` over `--target`)."""
        return replace(self, crossbar=replace(self.crossbar, rows=size.rows, cols=size.cols))


# -- reading a description ---------------------------------------------------------------------------------


def shipped_targets() -> tuple[str, ...]:
    """Names of the descriptions that come with the package, in order."""
    folder = files("gscompile.targets")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_target(name_or_file: str | Path = DEFAULT_TARGET) -> Target:
    """The description of that name that comes with the package, or the one in a TOML file.

    Raises TargetError, in one line that names key and file, for anything that does not make sense.
    """
    place = str(name_or_file)
    return _target(place, _toml(place, _source(place)))


def _source(place: str) -> str:
    path = Path(place)
    if path.suffix != ".toml":
        known = shipped_targets()
        if place not in known:
            near = _nearest(place, known)
            raise TargetError(f"target {place!r}: unknown{near}; a .toml file or one of {', '.join(known)}")
        return files("gscompile.targets").joinpath(f"{place}.toml").read_text("utf-8")
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise TargetError(f"target {place}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TargetError(f"target {place}: not a text file in UTF-8") from error


def _toml(place: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TargetError(f"target {place}: not TOML ({error})") from error
    except RecursionError as error:
        raise TargetError(f"target {place}: not TOML that can be read: its brackets are nested too deeply") from error


def _target(place: str, data: Mapping[str, Any]) -> Target:
    target: Target = _read(Target, data, f"target {place}", "")
    device = target.device
    if device.off_ohm <= device.on_ohm:
        raise TargetError(f"target {place}: device.off_ohm {device.off_ohm:g} must exceed on_ohm {device.on_ohm:g}")
    if device.stuck_on_fraction + device.stuck_off_fraction > 1:
        raise TargetError(f"target {place}: device.stuck_on_fraction and stuck_off_fraction exceed 1 together")
    return target


def _read(cls: Any, data: Any, place: str, prefix: str) -> Any:
    """A dataclass from a table; tables inside it are its fields that are dataclasses."""
    if not isinstance(data, dict):
        raise TargetError(f"{place}: {prefix[:-1]!r} must be a table, as in [{prefix[:-1]}]")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            raise TargetError(f"{place}: {_unknown(prefix, key, fields)}")
    missing = [f.name for f in fields.values() if f.name not in data and f.default is dataclasses.MISSING]
    if missing:
        raise TargetError(f"{place}: {prefix}{missing[0]} is missing")
    types = get_type_hints(cls)
    return cls(**{k: _value(types[k], fields[k], v, place, f"{prefix}{k}") for k, v in data.items()})


def _value(wanted: Any, described: Any, value: Any, place: str, key: str) -> Any:
    table = next((t for t in (wanted, *getattr(wanted, "__args__", ())) if dataclasses.is_dataclass(t)), None)
    if table is not None:
        return _read(table, value, place, f"{key}.")
    kinds = {float: "number", int: "whole number", bool: "boolean", str: "text"}
    if type(value) is int and wanted is float:
        value = float(value)
    if type(value) is not wanted:
        raise TargetError(f"{place}: {key} = {value!r} is not a {kinds[wanted]}")
    low, high = described.metadata.get("minimum"), described.metadata.get("maximum")
    if low is not None and (not low <= value <= high or value == math.inf):
        raise TargetError(f"{place}: {key} = {value:g} is impossible; {_bounds(low, high)}")
    return value


def _bounds(low: float, high: float) -> str:
    return f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"


def _unknown(prefix: str, key: str, known: Mapping[str, Any]) -> str:
    stem = re.sub(r"_[^_]+$", "", key)
    same = [name for name in known if re.sub(r"_[^_]+$", "", name) == stem]
    if same and "_" in key:
        near = difflib.get_close_matches(key, same, n=1, cutoff=0)[0]
        return f"{prefix}{key}: this is given as {near!r}, in its unit"
    return f"{prefix}{key}: unknown{_nearest(key, known)}; there are {', '.join(known)}"


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


# -- what is emitted ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Design:
    """A netlist and the weights of its tiles, by tile name (read when asked for).

    `target` is what it is built on; `floorplan` is where things are, when they have been placed.
    """

    netlist: Netlist
    weights: Mapping[str, NDArray[Any]]
    target: Target = field(default_factory=load_target)
    floorplan: Floorplan | None = None


class Format(Protocol):
    """An output format: a frozen dataclass whose fields are its options on the command line."""

    @property
    def name(self) -> str:
        """As the command line knows it."""

    def emit(self, design: Design, folder: Path) -> list[Path]:
        """Write the design into `folder`; returns the files that tools open (they may include others)."""
