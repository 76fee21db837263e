"""Weighted ops: which of a node's inputs are matrices, how each is read, and how a node is split in two.

The one idea: every weight tensor is some number of matrices [inputs, outputs] after one reshape and at most
one transposition. `MatrixLayout` says which, and does it alike for numpy arrays and torch tensors.

| op | weight | parts | matrix |
|---|---|---|---|
| Conv | [M, C/g, *k] | g | [C/g * k, M/g] |
| ConvTranspose | [C, M/g, *k] | g | [C/g, M/g * k] |
| Gemm, MatMul | [K, N] | 1 | [K, N] |
| MatMul, batched | [*b, K, N] | b | [K, N] |
| MatMul, constant on the left | [*b, M, K] | b | [K, M] |
| LSTM, GRU, RNN | W [d, h, I] | 1 | [I, d * h], both directions read the same input |
| | R [d, h, H] | d | [H, h] |

A new op is one class with `layouts` and, where it can be factored, `factor`, and one line in `WEIGHT_OPS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Matrices = NDArray[Any]  # [parts, inputs, outputs]
Shapes = Mapping[int, tuple[int, ...]]  # shapes of a node's constant inputs, by input index


@dataclass(frozen=True)
class MatrixLayout:
    """How a tensor of `shape` is `parts` matrices: reshaped to [parts, rows, cols] and perhaps transposed.

    `compressible` is False for what is mapped as it is (integers of a quantised network); `factorable` is
    False where no linear op can be put before the node (a recurrent matrix).
    """

    shape: tuple[int, ...]
    parts: int
    rows: int
    cols: int
    transposed: bool = False
    compressible: bool = True
    factorable: bool = True

    @property
    def inputs(self) -> int:
        return self.cols if self.transposed else self.rows

    @property
    def outputs(self) -> int:
        return self.rows if self.transposed else self.cols

    def matrices(self, tensor: Any) -> Any:
        """The matrices [parts, inputs, outputs] as a view of `tensor`, a numpy array or a torch tensor."""
        stacked = tensor.reshape(self.parts, self.rows, self.cols)
        return stacked.swapaxes(1, 2) if self.transposed else stacked

    def tensor(self, matrices: Any) -> Any:
        """The inverse of `matrices`: a tensor of `shape`."""
        stacked = matrices.swapaxes(1, 2) if self.transposed else matrices
        return stacked.reshape(self.shape)


class WeightOp(Protocol):
    """What the compiler must know of an op to compress it."""

    def layouts(self, node: ir.Node, shapes: Shapes) -> dict[int, MatrixLayout]:
        """Layouts of the weights of `node` among its constant inputs, by input index."""

    def data_input(self, node: ir.Node, index: int) -> int:
        """Index of the input that is multiplied by the weight at `index`."""

    def factor_shapes(self, node: ir.Node, layout: MatrixLayout, rank: int) -> tuple[MatrixLayout, MatrixLayout]:
        """Layouts of the two thin weights that replace one of `layout`."""

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        """Make `node` multiply by `v` only, and return a new node, to be put before it, that multiplies by `u`."""


def _ones(count: int) -> list[int]:
    return [1] * count


def _feed(node: ir.Node, data: int, first: ir.Node, index: int, v: ir.Value) -> ir.Node:
    """Let `node` read the output of `first` and the weight `v`."""
    node.replace_input_with(data, first.outputs[0])
    node.replace_input_with(index, v)
    return first


class Conv:
    """Conv in any number of dimensions, with groups. U keeps the kernel, V is 1x1."""

    def layouts(self, node: ir.Node, shapes: Shapes) -> dict[int, MatrixLayout]:
        if 1 not in shapes:
            return {}
        group, (outputs, *rest) = node.attributes.get_int("group", 1), shapes[1]
        return {1: MatrixLayout(shapes[1], group, outputs // group, prod(rest), transposed=True)}

    def data_input(self, node: ir.Node, index: int) -> int:  # noqa: ARG002
        return 0

    def factor_shapes(self, node: ir.Node, layout: MatrixLayout, rank: int) -> tuple[MatrixLayout, MatrixLayout]:  # noqa: ARG002
        group, (outputs, channels, *kernel) = layout.parts, layout.shape
        u = MatrixLayout((group * rank, channels, *kernel), group, rank, layout.inputs, transposed=True)
        v = MatrixLayout((outputs, rank, *_ones(len(kernel))), group, outputs // group, rank, transposed=True)
        return u, v

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        first = ir.Node("", "Conv", [node.inputs[0], u], list(node.attributes.values()))
        for name in ("auto_pad", "pads", "strides", "dilations", "kernel_shape"):
            node.attributes.pop(name, None)
        return _feed(node, 0, first, index, v)


class ConvTranspose:
    """Transposed convolution, with groups. U is a 1x1 Conv, V keeps the kernel."""

    def layouts(self, node: ir.Node, shapes: Shapes) -> dict[int, MatrixLayout]:
        if 1 not in shapes:
            return {}
        group, (inputs, *rest) = node.attributes.get_int("group", 1), shapes[1]
        return {1: MatrixLayout(shapes[1], group, inputs // group, prod(rest))}

    def data_input(self, node: ir.Node, index: int) -> int:  # noqa: ARG002
        return 0

    def factor_shapes(self, node: ir.Node, layout: MatrixLayout, rank: int) -> tuple[MatrixLayout, MatrixLayout]:  # noqa: ARG002
        group, (_, *rest) = layout.parts, layout.shape
        ones = _ones(len(rest) - 1)
        u = MatrixLayout((group * rank, layout.inputs, *ones), group, rank, layout.inputs, transposed=True)
        v = MatrixLayout((group * rank, *rest), group, rank, layout.outputs)
        return u, v

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        group = ir.AttrInt64("group", node.attributes.get_int("group", 1))
        first = ir.Node("", "Conv", [node.inputs[0], u], [group])
        return _feed(node, 0, first, index, v)


class Gemm:
    """Gemm with a constant B. U is a MatMul (a Gemm without bias where A is transposed)."""

    def layouts(self, node: ir.Node, shapes: Shapes) -> dict[int, MatrixLayout]:
        if 1 not in shapes or 0 in shapes or len(shapes[1]) != 2:
            return {}
        transposed = bool(node.attributes.get_int("transB", 0))
        return {1: MatrixLayout(shapes[1], 1, *shapes[1], transposed=transposed)}

    def data_input(self, node: ir.Node, index: int) -> int:  # noqa: ARG002
        return 0

    def factor_shapes(self, node: ir.Node, layout: MatrixLayout, rank: int) -> tuple[MatrixLayout, MatrixLayout]:  # noqa: ARG002
        u = MatrixLayout((layout.inputs, rank), 1, layout.inputs, rank)
        shape = (layout.outputs, rank) if layout.transposed else (rank, layout.outputs)
        return u, MatrixLayout(shape, 1, *shape, transposed=layout.transposed)

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        if node.attributes.get_int("transA", 0):
            raise NotImplementedError("folding turns transA into a Transpose first")
        first = ir.Node("", "MatMul", [node.inputs[0], u])
        return _feed(node, 0, first, index, v)


class MatMul:
    """MatMul with one constant side, and with constant leading batch dimensions."""

    def layouts(self, node: ir.Node, shapes: Shapes) -> dict[int, MatrixLayout]:  # noqa: ARG002
        if len(shapes) != 1:
            return {}
        (index, shape), *_ = shapes.items()
        if len(shape) < 2:
            return {}
        *batch, rows, cols = shape
        return {index: MatrixLayout(shape, prod(batch), rows, cols, transposed=index == 0)}

    def data_input(self, node: ir.Node, index: int) -> int:  # noqa: ARG002
        return 1 - index

    def factor_shapes(self, node: ir.Node, layout: MatrixLayout, rank: int) -> tuple[MatrixLayout, MatrixLayout]:  # noqa: ARG002
        batch, flip = layout.shape[:-2], layout.transposed
        u = (rank, layout.inputs) if flip else (layout.inputs, rank)
        v = (layout.outputs, rank) if flip else (rank, layout.outputs)
        return (
            MatrixLayout((*batch, *u), layout.parts, *u, transposed=flip),
            MatrixLayout((*batch, *v), layout.parts, *v, transposed=flip),
        )

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        data = node.inputs[1 - index]
        first = ir.Node("", "MatMul", [u, data] if index == 0 else [data, u])
        return _feed(node, 1 - index, first, index, v)


class Recurrent:
    """LSTM, GRU and RNN: W is factored by a MatMul on the sequence before it, R is mapped and group-pruned."""

    def layouts(self, node: ir.Node, shapes: Shapes) -> dict[int, MatrixLayout]:  # noqa: ARG002
        found = {}
        if 1 in shapes:
            directions, hidden, inputs = shapes[1]
            found[1] = MatrixLayout(shapes[1], 1, directions * hidden, inputs, transposed=True)
        if 2 in shapes:
            directions, hidden, states = shapes[2]
            found[2] = MatrixLayout(shapes[2], directions, hidden, states, transposed=True, factorable=False)
        return found

    def data_input(self, node: ir.Node, index: int) -> int:  # noqa: ARG002
        return 0

    def factor_shapes(self, node: ir.Node, layout: MatrixLayout, rank: int) -> tuple[MatrixLayout, MatrixLayout]:  # noqa: ARG002
        directions, hidden, _ = layout.shape
        u = MatrixLayout((layout.inputs, rank), 1, layout.inputs, rank)
        return u, MatrixLayout((directions, hidden, rank), 1, directions * hidden, rank, transposed=True)

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        first = ir.Node("", "MatMul", [node.inputs[0], u])
        return _feed(node, 0, first, index, v)


class AsItIs:
    """Integer weights of a quantised op: mapped, never changed. `inner` tells how they are read."""

    def __init__(self, inner: WeightOp, index: int) -> None:
        self.inner, self.index = inner, index

    def layouts(self, node: ir.Node, shapes: Shapes) -> dict[int, MatrixLayout]:
        if self.index not in shapes:
            return {}
        (layout,) = self.inner.layouts(node, {1: shapes[self.index]}).values() or (None,)
        if layout is None:
            return {}
        fixed = MatrixLayout(
            layout.shape, layout.parts, layout.rows, layout.cols, layout.transposed, compressible=False, factorable=False
        )
        return {self.index: fixed}

    def data_input(self, node: ir.Node, index: int) -> int:  # noqa: ARG002
        return 0

    def factor_shapes(self, node: ir.Node, layout: MatrixLayout, rank: int) -> tuple[MatrixLayout, MatrixLayout]:
        raise NotImplementedError(f"{node.op_type} is mapped as it is")

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        raise NotImplementedError(f"{node.op_type} is mapped as it is")


WEIGHT_OPS: dict[tuple[str, str], WeightOp] = {
    ("", "Conv"): Conv(),
    ("", "ConvTranspose"): ConvTranspose(),
    ("", "Gemm"): Gemm(),
    ("", "MatMul"): MatMul(),
    ("", "LSTM"): Recurrent(),
    ("", "GRU"): Recurrent(),
    ("", "RNN"): Recurrent(),
    ("", "ConvInteger"): AsItIs(Conv(), 1),
    ("", "MatMulInteger"): AsItIs(MatMul(), 1),
    ("", "QLinearConv"): AsItIs(Conv(), 3),
    ("", "QLinearMatMul"): AsItIs(MatMul(), 3),
    ("com.microsoft", "FusedConv"): Conv(),
}


def weight_op(node: ir.Node) -> WeightOp | None:
    """The adapter of a node's op, if it is one that multiplies by a weight."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return WEIGHT_OPS.get((domain, node.op_type))


def as_matrices(layout: MatrixLayout, tensor: NDArray[np.generic]) -> Matrices:
    """The matrices of a weight in the precision that hardware is programmed with: float64 stays, the rest is float32."""
    dtype = np.float64 if tensor.dtype == np.float64 else np.float32
    return np.asarray(layout.matrices(tensor), dtype=dtype)
