"""The data of a compile by its use: training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gscompile.data.dataset import Dataset, InputSpec, load_data
from gscompile.errors import DataError
from gscompile.options import Options

HELD_OUT, HELD_SAMPLES = 0.1, 200  # of --data without --eval: a tenth, or so many samples if that is up to half


@dataclass(frozen=True, eq=False)
class Splits:
    """The data by its use: training, validation and test; `split` is the name of the validation data in messages."""

    train: Dataset
    val: Dataset
    test: Dataset | None
    split: str
    messages: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Dataset, ...]:
        """Return the data sets that are given."""
        return tuple(data for data in (self.train, self.val, self.test) if data is not None)


def load_splits(options: Options, specs: tuple[InputSpec, ...]) -> Splits:
    """Load the data of the options. Without validation data, a part of the training data is held out for it.

    Raises DataError if only one of training and validation data has labels.
    """
    train = load_data(options.data, specs)
    test = load_data(options.test, specs) if options.test is not None else None
    if options.eval is None:
        train, val = train.split(held_out_share(train, 0.25 if options.max_drop is None else 0.5), options.seed)
        message = "no --eval: a part of --data decides, on which the original network may have been trained"
        return Splits(train, val, test, split="a part held out of the data", messages=(message,))
    val = load_data(options.eval, specs)
    if train.has_labels != val.has_labels:
        raise DataError("labels: in one of --data and --eval but not in the other; give both or neither")
    return Splits(train, val, test, split="the eval data")


def held_out_share(data: Dataset, most: float = 0.5) -> float:
    """Return the share of the data that is held out for validation: `most` of few samples, a tenth of many."""
    shapes = (array.shape for array in data.batch(np.arange(1)).inputs.values())
    rows = max((shape[0] for shape in shapes if shape), default=1) if data.ready_made else 1
    return max(HELD_OUT, min(most, HELD_SAMPLES / (max(rows, 1) * len(data))))
