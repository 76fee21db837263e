"""Samples for tuning and evaluation: left where they are, checked against the inputs, handed out in batches.

Three kinds of arrays are told apart by comparing shapes with the network's inputs:

* most have one sample in each row (axis 0);
* an array with exactly the shape of an input of fixed shape (a sampling rate, a zero state) is a constant,
  the same in every batch;
* where the rows cannot be told (a state `[2, batch, 64]`, files with images of different sizes, states that
  differ from file to file) each file or yielded mapping is one ready-made batch, passed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.data.checks import check_finite, check_part, check_part_labels
from gscompile.data.inputs import InputSpec, all_int, batch_size_for, input_specs, is_state
from gscompile.data.sources import LABELS, SamplePart, parts_of
from gscompile.errors import DataError

__all__ = [
    "LABELS",
    "Batch",
    "Dataset",
    "InputSpec",
    "batch_size_for",
    "check_labels",
    "input_specs",
    "load_data",
]


@dataclass(frozen=True)
class Batch:
    """Inputs by name, and labels [n, ...] when there are any; the arrays are copies and may be changed."""

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any] | None

    @property
    def rows(self) -> int:
        """Return the number of samples: the longest first axis of the inputs, at least 1."""
        return max((len(array) for array in self.inputs.values() if array.ndim), default=1) or 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in order, gathered from their files by index, so that shuffling and splitting copy nothing.

    `ready_made`: a sample is one whole batch as the user gave it, and labels are passed on unexamined.
    `fixed_batch`: the only batch size the network takes, when its inputs fix one; a shorter rest is then
    never handed out.
    """

    parts: tuple[SamplePart, ...]
    dtypes: Mapping[str, np.dtype[Any]]  # what each input is cast to
    constants: Mapping[str, NDArray[Any]]
    order: NDArray[np.int64]  # this dataset's samples, counted through all parts
    has_labels: bool
    ready_made: bool
    fixed_batch: int | None

    def __len__(self) -> int:
        return len(self.order)

    def batch(self, indices: NDArray[Any]) -> Batch:
        """The samples at `indices` [n], in that order; of ready-made batches, one index at a time."""
        rows = self.order[indices]
        if self.ready_made:
            return self._ready(rows)
        inputs = {name: self._input(name, rows) for name in self.dtypes}
        return Batch(inputs, self._gather(LABELS, rows, None) if self.has_labels else None)

    def batches(self, size: int, seed: int | None = None, drop_last: bool = False) -> Iterator[Batch]:
        """Every sample once, `size` at a time (or each ready-made batch); shuffled when a seed is given."""
        yield from map(self.batch, self.rows(size, seed, drop_last))

    def rows(
        self, size: int, seed: int | None = None, drop_last: bool = False, skip: int = 0
    ) -> Iterator[NDArray[np.int64]]:
        """The rows of each of these batches, from batch `skip` on."""
        unit = self.unit(size)
        if unit < 1:
            raise ValueError(f"batches of {unit} samples")
        order = np.arange(len(self)) if seed is None else np.random.default_rng(seed).permutation(len(self))
        whole_only = drop_last or self.fixed_batch is not None
        for start in range(skip * unit, len(order) - unit + 1 if whole_only else len(order), unit):
            yield order[start : start + unit]

    def unit(self, size: int) -> int:
        """How many rows a batch of `size` samples has: one, where batches are ready-made."""
        return 1 if self.ready_made else size

    def take(self, count: int) -> Dataset:
        """The first `count` samples, or all when there are fewer."""
        return replace(self, order=self.order[: max(count, 0)])

    def split(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Two disjoint datasets, the rest and a random part of about `fraction`, neither of them empty.

        With a fixed batch the part is a number of whole batches. DataError when there is too little to split.
        """
        unit = self.fixed_batch or 1
        if self.ready_made and len(self) < 2:
            raise DataError(
                "the data is one batch, because its inputs do not all have their samples on axis 0: a part to decide "
                "on cannot be split off; expected at least 2 batches (a file for each in a folder), or --val"
            )
        if len(self) < 2 * unit:
            samples = "1 sample" if len(self) == 1 else f"{len(self):,} samples"
            raise DataError(f"{samples} cannot be split in two: give at least {2 * unit}")
        units = min(max(round(len(self) * fraction / unit), 1), len(self) // unit - 1)
        mixed = np.random.default_rng(seed).permutation(len(self))
        part, rest = (
            np.sort(mixed[: units * unit]),
            np.sort(mixed[units * unit :]),
        )  # sorted: read front to back
        return replace(self, order=self.order[rest]), replace(self, order=self.order[part])

    def _input(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        if name in self.constants:
            return self.constants[name].copy()
        return self._gather(name, rows, self.dtypes[name])

    def _gather(self, name: str, rows: NDArray[np.int64], dtype: np.dtype[Any] | None) -> NDArray[Any]:
        """Rows of one array in the order asked; each file is opened once and read front to back."""
        stored = [part.arrays[name] for part in self.parts]
        gathered = np.empty((len(rows), *stored[0].shape[1:]), dtype or np.result_type(*{s.dtype for s in stored}))
        sorted_ = np.argsort(rows, kind="stable")
        owner = np.searchsorted(self._starts, rows[sorted_], side="right") - 1
        for number in np.unique(owner):
            here = sorted_[owner == number]
            gathered[here] = stored[number].rows(rows[here] - self._starts[number])
        return gathered

    def _ready(self, rows: NDArray[np.int64]) -> Batch:
        if len(rows) != 1:
            raise ValueError(f"{len(rows)} ready-made batches asked for at once: ask for one")
        arrays = self.parts[rows[0]].arrays
        inputs = {name: np.array(arrays[name].read(), dtype) for name, dtype in self.dtypes.items()}
        return Batch(inputs, np.array(arrays[LABELS].read()) if self.has_labels else None)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """The number of each part's first sample."""
        name = next(name for name in self.dtypes if name not in self.constants)
        return np.cumsum([0, *(part.arrays[name].shape[0] for part in self.parts[:-1])])


def load_data(source: Any, specs: Sequence[InputSpec]) -> Dataset:
    """The samples of `source`, checked.

    `source`: the path of an .npz with an array per input and optionally `labels`; a folder of such files,
    taken in order of name; `package.module:function`, or the function, returning batches (mappings of arrays,
    or pairs of such a mapping and labels) or an onnxruntime CalibrationDataReader; a mapping of arrays; a
    Dataset. The batches of a function are kept in memory, files are not.

    DataError, in one line, for whatever does not fit the inputs: a name, a type, a shape, a count, a NaN.
    """
    if isinstance(source, Dataset):
        return source
    parts = tuple(parts_of(source, "data"))
    if not parts:
        raise DataError("the data has no batches: give at least one")
    for part in parts:
        check_part(part, specs)
    dataset = _arranged(parts, specs)
    for part in parts:
        check_finite(part, dataset.dtypes)
    return dataset


def check_labels(dataset: Dataset, classes: int) -> None:
    """Raise DataError unless each sample of the files has an integer label from 0 to `classes` - 1."""
    if not dataset.has_labels:
        raise DataError(f"the data has no '{LABELS}': add an integer array with the class of each sample")
    for part in dataset.parts:
        check_part_labels(part, classes)


def labels_fault(dataset: Dataset) -> str | None:
    """Return why the labels are no classes, where their shape tells: a column, one-hot rows, or no whole numbers."""
    stored = dataset.parts[0].arrays[LABELS] if dataset.has_labels and not dataset.ready_made else None
    if stored is None or (len(stored.shape) == 1 and stored.dtype.kind in "iu"):
        return None
    remedy = ""
    if len(stored.shape) == 2:
        remedy = ": give labels[:, 0]" if stored.shape[1] == 1 else "; of one-hot rows give labels.argmax(axis=1)"
    return (
        f"{dataset.parts[0].name}: '{LABELS}' is {stored.dtype} {list(stored.shape)}, expected one whole number for "
        f"each sample, [{stored.shape[0] if stored.shape else 'samples'}]{remedy}"
    )


def _arranged(parts: tuple[SamplePart, ...], specs: Sequence[InputSpec]) -> Dataset:
    labelled = _are_labelled(parts, specs)
    rows, constants = _roles(parts, specs)
    dtypes = {spec.name: spec.dtype for spec in specs}
    if _is_ready_made(parts, rows, constants, labelled):
        return Dataset(
            parts=parts,
            dtypes=dtypes,
            constants={},
            order=np.arange(len(parts)),
            has_labels=labelled,
            ready_made=True,
            fixed_batch=None,
        )
    total = sum(_checked_count(part, rows, labelled) for part in parts)
    fixed = _fixed_batch(rows, constants)
    if total < (fixed or 1):
        raise DataError(
            f"{parts[0].name}: {total} samples, and the network's batch is fixed at {fixed}: give that many"
        )
    shared = {spec.name: np.array(parts[0].arrays[spec.name].read(), spec.dtype) for spec in constants}
    return Dataset(
        parts=parts,
        dtypes=dtypes,
        constants=shared,
        order=np.arange(total),
        has_labels=labelled,
        ready_made=False,
        fixed_batch=fixed,
    )


def _are_labelled(parts: tuple[SamplePart, ...], specs: Sequence[InputSpec]) -> bool:
    """Whether there are labels; DataError when only some parts have them. An input may be called so too."""
    if any(spec.name == LABELS for spec in specs):
        return False
    without = [part.name for part in parts if LABELS not in part.arrays]
    if 0 < len(without) < len(parts):
        raise DataError(f"{without[0]}: no '{LABELS}', and other parts of the data have them: give all or none")
    return not without


def _roles(parts: tuple[SamplePart, ...], specs: Sequence[InputSpec]) -> tuple[list[InputSpec], list[InputSpec]]:
    """Inputs with a sample in each row, and inputs given whole; with equal counts, wholes are rows too."""
    whole = [spec for spec in specs if _is_whole(spec, parts)]
    rows = [spec for spec in specs if spec not in whole]
    counts = {spec.shape[0] for spec in whole if spec.shape}
    if not rows and len(counts) == 1 and 0 not in counts:
        rows = [spec for spec in whole if spec.shape]
        whole = [spec for spec in whole if not spec.shape]
    return rows, whole


def _is_whole(spec: InputSpec, parts: tuple[SamplePart, ...]) -> bool:
    """True when every part gives the input with its own fixed first size, or it has no axis at all."""
    shapes = [part.arrays[spec.name].shape for part in parts]
    first = spec.shape[0] if spec.shape else None
    return all(not shape or (isinstance(first, int) and shape[0] == first) for shape in shapes)


def _is_ready_made(
    parts: tuple[SamplePart, ...], rows: list[InputSpec], constants: list[InputSpec], labelled: bool
) -> bool:
    if not rows or not all(all_int(spec.shape or ()) for spec in constants):
        return True  # nothing to count by, or a batch axis that is not the first
    if not labelled and any(_counted_apart(part, rows) for part in parts):
        return True
    return len(parts) > 1 and (
        any(is_state(spec) or _differs(spec, parts) for spec in constants)
        or any(_is_uneven(name, parts) for name in [spec.name for spec in rows] + [LABELS] * labelled)
    )


def _counted_apart(part: SamplePart, rows: list[InputSpec]) -> bool:
    """Different counts where the network names the axes differently, as in a graph's nodes and edges."""
    names = {spec.shape[0] for spec in rows if spec.shape}
    counts = {part.arrays[spec.name].shape[0] for spec in rows}
    return len(counts) == len(names) > 1 and all(isinstance(name, str) for name in names)


def _is_uneven(name: str, parts: tuple[SamplePart, ...]) -> bool:
    """Whether the samples of one file have another shape than those of the next."""
    return len({part.arrays[name].shape[1:] for part in parts}) > 1


def _differs(spec: InputSpec, parts: tuple[SamplePart, ...]) -> bool:
    first = parts[0].arrays[spec.name].read()
    return any(not np.array_equal(first, part.arrays[spec.name].read()) for part in parts[1:])


def _checked_count(part: SamplePart, rows: list[InputSpec], labelled: bool) -> int:
    """The number of samples of a part; DataError when its arrays disagree, or it is empty."""
    counts = {spec.name: part.arrays[spec.name].shape[0] for spec in rows}
    name, count = next(iter(counts.items()))
    if labelled:
        counts[LABELS] = (*part.arrays[LABELS].shape, 0)[0]
    for other, found in counts.items():
        if found != count:
            raise DataError(
                f"{part.name}: '{name}' has {count} samples and '{other}' {found}: give a row for each sample"
            )
    if count == 0:
        raise DataError(f"{part.name}: '{name}' has no samples")
    return count


def _fixed_batch(rows: list[InputSpec], constants: list[InputSpec]) -> int | None:
    sizes = [spec.shape[0] for spec in rows if spec.shape] + [
        spec.shape[1] for spec in constants if spec.shape and is_state(spec)
    ]
    return next((size for size in sizes if isinstance(size, int)), None)
