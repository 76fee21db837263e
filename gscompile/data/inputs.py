"""What a network asks to be fed: the name, type and sizes of each input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from gscompile.errors import DataError


@dataclass(frozen=True)
class InputSpec:
    """One graph input that is not an initializer; a symbolic size is a str, an unknown one None."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        shape = "of any shape" if self.shape is None else f"[{', '.join(str(d or '?') for d in self.shape)}]"
        return f"{self.dtype} {shape}"


def input_specs(model: ir.Model) -> tuple[InputSpec, ...]:
    """The graph inputs that have to be fed, in order; DataError for one that is not a tensor."""
    return tuple(_spec(value) for value in model.graph.inputs if value.name not in model.graph.initializers)


def has_tensor_inputs(model: ir.Model) -> bool:
    """Whether all that has to be fed are tensors, and no sequence, map or optional."""
    fed = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    return all(isinstance(value.type, ir.TensorType) for value in fed)


def _spec(value: ir.Value) -> InputSpec:
    if not isinstance(value.type, ir.TensorType) or value.dtype in (None, ir.DataType.UNDEFINED):
        raise DataError(f"input '{value.name}' is a {value.type or 'value without a type'}: only tensors can be fed")
    shape = None if value.shape is None else tuple(_size(dim) for dim in value.shape)
    return InputSpec(value.name or "", value.type.dtype.numpy(), shape)


def _size(dim: int | ir.SymbolicDim) -> int | str | None:
    """A size, a symbol, or None for what exporters write for unknown: -1, '?', an empty name."""
    if isinstance(dim, int):
        return dim if dim >= 0 else None
    return dim.value if dim.value and re.match(r"[A-Za-z_]", dim.value) else None


def batch_size_for(specs: Sequence[InputSpec], wanted: int) -> int:
    """The batch size the inputs fix, else `wanted`.

    Fixed when every input's first size is, or when a recurrent state [layers, batch, hidden] of fixed shape
    stands beside the inputs.
    """
    first = [spec.shape[0] for spec in specs if spec.shape]
    if len(set(first)) == 1 and isinstance(first[0], int):
        return first[0]
    states = [spec.shape[1] for spec in specs if spec.shape and is_state(spec)]
    fixed = states if len(states) < len(first) else first
    return next((d for d in fixed if isinstance(d, int)), wanted) if states or all_int(first) else wanted


def is_state(spec: InputSpec) -> bool:
    """Whether an input of fixed shape looks like the state [layers, batch, hidden] of an RNN."""
    return spec.shape is not None and len(spec.shape) == 3 and all_int(spec.shape)


def all_int(sizes: Iterable[object]) -> bool:
    """Whether every size is known."""
    return all(isinstance(size, int) for size in sizes)


def state_outputs(model: ir.Model) -> dict[str, str]:
    """Return the output of each input that holds a state: the one that is the input's next value.

    A state [layers, batch, hidden] has sizes on its first and last axis at least, or "state", "hidden" or "cell" in its
    name. Its output has the same type and rank and no other size, and is the one whose name begins like the input's, or
    the first that is left.
    """
    specs = input_specs(model)
    outputs = {value.name or "": value for value in model.graph.outputs}
    found: dict[str, str] = {}
    for spec in specs if len(specs) > 1 else ():
        if _may_be_state(spec):
            left = [name for name, value in outputs.items() if name not in found.values() and _continues(value, spec)]
            named = [name for name in left if name.startswith(spec.name)]
            if named or left:
                found[spec.name] = (named or left)[0]
    return found


def _may_be_state(spec: InputSpec) -> bool:
    if spec.dtype.kind != "f" or not spec.shape or len(spec.shape) < 2:
        return False
    named = any(word in spec.name.lower() for word in ("state", "hidden", "cell"))
    return named or (len(spec.shape) == 3 and isinstance(spec.shape[0], int) and isinstance(spec.shape[2], int))


def _continues(value: ir.Value, spec: InputSpec) -> bool:
    if value.dtype is None or value.dtype.numpy() != spec.dtype or spec.shape is None:
        return False
    if value.shape is None:
        return (value.name or "").startswith(spec.name)
    sizes = zip(map(_size, value.shape), spec.shape, strict=False)
    return len(value.shape) == len(spec.shape) and not any(
        ours != theirs for ours, theirs in sizes if isinstance(ours, int) and isinstance(theirs, int)
    )
