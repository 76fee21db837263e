"""Labels in the two other forms that class numbers come in: a column [n, 1], and one-hot rows [n, classes]."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.data.dataset import Dataset
from gscompile.data.sources import LABELS
from gscompile.files.npz import Stored, held


def with_class_numbers(data: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """Return the data with one whole number as the label of each sample, and a line that says how labels were read.

    Data whose labels have another form, or are none, is returned as it is, without a line.
    """
    if not data.has_labels or data.ready_made:
        return data, ()
    stored = [part.arrays[LABELS] for part in data.parts]
    shape = stored[0].shape
    if any(len(s.shape) != 2 or s.shape[1] != shape[1] for s in stored):
        return data, ()
    read = [_numbers(s) for s in stored]
    numbers = [array for array in read if array is not None]
    if len(numbers) < len(stored):
        return data, ()
    parts = tuple(
        replace(part, arrays={**part.arrays, LABELS: held(array)})
        for part, array in zip(data.parts, numbers, strict=True)
    )
    form = "a column of class numbers" if shape[1] == 1 else "one-hot rows"
    said = (
        f"labels: {form} [{sum(s.shape[0] for s in stored)}, {shape[1]}] are read as one class number for each sample"
    )
    return replace(data, parts=parts), (said,)


def _numbers(stored: Stored) -> NDArray[Any] | None:
    """Return the class number of each row, [n]; None where a row is neither one whole number nor one-hot."""
    rows = stored.read()
    if rows.shape[1] == 1:
        return rows[:, 0] if rows.dtype.kind in "iu" else None
    is_one_hot = rows.shape[1] > 1 and bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())
    return rows.argmax(axis=1) if is_one_hot else None
