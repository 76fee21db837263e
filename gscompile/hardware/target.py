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
from typing import Any, Protocol

from numpy.typing import NDArray

from gscompile.command_options import DEFAULT_TARGET
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.netlist import Netlist
from gscompile.declaration import Declaration, declarations, did_you_mean, option
from gscompile.errors import TargetError
from gscompile.hardware.floorplan import Floorplan


@dataclass(frozen=True)
class Arrays:
    """Sizes of the arrays."""

    rows: int = option(help="Largest number of rows (inputs) of an array.", minimum=1, maximum=1_000_000)
    cols: int = option(help="Largest number of columns (outputs) of an array.", minimum=1, maximum=1_000_000)
    fixed: bool = option(False, "Every array is a whole one; otherwise only live rows and columns are built.")


@dataclass(frozen=True)
class Cell:
    """One crossing of a row and a column: a resistive device and its area."""

    feature_nm: float = option(help="Feature size F.", minimum=1, maximum=10_000, unit="nm")
    area_f2: float = option(
        help="Area of one device, in squares of the feature size.", minimum=0.1, maximum=10_000, unit="F^2"
    )
    devices_per_weight: int = option(help="Devices that hold one signed weight.", minimum=1, maximum=64)


@dataclass(frozen=True)
class Device:
    """The resistive device."""

    on_ohm: float = option(help="Resistance of a device that is on.", minimum=1e-3, unit="ohm")
    off_ohm: float = option(help="Resistance of a device that is off; larger than on_ohm.", minimum=1e-3, unit="ohm")
    read_v: float = option(help="Voltage of a read.", minimum=1e-6, maximum=100, unit="V")
    read_ns: float = option(help="Duration of a read.", minimum=1e-6, unit="ns")
    levels: int = option(0, "Levels of the conductance; 0 for a continuous one.", minimum=0, maximum=1 << 20)
    spread_fraction: float = option(
        0.0,
        "Standard deviation of the conductance between devices, relative to the conductance.",
        minimum=0,
        maximum=10,
        unit="share",
    )
    read_noise_fraction: float = option(
        0.0, "Standard deviation of one read, relative to the conductance.", minimum=0, maximum=10, unit="share"
    )
    stuck_on_fraction: float = option(
        0.0, "Share of the devices that are always on.", minimum=0, maximum=1, unit="share"
    )
    stuck_off_fraction: float = option(
        0.0, "Share of the devices that are always off.", minimum=0, maximum=1, unit="share"
    )

    @property
    def on_siemens(self) -> float:
        return 1 / self.on_ohm

    @property
    def off_siemens(self) -> float:
        return 1 / self.off_ohm


@dataclass(frozen=True)
class Wire:
    """Lines inside the arrays and between them."""

    resistance_ohm_per_um: float = option(help="Resistance of a line.", minimum=0, unit="ohm/um")
    capacitance_ff_per_um: float = option(help="Capacitance of a line.", minimum=0, unit="fF/um")


@dataclass(frozen=True)
class Routing:
    """Tracks between the arrays."""

    pitch_nm: float = option(help="Pitch of the tracks between arrays.", minimum=1, maximum=100_000, unit="nm")
    layers: int = option(help="Metal layers for tracks between arrays.", minimum=1, maximum=64)


@dataclass(frozen=True)
class Periphery:
    """Converters and digital blocks."""

    adc_bits: int = option(help="Resolution of a converter of outputs.", minimum=1, maximum=32, unit="bits")
    adc_area_um2: float = option(help="Area of a converter of outputs.", minimum=0, unit="um^2")
    adc_energy_pj: float = option(help="Energy of one conversion.", minimum=0, unit="pJ")
    adc_rate_gsps: float = option(help="Conversions per second.", minimum=1e-6, unit="GS/s")
    columns_per_adc: int = option(help="Columns that take turns at one converter.", minimum=1, maximum=1_000_000)
    input_bits: int = option(help="Resolution of an input.", minimum=1, maximum=64, unit="bits")
    dac_bits: int = option(help="Bits of an input that are fed at a time.", minimum=1, maximum=32, unit="bits")
    dac_area_um2: float = option(help="Area of a driver of inputs.", minimum=0, unit="um^2")
    dac_energy_pj: float = option(help="Energy of one driven input.", minimum=0, unit="pJ")
    sample_hold_area_um2: float = option(help="Area of a sample-and-hold circuit.", minimum=0, unit="um^2")
    shift_add_area_um2: float = option(help="Area of a unit that shifts and adds.", minimum=0, unit="um^2")
    shift_add_energy_pj: float = option(help="Energy of one shift and addition.", minimum=0, unit="pJ")
    activation_area_um2: float = option(help="Area of an activation unit.", minimum=0, unit="um^2")
    register_area_um2_per_byte: float = option(help="Area of registers.", minimum=0, unit="um^2/byte")


@dataclass(frozen=True)
class Target:
    """A hardware description. Without `periphery` there is cell area and wire, and no chip to speak of."""

    name: str = option(help="Name of the target.")
    description: str = option(help="One line about it.")
    crossbar: Arrays = option(help="Sizes of the arrays.")
    cell: Cell = option(help="One crossing of a row and a column.")
    device: Device = option(help="The resistive device.")
    wire: Wire = option(help="Lines inside the arrays and between them.")
    routing: Routing = option(help="Tracks between the arrays.")
    periphery: Periphery | None = option(None, "Converters and digital blocks; without them there is no chip cost.")

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
            near = did_you_mean(place, known)
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
    """Return a dataclass from a table; tables inside it are its fields that are dataclasses."""
    if not isinstance(data, dict):
        raise TargetError(f"{place}: {prefix[:-1]!r} must be a table, as in [{prefix[:-1]}]")
    keys = declarations(cls)
    for key in data:
        if key not in keys:
            raise TargetError(f"{place}: {_unknown(prefix, key, keys)}")
    missing = [name for name, declared in keys.items() if name not in data and declared.is_required]
    if missing:
        raise TargetError(f"{place}: {prefix}{missing[0]} is missing")
    return cls(**{name: _value(keys[name], value, place, f"{prefix}{name}") for name, value in data.items()})


def _value(declared: Declaration, value: Any, place: str, key: str) -> Any:
    wanted = declared.plain_type
    if dataclasses.is_dataclass(wanted):
        return _read(wanted, value, place, f"{key}.")
    kinds = {float: "number", int: "whole number", bool: "boolean", str: "text"}
    if type(value) is int and wanted is float:
        value = float(value)
    if type(value) is not wanted:
        raise TargetError(f"{place}: {key} = {value!r} is not a {kinds[wanted]}")
    if not declared.is_within_bounds(value):
        raise TargetError(f"{place}: {key} = {value:g} is impossible; {declared.bounds}")
    return value


def _unknown(prefix: str, key: str, known: Mapping[str, Any]) -> str:
    stem = re.sub(r"_[^_]+$", "", key)
    same = [name for name in known if re.sub(r"_[^_]+$", "", name) == stem]
    if same and "_" in key:
        near = difflib.get_close_matches(key, same, n=1, cutoff=0)[0]
        return f"{prefix}{key}: this is given as {near!r}, in its unit"
    return f"{prefix}{key}: unknown{did_you_mean(key, known)}; there are {', '.join(known)}"


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
