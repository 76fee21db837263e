"""How good outputs are, in percent: accuracy on labels, or agreement with the original network, or as a user says.

An output of *classes* is [n, classes], or anything whose last axis holds probabilities; it is judged by where its
largest entry is. Any other floating output is judged by the share of the original's variance that it explains.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.scoring.explained_variance import Closeness
from gscompile.user_function import UserFunction

Outputs = Mapping[str, Any]
Judged = tuple[Outputs, Outputs, NDArray[Any] | None]  # outputs, the original's outputs, labels
ACCURACY = "accuracy"
AGREEMENT = "agreement with the original"
EXPECTED = "expected accuracy"
# Samples that have to tell something before classes alone decide: with none of n gone wrong, less than 3 / n of all
# samples do, 19 times out of 20.
MIN_INFORMATIVE = 50
SURE = 0.5  # mean probability of the class that is said; below it, any other class costs next to nothing


@dataclass(frozen=True)
class Metric:
    """`name` says what is measured; `classes` and `values` are the outputs that it looks at, unless `function` does.

    Values count as unchanged where none is off by more than `tolerance` of what the original's vary by.
    """

    name: str
    classes: tuple[str, ...]
    values: tuple[str, ...]
    tolerance: float = 0.0
    function: UserFunction | None = None

    @property
    def looks_closely(self) -> bool:
        """Whether outputs of classes are compared as values, too."""
        return not set(self.classes).isdisjoint(self.values)

    def closely(self) -> Metric:
        """The same for data that is too little for classes alone: agreement with the original in every value."""
        return replace(self, name=AGREEMENT, values=tuple(dict.fromkeys((*self.classes, *self.values))))

    def expected(self) -> Metric:
        """Return the accuracy expected by the original's probabilities, in the place of agreement."""
        return replace(self, name=EXPECTED)

    def by(self, given: Any) -> Metric:
        """The same outputs, judged by a user's function. Raises UsageError."""
        function = UserFunction.of("metric", given)
        return replace(self, name=function.name, function=function)

    def score(self, batches: Iterable[Judged]) -> float:
        """Percent, from (outputs, the original's outputs, labels) batch by batch; 100 is as good as can be."""
        return self._by_outputs(batches) if self.function is None else _by_function(self.function, batches)

    def _by_outputs(self, batches: Iterable[Judged]) -> float:
        right, seen = dict.fromkeys(self.classes, 0.0), dict.fromkeys(self.classes, 0)
        near = {name: Closeness() for name in self.values}
        for outputs, reference, labels in batches:
            for name in self.classes:
                said = np.asarray(outputs[name]).argmax(-1)
                right[name] += self._right(said, np.asarray(reference[name]), labels)
                seen[name] += said.size
            for name in self.values:
                near[name].add(np.asarray(outputs[name]), np.asarray(reference[name]))
        shares = [right[n] / max(seen[n], 1) for n in self.classes]
        shares += [closeness.share(self.tolerance) for closeness in near.values()]
        return 100.0 * min(shares, default=1.0)

    def _right(self, said: NDArray[Any], reference: NDArray[Any], labels: NDArray[Any] | None) -> float:
        """Return how many classes are right, by labels or by the original's outputs; the expectation of it."""
        if self.name == EXPECTED:
            return float(np.take_along_axis(probabilities(reference), said[..., None], -1).sum())
        return float((said == (labels if self.name == ACCURACY else reference.argmax(-1))).sum())


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


def standard_error(percent: float, count: int) -> float:
    """Of a share of `count` samples, in points; a share of nearly all is taken as 99 %.

    >>> round(standard_error(90.0, 900), 3)
    1.0
    """
    share = min(max(percent / 100, 0.01), 0.99)
    return 100.0 * math.sqrt(share * (1 - share) / count)


def informative_samples(metric: Metric, batches: Iterable[tuple[Outputs, NDArray[Any] | None, float]]) -> float:
    """How many samples tell whether classes are still right, from (the original's outputs, labels, most) by batch.

    A network that always gives the commonest class is right about all samples of that class, so these do not count. Of
    several outputs the one that tells least; no end of samples where no output tells classes. `most` bounds the samples
    of a batch, whose outputs may have several rows for each.

    >>> outputs = {"y": np.array([[1, 0], [1, 0], [1, 0], [0, 1]])}
    >>> informative_samples(Metric(AGREEMENT, ("y",), ()), [(outputs, None, 4)])
    1.0
    """
    samples, counts = dict.fromkeys(metric.classes, 0.0), {name: Counter[int]() for name in metric.classes}
    for outputs, labels, most in batches:
        for name in metric.classes:
            array = np.asarray(outputs[name])
            right = array.argmax(-1) if metric.name != ACCURACY or labels is None else labels
            samples[name] += min(len(array), most)
            counts[name].update(right.ravel().tolist())
    shares = ((name, max(c.values(), default=0) / max(c.total(), 1)) for name, c in counts.items())
    return min((samples[name] * (1 - share) for name, share in shares), default=float("inf"))


def choose_metric(outputs: Outputs, labels: NDArray[Any] | None, tolerance: float = 0.0) -> Metric:
    """What to measure, from the original's outputs on one batch: labels count where an output tells classes."""
    floats = [name for name, array in outputs.items() if is_floating(array)]
    classes = tuple(name for name in floats if tells_classes(np.asarray(outputs[name])))
    if labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu":
        fitting = [name for name in classes if np.asarray(outputs[name]).shape[:-1] == labels.shape]
        if fitting:
            return Metric(ACCURACY, (fitting[0],), (), tolerance)
    return Metric(AGREEMENT, classes, tuple(name for name in floats if name not in classes), tolerance)


def is_floating(array: Any) -> bool:
    """Whether an output is an array of floating numbers (not a sequence, a string or an index)."""
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def tells_classes(array: NDArray[Any]) -> bool:
    """[n, classes] with at least two, or probabilities along the last axis."""
    if array.ndim < 2 or array.shape[-1] < 2 or not array.size:
        return False
    return array.ndim == 2 or is_probability(array)


def probabilities(array: NDArray[Any]) -> NDArray[np.float64]:
    """Return outputs of classes as probabilities along the last axis: as they are, or by the softmax of logits."""
    array = np.asarray(array, np.float64)
    if is_probability(array):
        return array
    powers = np.exp(array - array.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float64)


def is_probability(array: NDArray[Any]) -> bool:
    """Whether the last axis sums to one and nothing is negative."""
    return bool(array.size and array.min() >= 0 and np.allclose(array.sum(-1), 1, atol=1e-3))
