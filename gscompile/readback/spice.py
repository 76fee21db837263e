"""Read `<network>.sp`, the file of each matrix and its deck back, as `targets/spice.py` writes them.

A tile is a subcircuit of two resistors a cell. On a target that comes with gscompile the resistances are compared with
the weights.

A tile is a subcircuit of two resistors a cell; on a target that comes with gscompile, these stand for its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gscompile.crossbars.netlist import Matrix
from gscompile.errors import VerificationError
from gscompile.hardware.conductance import to_pair, weight_per_siemens
from gscompile.hardware.target import Device, Target, load_target, shipped_targets
from gscompile.readback.facts import Fact, Source, compare, lines_of
from gscompile.targets.modules import Hierarchy
from gscompile.targets.spice import parts_of

Weights = NDArray[np.generic]
_OHMS = 1e-9  # relative tolerance of a resistance, which is written with all digits of a double


def files(hierarchy: Hierarchy) -> list[str]:
    """Return the names of the files of this format: the file that includes the others, then two for each matrix."""
    names = [hierarchy.names.matrix(matrix.name) for matrix in hierarchy.matrices()]
    return [f"{hierarchy.names.top}.sp", *(f"{name}{end}" for name in names for end in (".sp", "_read.sp"))]


def check(source: Source) -> int:
    """Return the number of facts that agree with the netlist. Raises VerificationError for the first that does not."""
    hierarchy = source.hierarchy
    top = f"{hierarchy.names.top}.sp"
    source = replace(source, target=_written_for(source, top))
    count = compare(top, _statements(lines_of(source.folder / top)), _asked_of_top(hierarchy))
    for matrix in hierarchy.matrices():
        name = hierarchy.names.matrix(matrix.name)
        count += _check_library(source, matrix, f"{name}.sp")
        deck = _statements(lines_of(source.folder / f"{name}_read.sp"))
        count += compare(f"{name}_read.sp", map(_without_volts, deck), _asked_of_deck(hierarchy, matrix))
    return count


def _written_for(source: Source, top: str) -> Target | None:
    """Return the target that the file names, the folder's or another of gscompile; None for an unknown target."""
    first = next(iter(lines_of(source.folder / top)), "")
    name = first.rpartition(" for ")[2]
    if source.target is None or name == source.target.name:
        return source.target
    return load_target(name) if name in shipped_targets() else None


def _statements(lines: Iterable[str]) -> Iterator[Fact]:
    """Yield the words of each statement, with continued lines joined and comments left out."""
    words: list[str] = []
    for line in lines:
        if line.startswith("+"):
            words += line[1:].split()
        elif not line.startswith("*"):
            if words:
                yield tuple(words)
            words = line.split()
    if words:
        yield tuple(words)


def _asked_of_top(hierarchy: Hierarchy) -> Iterator[Fact]:
    yield from ((".include", f"{hierarchy.names.matrix(matrix.name)}.sp") for matrix in hierarchy.matrices())
    yield from ((f"V_{net}", net, "0", "0") for net in hierarchy.tied_nets())


def _without_volts(words: Fact) -> Fact:
    """Return the source of a deck without its voltage, which is an option of the format."""
    return words[:-1] if words[0].startswith("V_") else words


def _asked_of_deck(hierarchy: Hierarchy, matrix: Matrix) -> Iterator[Fact]:
    module = hierarchy.matrix_module(matrix)
    yield ".include", f"{module.name}.sp"
    yield from ((f"V_{port.name}", port.name, "0") for port in module.ports if port.direction == "input")
    yield from ((".control",), ("set", "numdgt=15"), ("op",))
    yield from (("print", f"v({port.name})") for port in module.ports if port.direction == "inout")
    yield from (("quit",), (".endc",), (".end",))


# -- a matrix -----------------------------------------------------------------------------------------------


def _check_library(source: Source, matrix: Matrix, name: str) -> int:
    """Compare the subcircuits of a matrix, then their calls and sense sources."""
    statements = _statements(lines_of(source.folder / name))
    device = source.target.device if source.target else None
    largest = max(float(np.abs(source.weights[tile.name]).max()) for tile in matrix.tiles)
    count = 0
    for tile in matrix.tiles:
        weights = source.weights[tile.name]
        for suffix, rows, cols in parts_of(*weights.shape):
            called = f"{source.hierarchy.names.tile(tile.name)}{suffix}"
            count += _check_tile(name, called, statements, weights[rows, cols], largest, device)
    ohms = weight_per_siemens(largest, device) if device else None
    return count + compare(name, (_plain(words, ohms) for words in statements), _asked_of(source.hierarchy, matrix))


def _check_tile(
    file: str,
    name: str,
    statements: Iterator[Fact],
    weights: NDArray[np.generic],
    largest: float,
    device: Device | None,
) -> int:
    """Compare two resistors a cell, each between its row and its half of the bit line."""
    rows, cols = weights.shape
    pins = [f"r{r}" for r in range(rows)] + [f"{side}{c}" for side in "pn" for c in range(cols)]
    compare(file, (_next(file, statements),), ((".subckt", name, *pins),))
    ohms = np.empty((2, rows, cols))
    for half, side in enumerate("pn"):
        for r in range(rows):
            for c in range(cols):
                words = _next(file, statements)
                if words[:-1] != (f"R{side}{r}_{c}", f"r{r}", f"{side}{c}"):
                    raise VerificationError(f"{file}: {' '.join(words)[:80]}: expected R{side}{r}_{c} of {name}")
                ohms[half, r, c] = _number(file, words[-1])
    compare(file, (_next(file, statements),), ((".ends", name),))
    _check_ohms(file, name, ohms, weights, largest, device)
    return ohms.size


def _check_ohms(
    file: str, name: str, ohms: NDArray[np.float64], weights: Weights, largest: float, device: Device | None
) -> None:
    if device is None:
        wrong = ~(ohms > 0)
    else:
        pair = to_pair(weights, largest, device)
        wrong = ~np.isclose(ohms * np.stack([pair.plus, pair.minus]), 1, rtol=0, atol=_OHMS)
    if wrong.any():
        half, row, col = np.argwhere(wrong)[0].tolist()
        raise VerificationError(
            f"{file}: R{'pn'[half]}{row}_{col} of {name} has {ohms[half, row, col]:g} ohms; its weight asks for another"
        )


def _next(file: str, statements: Iterator[Fact]) -> Fact:
    words = next(statements, None)
    if words is None:
        raise VerificationError(f"{file}: ends within its tiles")
    return words


def _number(file: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as problem:
        raise VerificationError(f"{file}: {text[:40]!r}: expected a resistance") from problem


def _asked_of(hierarchy: Hierarchy, matrix: Matrix) -> Iterator[Fact]:
    """Yield calls of the tiles, then two sense sources and two outputs for each column of the matrix."""
    for tile in matrix.tiles:
        instance = hierarchy.tile_instance(tile)
        rows, cols = instance.connections["row"], instance.connections["col"]
        for suffix, down, across in parts_of(len(rows), len(cols)):
            halves = [f"{net}.{side}" for side in "pn" for net in cols[across]]
            yield f"X{instance.name}{suffix}", *rows[down], *halves, f"{instance.name}{suffix}"
    for port in hierarchy.matrix_module(matrix).ports:
        if port.direction == "inout":
            net = port.name
            yield from ((f"V{side}_{net}", f"{net}.{side}", "0", "0") for side in "pn")
            yield f"Hp_{net}", net, f"{net}.m", f"Vp_{net}", 1
            yield f"Hn_{net}", f"{net}.m", "0", f"Vn_{net}", -1


def _plain(words: Fact, ohms: float | None) -> Fact:
    """Return a current-controlled source with its gain relative to `ohms`, or with the gain's sign if unknown."""
    if not words[0].startswith("H") or len(words) != 5:
        return words
    try:
        gain = float(words[-1])
    except ValueError:
        return words
    part = gain / ohms if ohms else np.sign(gain)
    return (*words[:-1], round(part) if abs(part - round(part)) <= _OHMS else part)
