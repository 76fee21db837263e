"""The nodes of a graph behind a cut, run again and again from values that are computed once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gscompile.scoring.graph_parts import GraphParts
from gscompile.scoring.runner import Runner

MAX_KEPT_BYTES = 256 << 20  # of the values that cross a cut, on all batches together
_FEEDABLE = "fiub"  # kinds of arrays that cross a cut

Arrays = dict[str, NDArray[Any]]


class TailRun:
    """Runs of the nodes from number `start` on, for batches on which the nodes before compute the same each time.

    Used only where its outputs on the first batch are those of `whole`, bit for bit.
    """

    def __init__(self, parts: GraphParts, start: int, whole: Runner) -> None:
        self.start = start
        self._parts, self._whole = parts, whole
        self._kept: dict[int, tuple[Arrays, Arrays]] = {}  # a batch and its crossing values, by the batch's identity
        self._size = 0
        self._tail: Runner | None = None
        self._is_usable = True

    def run(self, inputs: Arrays, weights: Arrays) -> dict[str, Any] | None:
        """Return the outputs with other weights behind the cut; None where the cut cannot be used."""
        if self._is_usable and id(inputs) not in self._kept:
            self._is_usable = self._keep(inputs)
        if not self._is_usable:
            self._kept.clear()
            return None
        return self._outputs(inputs, weights)

    def _keep(self, inputs: Arrays) -> bool:
        """Compute the values that cross the cut on a batch; return False where they cannot be kept or fed."""
        try:
            crossing = self._head(inputs)
            if not all(isinstance(a, np.ndarray) and a.dtype.kind in _FEEDABLE for a in crossing.values()):
                return False
            self._size += sum(array.nbytes for array in crossing.values())
            if self._size > MAX_KEPT_BYTES:
                return False
            self._kept[id(inputs)] = inputs, crossing
            if self._tail is None:
                self._tail = Runner(self._parts.behind(self.start, crossing).SerializeToString(), optimise=False)
                return _equal(self._outputs(inputs, {}), self._whole(inputs))
        except RuntimeError:
            return False
        return True

    def _outputs(self, inputs: Arrays, weights: Arrays) -> dict[str, Any]:
        assert self._tail is not None
        crossing = self._kept[id(inputs)][1]
        found = crossing | self._tail({**inputs, **crossing, **weights})
        return {name: found[name] for name in self._parts.outputs}

    @cached_property
    def _head(self) -> Runner:
        return Runner(self._parts.before(self.start).SerializeToString(), optimise=False)


def _equal(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(_same(ours[name], array) for name, array in theirs.items())


def _same(ours: Any, theirs: Any) -> bool:
    a, b = np.asarray(ours), np.asarray(theirs)
    return a.dtype.kind in _FEEDABLE and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
