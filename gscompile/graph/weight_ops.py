"""Weighted ops: which of a node's inputs are matrices, how each is read, and how a node is split in two.

The one idea: every weight tensor is some number of matrices [inputs, outputs] after one reshape and at most
one transposition. `MatrixLayout` says which, and does it alike for numpy arrays and torch tensors.

| op | weight | parts | matrix |
|---|---|---|---|
| Conv | [M, C/g, *k] | g | [C/g * k, M/g] |
| ConvTranspose | [C, M/g, *k] | g | [C/g, M/g * k] |
| Gemm, MatMul | [K, N] | 1 | [K, N] |
| Gemm, constant on the left | [M, K] | 1 | [K, M] |
| MatMul, batched | [*b, K, N] | b | [K, N] |
| MatMul, constant on the left | [*b, M, K] | b | [K, M] |
| MatMul, a vector | [K] | 1 | [K, 1] |
| LSTM, GRU, RNN | W [d, h, I] | 1 | [I, d * h], both directions read the same input |
| | R [d, h, H] | d | [H, h] |
| Einsum | batch, contracted and free axes in any order | batch | [contracted, free] |
| Attention (com.microsoft) | [I, 3 * H] | 1 | [I, 3 * H] |
| DeformConv | as Conv, not factored | | |

A new op is one class with `layouts` and, where it can be factored, `factor`, and one line in `WEIGHT_OPS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.onnx_files.einsum import parse_product
from gscompile.onnx_files.op_names import MICROSOFT, is_standard

Matrices = NDArray[Any]  # [parts, inputs, outputs]
ConstantShapes = Mapping[int, tuple[int, ...]]  # shapes of a node's constant inputs, by input index


@dataclass(frozen=True)
class MatrixLayout:
    """How a tensor of `shape` is `parts` matrices: reshaped to [parts, rows, cols] and perhaps transposed.

    `order`, where there is one, is that of the axes before they are reshaped. `compressible` is False for what is
    mapped as it is (integers of a quantised network); `factorable` is False where no linear op can be put before
    the node (a recurrent matrix).
    """

    shape: tuple[int, ...]
    parts: int
    rows: int
    cols: int
    transposed: bool = False
    compressible: bool = True
    factorable: bool = True
    order: tuple[int, ...] = ()

    @property
    def inputs(self) -> int:
        return self.cols if self.transposed else self.rows

    @property
    def outputs(self) -> int:
        return self.rows if self.transposed else self.cols

    def matrices(self, tensor: Any) -> Any:
        """The matrices [parts, inputs, outputs] of `tensor`, a numpy array or a torch tensor."""
        stacked = _reordered(tensor, self.order).reshape(self.parts, self.rows, self.cols)
        return stacked.swapaxes(1, 2) if self.transposed else stacked

    def tensor(self, matrices: Any) -> Any:
        """The inverse of `matrices`: a tensor of `shape`."""
        stacked = matrices.swapaxes(1, 2) if self.transposed else matrices
        if not self.order:
            return stacked.reshape(self.shape)
        back = tuple(self.order.index(axis) for axis in range(len(self.order)))
        return _reordered(stacked.reshape([self.shape[axis] for axis in self.order]), back)


def _reordered(tensor: Any, order: tuple[int, ...]) -> Any:
    if not order:
        return tensor
    return tensor.permute(order) if hasattr(tensor, "permute") else tensor.transpose(order)


class WeightOp(Protocol):
    """What the compiler must know of an op to compress it."""

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        """Layouts of the weights of `node` among its constant inputs, by input index."""

    def data_input(self, node: ir.Node, index: int) -> int:
        """Index of the input that is multiplied by the weight at `index`."""

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        """Layouts of the two thin weights that replace the one of `layout` at input `index`."""

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        """Make `node` multiply by `v` only, and return a new node, to be put before it, that multiplies by `u`."""


def _ones(count: int) -> list[int]:
    return [1] * count


def _feed(node: ir.Node, data: int, first: ir.Node, index: int, v: ir.Value) -> ir.Node:
    """Let `node` read the output of `first` and the weight `v`."""
    node.replace_input_with(data, first.outputs[0])
    node.replace_input_with(index, v)
    return first


_GEOMETRY = ("auto_pad", "pads", "strides", "dilations", "kernel_shape")


_STILL = {"pads": 0, "strides": 1, "dilations": 1, "kernel_shape": 1}  # along an axis where nothing moves


class Conv:
    """Conv in any number of dimensions, with groups.

    U keeps the kernel but for its last axes, with their strides, dilations and padding; those have `taps` taps in all
    and are V's. With one tap V is 1x1.
    """

    def __init__(self, taps: int = 1) -> None:
        self.taps = taps

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        group = node.attributes.get_int("group", 1)
        if len(shapes.get(1, ())) < 3 or group < 1:
            return {}
        outputs, *rest = shapes[1]
        return {1: MatrixLayout(shapes[1], group, outputs // group, prod(rest), transposed=True)}

    def data_input(self, node: ir.Node, index: int) -> int:
        return 0

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        group, (outputs, channels, *kernel) = layout.parts, layout.shape
        near = self._axes_of_u(kernel)
        u = (group * rank, channels, *kernel[:near], *_ones(len(kernel) - near))
        v = (outputs, rank, *_ones(near), *kernel[near:])
        return (
            MatrixLayout(u, group, rank, layout.inputs // self.taps, transposed=True),
            MatrixLayout(v, group, outputs // group, rank * self.taps, transposed=True),
        )

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        assert v.shape is not None
        kernel = v.shape.numpy()[2:]
        axes, near = len(kernel), self._axes_of_u(kernel)
        moved = [a for a in node.attributes.values() if a.name in (*_GEOMETRY, "group")]
        first = ir.Node("", "Conv", [node.inputs[0], u], [_along(a, range(near), axes) for a in moved])
        for name in _GEOMETRY:
            attribute = node.attributes.pop(name, None)
            if attribute is not None and near < axes:
                node.attributes[name] = _along(attribute, range(near, axes), axes)
        return _feed(node, 0, first, index, v)

    def _axes_of_u(self, kernel: Sequence[int]) -> int:
        """How many of the kernel's axes come before those that have `taps` taps in all; as many as that leaves open."""
        return max(near for near in range(len(kernel) + 1) if prod(kernel[near:]) == self.taps)


def _along(attribute: ir.Attr, kept: range, axes: int) -> ir.Attr:
    """An attribute of a convolution as it is along the axes that are kept; along the others nothing moves."""
    still = _STILL.get(attribute.name)
    if still is None or len(kept) == axes:
        return attribute
    numbers = [n if i % axes in kept else still for i, n in enumerate(attribute.as_ints())]
    return ir.AttrInt64s(attribute.name, numbers)


class ConvTranspose:
    """Transposed convolution, with groups. U is a 1x1 Conv, V keeps the kernel."""

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        group = node.attributes.get_int("group", 1)
        if len(shapes.get(1, ())) < 3 or group < 1:
            return {}
        inputs, *rest = shapes[1]
        return {1: MatrixLayout(shapes[1], group, inputs // group, prod(rest))}

    def data_input(self, node: ir.Node, index: int) -> int:
        return 0

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        group, (_, *rest) = layout.parts, layout.shape
        ones = _ones(len(rest) - 1)
        u = MatrixLayout((group * rank, layout.inputs, *ones), group, rank, layout.inputs, transposed=True)
        v = MatrixLayout((group * rank, *rest), group, rank, layout.outputs)
        return u, v

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        group = ir.AttrInt64("group", node.attributes.get_int("group", 1))
        first = ir.Node("", "Conv", [node.inputs[0], u], [group])
        return _feed(node, 0, first, index, v)


_TURNS = ("transA", "transB")


class Gemm:
    """Gemm with a constant side. U is a Gemm without a bias, from the left where the product sums over the data's
    columns; both factors are Gemms, so that an importer that takes only Gemm takes both.
    """

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        sides = [index for index in (0, 1) if index in shapes]
        if len(sides) != 1 or len(shapes[sides[0]]) != 2:
            return {}
        (index,) = sides
        rows, cols = shapes[index]
        transposed = bool(node.attributes.get_int(_TURNS[index], 0)) == (index == 1)  # W A is (A' W')'
        return {index: MatrixLayout((rows, cols), 1, rows, cols, transposed=transposed)}

    def data_input(self, node: ir.Node, index: int) -> int:
        return 1 - index

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        flip = self._sums_over_columns(node, index)
        thin = (rank, layout.inputs) if flip else (layout.inputs, rank)
        u = MatrixLayout(thin, 1, *thin, transposed=flip)
        shape = (layout.outputs, rank) if layout.transposed else (rank, layout.outputs)
        return u, MatrixLayout(shape, 1, *shape, transposed=layout.transposed)

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        data = node.inputs[1 - index]
        first = ir.Node("", "Gemm", [u, data] if self._sums_over_columns(node, index) else [data, u])
        return _feed(node, 1 - index, first, index, v)

    def _sums_over_columns(self, node: ir.Node, index: int) -> bool:
        """Whether a vector that the matrix takes is a column of the data, and not a row."""
        return bool(node.attributes.get_int(_TURNS[1 - index], 0)) == (index == 1)


class MatMul:
    """MatMul with one constant side, and with constant leading batch dimensions.

    A vector on either side is a matrix with one output.
    """

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        if len(shapes) != 1:
            return {}
        (index, shape), *_ = shapes.items()
        if not shape or index > 1:  # ONNX's checker does not know how many inputs onnxruntime's ops take
            return {}
        if len(shape) == 1:
            return {index: MatrixLayout(shape, 1, shape[0], 1, factorable=False)}
        *batch, rows, cols = shape
        factorable = not batch or _has_rows(node.inputs[1 - index])
        return {index: MatrixLayout(shape, prod(batch), rows, cols, transposed=index == 0, factorable=factorable)}

    def data_input(self, node: ir.Node, index: int) -> int:
        return 1 - index

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
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


def _has_rows(data: ir.Value | None) -> bool:
    """Whether a value is known to be no single vector, which after a product with stacked matrices is stacked too."""
    return data is not None and data.shape is not None and len(data.shape) > 1


class FusedMatMul:
    """MatMul with a factor, either side of it transposed. U takes over the transposition of the data."""

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        found = MatMul().layouts(node, shapes)
        swaps = any(node.attributes.get_int(name, 0) for name in ("transBatchA", "transBatchB"))
        turned = {index: bool(node.attributes.get_int(_TURNS[index], 0)) for index in found}
        return {
            index: replace(
                layout,
                transposed=layout.transposed != turned[index],
                factorable=layout.factorable and not swaps,
            )
            for index, layout in found.items()
            if len(layout.shape) == 2 or not (swaps or (len(layout.shape) == 1 and turned[index]))
        }

    def data_input(self, node: ir.Node, index: int) -> int:
        return 1 - index

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        return MatMul().factor_shapes(node, index, layout, rank)

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        data = node.inputs[1 - index]
        moved = [ir.AttrInt64(name, node.attributes.get_int(name, 0)) for name in _TURNS]
        first = ir.Node(MICROSOFT, "FusedMatMul", [u, data] if index == 0 else [data, u], moved)
        node.attributes.pop(_TURNS[1 - index], None)
        return _feed(node, 1 - index, first, index, v)


class Einsum:
    """Einsum with one constant operand, where it is a product with matrices. U and V are Einsums."""

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        if len(shapes) != 1:
            return {}
        (index, shape), *_ = shapes.items()
        product = parse_product(node.attributes.get_string("equation", ""), index)
        if product is None or len(product.weight) != len(shape):
            return {}
        size = dict(zip(product.weight, shape, strict=True))
        parts, inputs, outputs = (
            prod(size[x] for x in part) for part in (product.batch, product.contracted, product.free)
        )
        rows, cols = (outputs, inputs) if product.transposed else (inputs, outputs)
        layout = MatrixLayout(shape, parts, rows, cols, transposed=product.transposed, order=product.order)
        return {index: layout}

    def data_input(self, node: ir.Node, index: int) -> int:
        return 1 - index

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        product = parse_product(node.attributes.get_string("equation", ""), index)
        assert product is not None
        size = dict(zip(product.weight, layout.shape, strict=True))
        batch, contracted, free = (
            [size[x] for x in part] for part in (product.batch, product.contracted, product.free)
        )
        turned, parts = layout.transposed, layout.parts
        u = (rank, *contracted) if turned else (*contracted, rank)
        v = (*free, rank) if turned else (rank, *free)
        first, second = (
            ((rank, layout.inputs), (layout.outputs, rank))
            if turned
            else ((layout.inputs, rank), (rank, layout.outputs))
        )
        return (
            MatrixLayout((*batch, *u), parts, *first, transposed=turned),
            MatrixLayout((*batch, *v), parts, *second, transposed=turned),
        )

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        product = parse_product(node.attributes.get_string("equation", ""), index)
        assert product is not None
        first_equation, second_equation = product.split()
        data = node.inputs[1 - index]
        equation = ir.AttrString("equation", first_equation)
        first = ir.Node("", "Einsum", [u, data] if index == 0 else [data, u], [equation])
        node.attributes["equation"] = ir.AttrString("equation", second_equation)
        return _feed(node, 1 - index, first, index, v)


class Projection:
    """Attention of com.microsoft: the weight that makes queries, keys and values. U is a MatMul."""

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        shape = shapes.get(1, ())
        return {1: MatrixLayout(shape, 1, shape[0], shape[1])} if len(shape) == 2 else {}

    def data_input(self, node: ir.Node, index: int) -> int:
        return 0

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        return MatMul().factor_shapes(node, index, layout, rank)

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        return _feed(node, 0, ir.Node("", "MatMul", [node.inputs[0], u]), index, v)


class Recurrent:
    """LSTM, GRU and RNN: W is factored by a MatMul on the sequence before it, R is mapped and group-pruned."""

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        found = {}
        if len(shapes.get(1, ())) == 3:
            directions, hidden, inputs = shapes[1]
            found[1] = MatrixLayout(shapes[1], 1, directions * hidden, inputs, transposed=True)
        if len(shapes.get(2, ())) == 3:
            directions, hidden, states = shapes[2]
            found[2] = MatrixLayout(shapes[2], directions, hidden, states, transposed=True, factorable=False)
        return found

    def data_input(self, node: ir.Node, index: int) -> int:
        return 0

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        directions, hidden, _ = layout.shape
        u = MatrixLayout((layout.inputs, rank), 1, layout.inputs, rank)
        return u, MatrixLayout((directions, hidden, rank), 1, directions * hidden, rank, transposed=True)

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        first = ir.Node("", "MatMul", [node.inputs[0], u])
        return _feed(node, 0, first, index, v)


class MappedOnly:
    """A weight that is mapped but not factored, at input `index` and read as `inner` reads its own.

    Integers of a quantised op are `fixed`: not compressed at all.
    """

    def __init__(self, inner: WeightOp, *indices: int, fixed: bool = True) -> None:
        self.inner, self.indices, self.fixed = inner, indices or (1,), fixed

    def layouts(self, node: ir.Node, shapes: ConstantShapes) -> dict[int, MatrixLayout]:
        return {
            index: replace(layout, compressible=layout.compressible and not self.fixed, factorable=False)
            for index in self.indices
            if index in shapes
            for layout in self.inner.layouts(node, {1: shapes[index]}).values()
        }

    def data_input(self, node: ir.Node, index: int) -> int:
        return 0

    def factor_shapes(
        self, node: ir.Node, index: int, layout: MatrixLayout, rank: int
    ) -> tuple[MatrixLayout, MatrixLayout]:
        raise NotImplementedError(f"{node.op_type} is not factored")

    def split(self, node: ir.Node, index: int, u: ir.Value, v: ir.Value) -> ir.Node:
        raise NotImplementedError(f"{node.op_type} is not factored")


WEIGHT_OPS: dict[tuple[str, str], WeightOp] = {
    ("", "Conv"): Conv(),
    ("", "ConvTranspose"): ConvTranspose(),
    ("", "Gemm"): Gemm(),
    ("", "MatMul"): MatMul(),
    ("", "LSTM"): Recurrent(),
    ("", "GRU"): Recurrent(),
    ("", "RNN"): Recurrent(),
    ("", "Einsum"): Einsum(),
    ("", "DeformConv"): MappedOnly(Conv(), fixed=False),
    ("", "ConvInteger"): MappedOnly(Conv()),
    ("", "MatMulInteger"): MappedOnly(MatMul()),
    ("", "QLinearConv"): MappedOnly(Conv(), 3),
    ("", "QLinearMatMul"): MappedOnly(MatMul(), 3),
    (MICROSOFT, "FusedConv"): Conv(),
    (MICROSOFT, "FusedMatMul"): FusedMatMul(),
    (MICROSOFT, "FusedGemm"): Gemm(),
    (MICROSOFT, "Attention"): Projection(),
    (MICROSOFT, "QAttention"): MappedOnly(Projection()),
    (MICROSOFT, "QGemm"): MappedOnly(Gemm(), 3),
    (MICROSOFT, "MatMulIntegerToFloat"): MappedOnly(MatMul()),
    (MICROSOFT, "DynamicQuantizeMatMul"): MappedOnly(MatMul()),
    (MICROSOFT, "DynamicQuantizeLSTM"): MappedOnly(MatMul(), 1, 2),
}


# Operands that onnxruntime's ops have at the least, which ONNX's checker does not count.
_MIN_INPUTS = {
    "QAttention": 5,
    "QGemm": 6,
    "MatMulIntegerToFloat": 4,
    "DynamicQuantizeMatMul": 3,
    "DynamicQuantizeLSTM": 12,
}


def weight_op(node: ir.Node) -> WeightOp | None:
    """The adapter of a node's op, if it is one that multiplies by a weight and has its operands."""
    domain = "" if is_standard(node) else node.domain
    op = WEIGHT_OPS.get((domain, node.op_type))
    return op if domain == "" or len(node.inputs) >= _MIN_INPUTS.get(node.op_type, 2) else None


def factoring_op(node: ir.Node, taps: int = 1) -> WeightOp:
    """The adapter that splits a node in two; V keeps `taps` taps of a convolution's kernel."""
    op = weight_op(node)
    assert op is not None
    return op if taps == 1 else Conv(taps)


def separable_taps(node: ir.Node, layout: MatrixLayout) -> list[int]:
    """How many taps of its kernel a second convolution may keep, where the first keeps more than one as well."""
    if not isinstance(weight_op(node), Conv):
        return []
    kernel = layout.shape[2:]
    parts = [(prod(kernel[:near]), prod(kernel[near:])) for near in range(1, len(kernel))]
    return [*dict.fromkeys(taps for before, taps in parts if before > 1 and taps > 1)]


def as_matrices(layout: MatrixLayout, tensor: NDArray[np.generic]) -> Matrices:
    """The matrices of a weight as hardware is programmed with them: float64 stays, the rest is float32."""
    dtype = np.float64 if tensor.dtype == np.float64 else np.float32
    return np.asarray(layout.matrices(tensor), dtype=dtype)
