"""Which axis of an input counts its samples, and how many samples given inputs have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gscompile.data.inputs import InputSpec, batch_size_for


def samples_in(specs: Sequence[InputSpec], inputs: Mapping[str, Any]) -> int:
    """Return how many samples `inputs` hold: the size of the batch axis, or the batch that the network fixes.

    The batch axis is the open axis whose name has "batch" in it; where none has, the first axis of an input where that
    is open, or the second of a recurrent state [layers, batch, hidden].
    """
    opened = [(spec, axis, dim) for spec in specs for axis, dim in enumerate(spec.shape or ()) if _is_open(dim)]
    named = [(spec, axis) for spec, axis, dim in opened if isinstance(dim, str) and "batch" in dim.lower()]
    found = named or [(spec, axis) for spec, axis, _ in opened if axis == _batch_axis(spec)]
    sizes = [np.shape(inputs[spec.name])[axis] for spec, axis in found if spec.name in inputs]
    return max(sizes[0] if sizes else batch_size_for(specs, 1), 1)


def _is_open(dim: int | str | None) -> bool:
    return not isinstance(dim, int)


def _batch_axis(spec: InputSpec) -> int:
    opened = [_is_open(dim) for dim in spec.shape or ()]
    return 1 if opened == [False, True, False] else 0
