"""Synthetic samples on which a candidate is compared with the original network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.data.dataset import Batch
from gscompile.data.synthetic import Filler, Shapes
from gscompile.reporting.report import Confirmation, OutputRange
from gscompile.scoring.explained_variance import differences
from gscompile.scoring.metrics import is_floating
from gscompile.scoring.runner import RunBatch, Runner

MAX_REDRAWS = 16  # draws in the place of one on which the original is not finite
MOST_BYTES = 64 << 20  # of inputs and outputs that one set of samples may hold
FEWEST_OF_KIND = 4  # samples of a kind from which on it has a range of its own
MIN_PROBED_SAMPLES = 4  # samples on which single layers are probed
PASSED_BY = 0.001  # share of further draws that may exceed 1.5 times the bound

Errors = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Draw:
    """One batch, the original's outputs on it, and the names of the groups whose output ranges errors relate to.

    `kinds` has what each sample is, within the group of all; an empty name is for a sample that is no more than one of
    the group. Kinds that do not name every sample are passed over.
    """

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, Any]
    group: str
    kinds: tuple[str, ...] = ()

    @property
    def groups(self) -> list[str]:
        """The group of each sample. [rows]"""
        kinds = self.kinds if len(self.kinds) == self.rows else ("",) * self.rows
        return [f"{self.group}; {each}" if each else self.group for each in kinds]

    @property
    def rows(self) -> int:
        """How many samples the batch has, where all inputs and outputs agree on it; else 1."""
        arrays = [a for a in (*self.inputs.values(), *self.outputs.values()) if isinstance(a, np.ndarray)]
        sizes = {len(array) if array.ndim else 1 for array in arrays}
        return sizes.pop() if len(sizes) == 1 else 1


@dataclass(frozen=True, eq=False)
class Samples:
    """Draws, by which the error of a candidate is measured relative to the output range of each group."""

    draws: Sequence[Draw]
    ranges: Mapping[tuple[str, str], tuple[float, float]] = field(init=False)
    like: Samples | None = field(default=None, repr=False)  # samples, perhaps more of them, whose ranges are taken
    _known: dict[bytes, Errors] = field(default_factory=dict, init=False, repr=False)  # by the digest of a runner

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", _ranges(self.draws) if self.like is None else self.like.ranges)

    @property
    def batches(self) -> Iterator[Batch]:
        for draw in self.draws:
            yield Batch(draw.inputs, None)

    @property
    def count(self) -> int:
        return sum(draw.rows for draw in self.draws)

    def drift(self, run: RunBatch) -> float:
        """Return the largest error of a candidate."""
        return float(self.errors(run).max(initial=0.0))

    def errors(self, run: RunBatch) -> Errors:
        """Return the error of each sample: the largest difference of an output, relative to its range. [samples]

        A model of the same bytes is not run again.
        """
        digest = run.digest if isinstance(run, Runner) else None
        errors = self._known.get(digest) if digest else None
        if errors is None:
            errors = np.concatenate([np.zeros(0), *(self.errors_of(run, draw) for draw in self.draws)])
        if digest:
            self._known[digest] = errors
        return errors

    @property
    def few(self) -> Sequence[Draw]:
        """The first draws: at least MIN_PROBED_SAMPLES samples, and each group once."""
        groups, rows = {draw.group for draw in self.draws}, 0
        for number, draw in enumerate(self.draws):
            groups, rows = groups - {draw.group}, rows + draw.rows
            if rows >= MIN_PROBED_SAMPLES and not groups:
                return self.draws[: number + 1]
        return self.draws

    def drift_on(self, draws: Sequence[Draw], run: RunBatch) -> float:
        """Return the largest error of a candidate on some of the draws."""
        return max((float(self.errors_of(run, draw).max()) for draw in draws), default=0.0)

    def confirmation(self, run: RunBatch) -> Confirmation:
        """Return what a report says of the errors."""
        errors = self.errors(run)
        ranges = tuple(OutputRange(name, group, *ends) for (name, group), ends in self.ranges.items())
        p99 = float(np.quantile(errors, 0.99, method="higher"))
        return Confirmation(float(errors.max()), p99, self.count, ranges)

    def errors_of(self, run: RunBatch, draw: Draw) -> Errors:
        """Return the errors of one draw. [rows]

        The error of a sample without a floating output is the share of changed values, in the worst output.
        """
        ours, worst = run(draw.inputs), np.zeros(draw.rows)
        if not any(is_floating(theirs) and theirs.size for theirs in draw.outputs.values()):
            arrays = {name: a for name, a in draw.outputs.items() if isinstance(a, np.ndarray) and a.size}
            for name, theirs in arrays.items():
                worst = np.maximum(worst, _changed(ours[name], theirs, draw.rows))
            return worst
        for name, theirs in draw.outputs.items():
            if is_floating(theirs) and theirs.size:
                gap = _gap(ours[name], theirs).reshape(draw.rows, -1).max(1)
                sizes = np.array([self._size(name, group, draw.group) for group in draw.groups])
                worst = np.maximum(worst, np.where(gap > 0, gap / sizes, 0.0))
        return worst

    def _size(self, name: str, group: str, whole: str) -> float:
        """The size of an output's range in a group, or in the whole of which that group has too few samples."""
        low, high = self.ranges.get((name, group)) or self.ranges[name, whole]
        return (high - low or max(abs(high), 1e-30)) if low <= high else 1e-30


def _changed(ours: NDArray[Any], theirs: NDArray[Any], rows: int) -> Errors:
    """Return the share of the values of each row that differ. [rows]"""
    if np.shape(ours) != np.shape(theirs):
        return np.ones(rows)
    return np.asarray((ours != theirs).reshape(rows, -1).mean(1), np.float64)


def _gap(ours: NDArray[Any], theirs: NDArray[Any]) -> Errors:
    """The difference of every value; infinite where one is NaN, or the shapes differ."""
    if np.shape(ours) != np.shape(theirs):
        return np.full(np.shape(theirs), np.inf)
    return np.where(np.isnan(ours) | np.isnan(theirs), np.inf, differences(ours, theirs))


def _ranges(draws: Sequence[Draw]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the range of each output in each group, and in each kind within it of which there are enough samples."""
    ends: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for draw in draws:
        for name, array in draw.outputs.items():
            if is_floating(array) and array.size:
                finite = np.isfinite(array)
                lows, highs = (np.where(finite, array, none).reshape(draw.rows, -1) for none in (np.inf, -np.inf))
                for group, low, high in zip(draw.groups, lows.min(1), highs.max(1), strict=True):
                    for each in {group, draw.group}:
                        ends.setdefault((name, each), []).append((float(low), float(high)))
    wholes = {draw.group for draw in draws}
    return {
        (name, group): (min(low for low, _ in found), max(high for _, high in found))
        for (name, group), found in ends.items()
        if group in wholes or len(found) >= FEWEST_OF_KIND
    }


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws samples on which the original is finite, of one or several shapes in turn."""

    original: RunBatch
    filler: Filler
    shapes: tuple[Shapes, ...]
    seed: int

    def draws(self, count: int, start: int = 0) -> list[Draw]:
        """Return at least `count` samples, as far as memory allows, from the draws numbered `start` and on.

        Every group has at least four samples. Draws without one finite replacement are left out.
        """
        found: list[Draw] = []
        groups = self.groups
        rows = size = number = 0
        while number < groups or ((rows < max(count, 4 * groups) or number % groups) and number < 4 * count):
            draw = self._finite(start + number)
            number += 1
            if draw is None:
                if number >= 2 * groups and not found:
                    break
                continue
            found.append(draw)
            rows += draw.rows
            size += sum(a.nbytes for a in (*draw.inputs.values(), *draw.outputs.values()) if isinstance(a, np.ndarray))
            if size > MOST_BYTES and number >= groups:
                break
        return found

    @property
    def groups(self) -> int:
        """How many groups draws go through: scales, shapes, and the ways of branches."""
        scales = max(self.filler.scales(shapes) for shapes in self.shapes)
        return scales * len(self.shapes) * self.filler.ways

    def _finite(self, number: int) -> Draw | None:
        """The draw of that number, or the first of its replacements on which the original's outputs are finite."""
        place = number // (self.groups // len(self.shapes))
        shapes = self.shapes[place % len(self.shapes)]
        for attempt in range(MAX_REDRAWS):
            seed = self.seed + 1_000_003 * (number + 1) + 7919 * attempt
            try:
                inputs = self._inputs(shapes, seed, number)
                outputs = self.original(inputs)
            except RuntimeError:
                continue
            if all(np.isfinite(a).all() for a in outputs.values() if is_floating(a)):
                return Draw(inputs, outputs, self._group(shapes, number), self.filler.kinds(shapes, number))
        return None

    def _inputs(self, shapes: Shapes, seed: int, number: int) -> dict[str, NDArray[Any]]:
        """Return the inputs of a draw; those that hold a state have what the original made of earlier inputs."""
        inputs = self.filler.fill(shapes, seed, number)
        for step in range(self.filler.steps_before(seed, number)):
            outputs = self.original(inputs)
            inputs = self.filler.fill(shapes, seed + 101 * (step + 1), number)
            given = {state: outputs[name] for state, name in self.filler.states.items()}
            inputs |= {state: a for state, a in given.items() if np.shape(a) == inputs[state].shape}
        return inputs

    def _group(self, shapes: Shapes, number: int) -> str:
        words = [self.filler.scale_name(shapes, number)]
        words += [f"{name}={','.join(map(str, s))}" for name, s in shapes.items()] if len(self.shapes) > 1 else []
        words += [("first", "second")[number % 2] + " way of a branch"] if self.filler.ways > 1 else []
        return "; ".join(words)
