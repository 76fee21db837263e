"""The differences between the outputs of a simulated network and those of model.onnx, and their tolerance.

Floating-point outputs are compared as numbers, relative to the range of each output over all samples. Integers,
booleans and strings are answers (indexes, classes, labels): the share of the answers that differ counts.

Floating outputs are compared as numbers, relative to the range of each output over all samples. Integers, booleans and
strings are answers (indexes, classes, labels): the share of the answers that differ counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.graph.network import Network
from gscompile.onnx_files.constants import nodes_of
from gscompile.onnx_files.op_names import QUANTISED_OPS

# Parts of the output range that rounding may move, by the coarsest type that the network computes with: some ten
# units in the last place of a half precision number, a thousand of a float32; quantised values may move by a level.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2, "quantised": 5e-2}
ANSWERS = 0.01  # share of integer, boolean and string outputs that may differ: rounding decides between near ties
_FLOAT_NAMES = {ir.DataType.DOUBLE: "float64", ir.DataType.FLOAT: "float32"}

BatchOutputs = Sequence[Any]  # of one batch, in the order of the graph


class Tolerance(NamedTuple):
    """The tolerance of a comparison: `difference` relative to the output range, `answers` as a share of the answers."""

    difference: float
    answers: float


@dataclass(frozen=True)
class Agreement:
    """The largest difference of a floating output in parts of its range, and the share of other outputs that differ.

    `difference` is infinite where shapes differ, or where one side is not finite and the other is.
    """

    difference: float
    answers: float

    def within(self, tolerance: Tolerance) -> bool:
        """Return whether both figures are within `tolerance`."""
        return self.difference <= tolerance.difference and self.answers <= tolerance.answers


def tolerance_of(network: Network) -> Tolerance:
    """Return the differences that rounding may cause in `network`, by the types of its values and its operators."""
    nodes = [*nodes_of(network.graph)]
    if any(QUANTISED_OPS.search(node.op_type) for node in nodes):
        return Tolerance(TOLERANCES["quantised"], ANSWERS)
    names = {_FLOAT_NAMES.get(dtype, dtype.name.lower()) for dtype in _types(network, nodes)}
    found = [TOLERANCES[name] for name in names if name in TOLERANCES]
    return Tolerance(max(found, default=TOLERANCES["float32"]), ANSWERS)


def _types(network: Network, nodes: Iterable[ir.Node]) -> Iterator[ir.DataType]:
    """Yield the element types of inputs, outputs, weights, intermediate values and casts."""
    values = [*network.inputs, *network.outputs]
    for node in nodes:
        values += [value for value in (*node.inputs, *node.outputs) if value is not None]
        to = node.attributes.get("to")
        if node.op_type == "Cast" and to is not None and not to.is_ref():
            yield ir.DataType(to.as_int())
    for value in values:
        if value.dtype is not None:
            yield value.dtype
        elif value.const_value is not None:
            yield value.const_value.dtype
    yield from (ir.DataType.from_numpy(layer.matrices.dtype) for layer in network.layers)


def agreement(expected: Sequence[BatchOutputs], found: Sequence[BatchOutputs]) -> Agreement:
    """Compare the outputs of all batches; the range of an output is taken over all of them."""
    difference, wrong, answers = 0.0, 0, 0
    for position in range(len(expected[0])):
        pairs = [(e[position], f[position]) for e, f in zip(expected, found, strict=True)]
        leaves = [pair for e, f in pairs for pair in _pairs(e, f)]
        numbers = [(e, f) for e, f in leaves if _is_floating(e)]
        difference = max(difference, _largest(numbers))
        for e, f in ((e, f) for e, f in leaves if not _is_floating(e)):
            wrong += e.size if e.shape != f.shape else int((e != f).sum())
            answers += e.size
    return Agreement(difference, wrong / max(answers, 1))


def _pairs(expected: Any, found: Any) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the arrays of two outputs side by side: sequences item by item, maps value by value."""
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield np.array([len(expected)]), np.array([len(found)])
        for e, f in zip(expected, found, strict=False):
            yield from _pairs(e, f)
    elif isinstance(expected, dict) and isinstance(found, dict):
        yield np.array([*map(str, expected)]), np.array([*map(str, found)])
        for key in expected.keys() & found.keys():
            yield from _pairs(expected[key], found[key])
    elif expected is not None or found is not None:
        yield np.asarray(expected), np.asarray(found)


def _is_floating(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "fc" or "float" in array.dtype.name  # bfloat16 and float8 have a kind of their own


def _largest(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Return the largest difference of floating arrays in parts of the range of the expected ones."""
    if any(e.shape != f.shape for e, f in pairs):
        return float("inf")
    if not pairs:
        return 0.0
    wanted, got = (np.concatenate([np.asarray(pair[i], np.float64).ravel() for pair in pairs]) for i in (0, 1))
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], got[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf")
    wanted, got = wanted[finite], got[finite]
    span = float(np.ptp(wanted)) if wanted.size else 0.0
    error = float(np.abs(wanted - got).max(initial=0))
    return error / (span or float(np.abs(wanted).max(initial=0)) or 1.0)
