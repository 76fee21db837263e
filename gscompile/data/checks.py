"""Does the data fit the network: names, types, sizes, values, labels. One clear line when it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.data.inputs import InputSpec
from gscompile.data.sources import LABELS, SamplePart
from gscompile.errors import DataError
from gscompile.files.npz import Stored

_CHECKED_BYTES = 8 * 2**20  # how much of an array is looked at in one go


def check_part(part: SamplePart, specs: Sequence[InputSpec]) -> None:
    """Raise DataError when names, types or sizes of one part do not fit the inputs."""
    _check_names(part, [spec.name for spec in specs])
    for spec in specs:
        stored = part.arrays[spec.name]
        _check_dtype(part, spec, stored.dtype)
        _check_shape(part, spec, stored.shape)
    if LABELS in part.arrays and part.arrays[LABELS].dtype.hasobject:
        raise DataError(f"{part.name}: '{LABELS}' holds Python objects: give numbers")


def _check_names(part: SamplePart, names: list[str]) -> None:
    found = ", ".join(f"'{name}'" for name in part.arrays) or "nothing"
    for name in names:
        if name not in part.arrays:
            raise DataError(f"{part.name}: no array for input '{name}', found {found}")
    for name in part.arrays:
        if name not in names and name != LABELS:
            known = ", ".join(f"'{known}'" for known in names) or "none"
            raise DataError(
                f"{part.name}: no input is called '{name}': the inputs are {known}, and '{LABELS}' is allowed"
            )


def _check_dtype(part: SamplePart, spec: InputSpec, found: np.dtype[Any]) -> None:
    if _castable(found, spec.dtype):
        return
    how = f"save it as {spec.dtype}"
    if found.kind in "iu" and _is_float(spec.dtype):
        how += ", scaled as the network was trained"
    raise DataError(f"{part.name}: '{spec.name}' is {found} and the network takes {spec.dtype}: {how}")


def _castable(found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Any float to any float; else what keeps its kind and every value: a picture's bytes are not floats."""
    if wanted.hasobject:
        return found.kind in "OUT"
    if found.newbyteorder("=") == wanted or (_is_float(found) and _is_float(wanted)):
        return True
    kinds = {found.kind, wanted.kind}
    return (len(kinds) == 1 or kinds == {"i", "u"}) and np.can_cast(found, wanted, "safe")


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.name.startswith(("float", "bfloat"))  # bfloat16 has a kind of its own


def _check_shape(part: SamplePart, spec: InputSpec, shape: tuple[int, ...]) -> None:
    if spec.shape is None:
        return
    what = f"{part.name}: '{spec.name}' is {list(shape)} and the network takes {spec}"
    if len(shape) != len(spec.shape):
        raise DataError(f"{what}: {len(shape)} axes, not {len(spec.shape)}")
    for axis, (found, wanted) in enumerate(zip(shape, spec.shape, strict=True)):
        if axis > 0 and isinstance(wanted, int) and found != wanted:
            raise DataError(f"{what}: axis {axis} is {found}, not {wanted}")


def check_finite(part: SamplePart, dtypes: Mapping[str, np.dtype[Any]]) -> None:
    """Raise DataError at the first NaN or infinity, after the cast to `dtypes`; reads a block at a time."""
    for name, stored in part.arrays.items():
        if _is_float(stored.dtype):
            _check_values(part, name, dtypes.get(name, stored.dtype))


def _check_values(part: SamplePart, name: str, dtype: np.dtype[Any]) -> None:
    for start, values in _blocks(part.arrays[name]):
        with np.errstate(over="ignore"):  # a number too large for the network's type is found as infinity
            block = values.astype(dtype, copy=False)
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            found = f"{block[tuple(bad[0])]} (as {dtype}) in sample {start + bad[0][0]} (from 0)"
            raise DataError(f"{part.name}: '{name}' holds {found}: mend or remove it")


def _blocks(stored: Stored) -> Iterator[tuple[int, NDArray[Any]]]:
    """The rows of an array a few at a time, with the number of the first."""
    if not stored.shape:
        yield 0, np.atleast_1d(stored.read())
        return
    count = stored.shape[0]
    step = max(1, _CHECKED_BYTES // max(prod(stored.shape[1:]) * stored.dtype.itemsize, 1))
    for start in range(0, count, step):
        yield start, stored.rows(np.arange(start, min(start + step, count)))


def check_part_labels(part: SamplePart, classes: int) -> None:
    """Raise DataError unless each sample of the part has an integer label from 0 to `classes` - 1."""
    stored = part.arrays[LABELS]
    if len(stored.shape) != 1 or stored.dtype.kind not in "iu":
        raise DataError(f"{part.name}: '{LABELS}' is {stored.dtype} {list(stored.shape)}: give one integer a sample")
    labels = stored.read()
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise DataError(
            f"{part.name}: label {labels[bad[0]]} of sample {bad[0]} (from 0) is outside 0..{classes - 1}:"
            f" the network has {classes} classes"
        )
