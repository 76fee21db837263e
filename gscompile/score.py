"""How good outputs are, in percent: accuracy on labels, or agreement with the original network, or as a user says.

An output of *classes* is [n, classes], or anything whose last axis holds probabilities; it is judged by where its
largest entry is. Any other floating output is judged by the share of the original's variance that it explains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.user_function import UserFunction

Outputs = Mapping[str, Any]
Judged = tuple[Outputs, Outputs, NDArray[Any] | None]  # outputs, the original's outputs, labels
ACCURACY = "accuracy"
AGREEMENT = "agreement with the original"


@dataclass(frozen=True)
class Metric:
    """`name` says what is measured; `classes` and `values` are the outputs that it looks at, unless `function` does."""

    name: str
    classes: tuple[str, ...]
    values: tuple[str, ...]
    function: UserFunction | None = None

    def by(self, given: Any) -> Metric:
        """The same outputs, judged by a user's function. Raises UsageError."""
        function = UserFunction.of("metric", given)
        return replace(self, name=function.name, function=function)

    def score(self, batches: Iterable[Judged]) -> float:
        """Percent, from (outputs, the original's outputs, labels) batch by batch; 100 is as good as can be."""
        return self._by_outputs(batches) if self.function is None else _by_function(self.function, batches)

    def _by_outputs(self, batches: Iterable[Judged]) -> float:
        right, seen = dict.fromkeys(self.classes, 0.0), dict.fromkeys(self.classes, 0)
        error, variance = dict.fromkeys(self.values, 0.0), dict.fromkeys(self.values, 0.0)
        for outputs, reference, labels in batches:
            for name in self.classes:
                said = np.asarray(outputs[name]).argmax(-1)
                wanted = labels if self.name == ACCURACY else np.asarray(reference[name]).argmax(-1)
                right[name] += float((said == wanted).sum())
                seen[name] += said.size
            for name in self.values:
                wanted = np.asarray(reference[name], np.float64)
                error[name] += float(np.square(outputs[name] - wanted).sum())
                variance[name] += float(np.square(wanted - wanted.mean()).sum())
        shares = [right[n] / max(seen[n], 1) for n in self.classes]
        shares += [max(0.0, 1 - error[n] / max(variance[n], 1e-30)) if error[n] else 1.0 for n in self.values]
        return 100.0 * min(shares, default=1.0)


def _by_function(function: UserFunction, batches: Iterable[Judged]) -> float:
    """The mean of what a function says of each batch, by its number of samples; NaN is as bad as can be."""
    total, seen = 0.0, 0
    for outputs, reference, labels in batches:
        said = function(dict(outputs), dict(reference), labels)
        if not isinstance(said, float | int | np.number | np.ndarray) or np.ndim(said):
            raise function.wrong(f"returned a {type(said).__name__}; a number is needed: percent of one batch")
        samples = _samples(outputs, labels)
        total, seen = total + samples * float(said), seen + samples
    share = total / max(seen, 1)
    return -math.inf if math.isnan(share) else share


def _samples(outputs: Outputs, labels: NDArray[Any] | None) -> int:
    """How many samples a batch has: labels, or the rows of its first output."""
    arrays = (labels, *outputs.values())
    return next((len(a) for a in arrays if isinstance(a, np.ndarray) and a.ndim), 1)


def choose_metric(outputs: Outputs, labels: NDArray[Any] | None) -> Metric:
    """What to measure, from the original's outputs on one batch: labels count where an output tells classes."""
    floats = [name for name, array in outputs.items() if is_floating(array)]
    classes = tuple(name for name in floats if tells_classes(np.asarray(outputs[name])))
    if labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu":
        fitting = [name for name in classes if np.asarray(outputs[name]).shape[:-1] == labels.shape]
        if fitting:
            return Metric(ACCURACY, (fitting[0],), ())
    return Metric(AGREEMENT, classes, tuple(name for name in floats if name not in classes))


def is_floating(array: Any) -> bool:
    """Whether an output is an array of floating numbers (not a sequence, a string or an index)."""
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def tells_classes(array: NDArray[Any]) -> bool:
    """[n, classes] with at least two, or probabilities along the last axis."""
    if array.ndim < 2 or array.shape[-1] < 2 or not array.size:
        return False
    return array.ndim == 2 or is_probability(array)


def is_probability(array: NDArray[Any]) -> bool:
    """Whether the last axis sums to one and nothing is negative."""
    return bool(array.size and array.min() >= 0 and np.allclose(array.sum(-1), 1, atol=1e-3))
