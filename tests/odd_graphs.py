"""Random ONNX graphs with what makes compilers stumble, beside the steps of `tests.random_graphs`.

Pairs that are factored already, dead units, block-diagonal weights, integers and half precision, every product of
`WEIGHT_OPS`, functions whose value at zero is not zero, weights in attributes or carried by a loop, outputs that are
whole numbers, truths or without a shape, and declarations that are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests import choices as st
from tests.odd_products import MICROSOFT, PRODUCTS, array, random, vector
from tests.random_graphs import FLOAT, SHAPES, STEPS, Drawn, Shape, housed, unary

ML = "ai.onnx.ml"
_UNARY: dict[str, dict[str, Any]] = {
    "Exp": {}, "Cos": {}, "Sin": {}, "Erf": {}, "Softplus": {}, "Softsign": {}, "Neg": {}, "Floor": {}, "Ceil": {},
    "Round": {}, "Sign": {}, "Elu": {"alpha": 0.5}, "Selu": {}, "Celu": {"alpha": 2.0}, "LeakyRelu": {"alpha": 0.1},
    "ThresholdedRelu": {"alpha": 0.3}, "HardSwish": {}, "Atan": {}, "Sinh": {}, "LogSoftmax": {"axis": 1},
    "Hardmax": {"axis": 1}, "Mish": {},
}  # fmt: skip
_REDUCE = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
]
_ROUND_TRIPS = {TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64, TensorProto.INT32: np.int32}


def _factored_pair(g: Drawn) -> None:
    """Two thin products in the place of one, as low-rank compression by others leaves them."""
    if (found := vector(g)) is not None:
        x, inputs = found
        rank, outputs = g.draw(st.integers(1, 2)), g.draw(st.integers(2, 6))
        u, v = array(g, random(g, inputs, rank)), array(g, random(g, rank, outputs))
        if g.draw(st.booleans()):
            g.add("MatMul", [g.hidden("MatMul", [x, u]), v], (outputs,))
        else:
            g.add("Gemm", [g.hidden("Gemm", [x, u]), v, g.weight(outputs)], (outputs,))


def _low_rank(g: Drawn) -> None:
    """A wide layer whose matrix has rank 1 but for a little, so that clipping finds something."""
    x = g.pick(lambda s: min(s, default=0) > 0)
    if x is not None:
        outputs, noise = g.draw(st.integers(6, 16)), np.float32(g.draw(st.sampled_from([0.0, 1e-3, 1e-2])))
        inputs, *sizes = g.values[x] if len(g.values[x]) == 3 else g.values[x][::-1]
        taps = 9 if len(g.values[x]) == 3 else 1
        w = random(g, taps * inputs, 1) @ random(g, 1, outputs) + noise * random(g, taps * inputs, outputs)
        if len(g.values[x]) == 3:
            kernel = array(g, np.ascontiguousarray(w.T.reshape(outputs, inputs, 3, 3)))
            y = g.add("Conv", [x, kernel, g.weight(outputs)], (outputs, *sizes), pads=[1, 1, 1, 1])
        else:
            y = g.add("MatMul", [x, array(g, w)], (*sizes, outputs))
        if g.draw(st.booleans()):
            g.add(g.draw(st.sampled_from(["Relu", "Tanh", "Softplus"])), [y], g.values[y])


def _dead_units(g: Drawn) -> None:
    """A hidden layer of which some units have no weights before them, or none behind; biases may keep them alive."""
    if (found := vector(g)) is not None:
        x, inputs = found
        hidden, outputs = g.draw(st.integers(2, 12)), g.draw(st.integers(1, 6))
        dead = g.draw(st.lists(st.integers(0, hidden - 1), min_size=1, max_size=hidden))
        w, v, b = random(g, inputs, hidden), random(g, hidden, outputs), random(g, hidden)
        w[:, dead] = 0
        b[dead] = g.draw(st.sampled_from([0.0, 1.0, -1.0]))
        if g.draw(st.booleans()):
            v[dead] = 0
        first = g.hidden("Gemm", [x, array(g, w), array(g, b)])
        op = g.draw(st.sampled_from(["Relu", "Sigmoid", "Exp", "Cos", "Tanh", "Softplus"]))
        g.add("Gemm", [g.hidden(op, [first]), array(g, v), g.weight(outputs)], (outputs,))


def _dead_filters(g: Drawn) -> None:
    """A convolution with dead filters, normalised or pooled, and one that reads them."""
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0)
    if x is not None:
        channels, *sizes = g.values[x]
        hidden, outputs = g.draw(st.integers(2, 5)), g.draw(st.integers(1, 4))
        w, v = random(g, hidden, channels, 1, 1), random(g, outputs, hidden, 3, 3)
        w[g.draw(st.integers(0, hidden - 1))] = 0
        y = g.hidden("Conv", [x, array(g, w)])
        how = g.draw(st.sampled_from(["Relu", "LRN", "MaxPool", "InstanceNormalization", "Pow"]))
        if how == "LRN":
            y = g.hidden("LRN", [y], size=3)
        elif how == "MaxPool":
            y = g.hidden("MaxPool", [y], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        elif how == "InstanceNormalization":
            y = g.hidden(how, [y, g.weight(hidden), g.weight(hidden)])
        elif how == "Pow":
            y = g.hidden("Pow", [g.hidden("Abs", [y]), array(g, np.float32(g.draw(st.sampled_from([0.0, 0.5, 2.0]))))])
        else:
            y = g.hidden("Relu", [y])
        g.add("Conv", [y, array(g, v)], (outputs, *sizes), pads=[1, 1, 1, 1])


def _block_diagonal(g: Drawn) -> None:
    if (found := vector(g)) is not None:
        x, size = found
        w, half = np.zeros((size, size), np.float32), (size + 1) // 2
        w[:half, :half], w[half:, half:] = random(g, half, half), random(g, size - half, size - half)
        g.add("MatMul", [x, array(g, w)], (size,))


def _other_type(g: Drawn) -> None:
    """A product, and a bias added, in half or double precision or in whole numbers."""
    if (found := vector(g)) is not None:
        x, inputs = found
        outputs, (to, dtype) = g.draw(st.integers(1, 4)), g.draw(st.sampled_from([*_ROUND_TRIPS.items()]))
        scale = 4 if dtype is np.int32 else 1
        w, b = (array(g, (scale * random(g, *shape)).astype(dtype)) for shape in ((inputs, outputs), (outputs,)))
        product = g.hidden("MatMul", [g.hidden("Cast", [x], to=to), w])
        g.add("Cast", [g.hidden("Add", [product, b])], (outputs,), to=FLOAT)


def _quantised(g: Drawn) -> None:
    """A product of eight bits, its weights and its input dequantised before it, or in integers."""
    if (found := vector(g)) is not None:
        x, inputs = found
        outputs = g.draw(st.integers(1, 4))
        w = array(g, np.round(40 * random(g, inputs, outputs)).clip(-127, 127).astype(np.int8))
        if g.draw(st.booleans()):
            scale, zero = array(g, np.float32(0.05)), array(g, np.int8(0))
            taken = g.hidden("DequantizeLinear", [g.hidden("QuantizeLinear", [x, scale, zero]), scale, zero])
            y = g.hidden("MatMul", [taken, g.hidden("DequantizeLinear", [w, scale, zero])])
            coarse = g.hidden("QuantizeLinear", [y, scale, zero])
            g.add("DequantizeLinear", [coarse, scale, zero], (outputs,))
        else:
            x8, zero = g.hidden("Cast", [g.hidden("Clip", [x, array(g, np.float32(0))])], to=TensorProto.UINT8), ""
            y = g.hidden("MatMulInteger", [x8, w, *([zero] if zero else [])])
            g.add("Cast", [y], (outputs,), to=FLOAT)


def _function(g: Drawn) -> None:
    x = g.pick(lambda s: prod(s) > 0)
    if x is not None:
        op = g.draw(st.sampled_from(sorted(_UNARY)))
        g.add(op, [g.hidden("Tanh", [x])], g.values[x], **_UNARY[op])


def _clip(g: Drawn) -> None:
    x = str(g.pick())
    low = g.draw(st.sampled_from([-1.0, 0.0, 0.25]))
    g.add("Clip", [x, array(g, np.float32(low)), array(g, np.float32(2.0))], g.values[x])


def _power(g: Drawn) -> None:
    x = str(g.pick())
    exponent = array(g, np.float32(g.draw(st.sampled_from([0.0, 0.5, 1.0, 2.0]))))
    g.add("Pow", [g.hidden("Abs", [x]), exponent], g.values[x])


def _reduce(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) > 1 and min(s) > 0)
    if x is not None:
        op, keep = g.draw(st.sampled_from(_REDUCE)), g.draw(st.integers(0, 1))
        shape = g.values[x]
        shape = (*shape[:-1], 1) if keep else shape[:-1]
        axes: dict[str, Any] = {"axes": [-1]} if g.opset < 18 else {}
        inputs = [g.hidden("Sigmoid", [x]), *([] if axes else [g.constant(-1)])]
        g.add(op, inputs, shape, keepdims=keep, **axes)


def _where(g: Drawn) -> None:
    x = str(g.pick())
    y = str(g.pick(lambda s: s == g.values[x]))
    condition = g.hidden(g.draw(st.sampled_from(["Less", "Greater"])), [x, array(g, np.float32(0))])
    g.add("Where", [condition, y, array(g, np.float32(g.draw(st.sampled_from([0.0, 1.0]))))], g.values[x])


def _resized(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0)
    if x is not None:
        channels, height, width = g.values[x]
        mode = g.draw(st.sampled_from(["nearest", "linear"]))
        scales = array(g, np.array([1, 1, 2, 2], np.float32))
        g.add("Resize", [x, "", scales], (channels, 2 * height, 2 * width), mode=mode)


def _windows(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0)
    if x is not None:
        op = g.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        g.add(op, [x], g.values[x], kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _cells_and_channels(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0 and s[1] % 2 == 0 and s[2] % 2 == 0)
    if x is not None:
        channels, height, width = g.values[x]
        g.add("SpaceToDepth", [x], (4 * channels, height // 2, width // 2), blocksize=2)


def _sums_so_far(g: Drawn) -> None:
    x = g.pick(lambda s: prod(s) > 0)
    if x is not None:
        g.add("CumSum", [x, g.scalar_constant(1)], g.values[x])


def _repeated(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 1 and s[0] > 0)
    if x is not None:
        g.add("Tile", [x, g.constant(1, 2)], (2 * g.values[x][0],))


def _largest_first(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 1 and s[0] > 1)
    if x is not None:
        g.add("TopK", [x, g.constant(2)], (2,), [f"places{g.count}"], axis=1)


def _scaled_once_per_channel(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0)
    if x is not None:
        g.add("PRelu", [x, g.weight(g.values[x][0], 1, 1)], g.values[x])


def _group_of_channels(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0)
    if x is not None:
        channels = g.values[x][0]
        g.add("LRN", [x], g.values[x], size=g.draw(st.sampled_from([1, 3])), bias=g.draw(st.sampled_from([0.5, 1.0])))
        g.add("InstanceNormalization", [x, g.weight(channels), g.weight(channels)], g.values[x])


def _in_attributes(g: Drawn) -> None:
    """A linear regressor, whose matrix is a list of numbers in an attribute."""
    if (found := vector(g)) is not None:
        x, inputs = found
        targets = g.draw(st.integers(1, 3))
        g.add("LinearRegressor", [x], (targets,), domain=ML, targets=targets,
              coefficients=random(g, targets, inputs).ravel().tolist(), intercepts=[0.5] * targets)  # fmt: skip


def _carried_weight(g: Drawn) -> None:
    """A loop that hands its weight from one trip to the next, unchanged."""
    if (found := vector(g)) is not None:
        x, size = found
        info = helper.make_tensor_value_info
        nodes = [
            helper.make_node("MatMul", ["state", "held"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
            helper.make_node("Identity", ["held"], ["held_next"]),
            helper.make_node("Identity", ["going"], ["go"]),
        ]
        inputs = [info("i", TensorProto.INT64, []), info("going", TensorProto.BOOL, [])]
        inputs += [info("state", FLOAT, None), info("held", FLOAT, None)]
        outputs = [info("go", TensorProto.BOOL, []), info("next", FLOAT, None), info("held_next", FLOAT, None)]
        body = helper.make_graph(nodes, "carrying", inputs, outputs)
        g.weights.setdefault("trips", np.array(2, np.int64))
        g.add("Loop", ["trips", "", x, g.weight(size, size)], (size,), [f"weight_after{g.count}"], body=body)


def _computed_scalar(g: Drawn) -> None:
    """A factor that is computed from constants alone, without a shape."""
    x = str(g.pick())
    half = g.hidden("Div", [array(g, np.float32(1)), array(g, np.float32(g.draw(st.sampled_from([2, 4]))))])
    g.add("Mul", [x, half], g.values[x])


ODD = [
    _factored_pair, _low_rank, _low_rank, _low_rank, _dead_units, _dead_units, _dead_filters, _block_diagonal, _other_type, _quantised, _function, _clip,
    _power, _reduce, _where, _resized, _windows, _cells_and_channels, _sums_so_far, _repeated, _largest_first,
    _scaled_once_per_channel, _group_of_channels, _in_attributes, _carried_weight, _computed_scalar,
    *PRODUCTS,
]  # fmt: skip


def _further_outputs(g: Drawn) -> list[onnx.ValueInfoProto]:
    """An output that is no array of floats per sample, or none."""
    made = [name for name in g.values if name.startswith("v")]
    kind = g.draw(st.sampled_from(["", "", "", "shape", "truth", "whole", "double", "half", "sum"]))
    if not kind or not made:
        return []
    x = g.draw(st.sampled_from(made))
    shape: list[Any] = ["n", *g.values[x]]
    if kind == "shape":
        return [helper.make_tensor_value_info(g.hidden("Shape", [x]), TensorProto.INT64, [len(shape)])]
    if kind == "sum":
        return [helper.make_tensor_value_info(g.hidden("ReduceMean", [x], keepdims=0), FLOAT, [])]
    if kind == "truth":
        y = g.hidden("Greater", [x, array(g, np.float32(0))])
        return [helper.make_tensor_value_info(y, TensorProto.BOOL, shape)]
    to = {"whole": TensorProto.INT64, "double": TensorProto.DOUBLE, "half": TensorProto.FLOAT16}[kind]
    return [helper.make_tensor_value_info(g.hidden("Cast", [x], to=to), to, shape)]


@dataclass(frozen=True)
class Odd:
    """A model, and whether it declares a shape or a type that is not so."""

    model: onnx.ModelProto
    misdeclared: bool


def _declare(g: Drawn, graph: onnx.GraphProto) -> bool:
    """Declare values within the graph, or an output: as they are, or in one of four ways that are wrong."""
    names = [name for name in g.values if name.startswith("v")]
    how = g.draw(st.sampled_from(["nothing", "nothing", "right", "size", "rank", "batch", "output", "type"]))
    if how == "nothing":
        return False
    name = g.draw(st.sampled_from(names))
    shape: list[Any] = ["n", *g.values[name]]
    if how == "output":
        sizes = graph.output[0].type.tensor_type.shape.dim
        sizes[len(sizes) - 1].ClearField("dim_param")
        sizes[len(sizes) - 1].dim_value += 1
        return True
    if how in ("size", "batch") and shape:
        shape[0 if how == "batch" else -1] = 77
    if how == "rank":
        shape = [*shape, 1]
    if name not in {output.name for output in graph.output}:
        kind = TensorProto.DOUBLE if how == "type" else FLOAT
        graph.value_info.append(helper.make_tensor_value_info(name, kind, shape))
        return bool(how != "right")
    return False


# Without entries now and then only: such a graph is first run in a process of its own, which costs seconds.
_WIDE = [(9,), (12,), (6, 8), (5, 12), (8, 4, 4), (6, 3, 5)]
_SHAPES = [*(shape for shape in SHAPES if 0 not in shape), *_WIDE, *_WIDE, *SHAPES]


def odd_graph(number: int) -> Odd:
    """Return the model of that number: ordinary and odd steps, a batch axis of any size, one or two inputs and outputs.

    The same number makes the same model.
    """
    draw = st.drawing(Random(number))
    opset, ir_version = draw(st.sampled_from([(18, 8), (20, 9), (21, 10), (22, 10)]))
    g = Drawn(draw)
    g.opset = opset
    shapes: list[Shape] = draw(st.lists(st.sampled_from(_SHAPES), min_size=1, max_size=2))
    inputs = []
    for place, shape in enumerate(shapes):
        g.values[f"x{place}"] = shape
        inputs.append(helper.make_tensor_value_info(f"x{place}", FLOAT, ["n", *shape]))
    for step in draw(st.lists(st.sampled_from([*ODD, *ODD, *STEPS]), min_size=2, max_size=8)):
        step(g)
    if not g.nodes:
        unary(g)
    made = [name for name in g.values if name.startswith("v")]
    ends = dict.fromkeys([made[-1], *draw(st.lists(st.sampled_from(made), max_size=2))] if made else [])
    outputs = [helper.make_tensor_value_info(name, FLOAT, ["n", *g.values[name]]) for name in ends]
    outputs += _further_outputs(g)
    read = {name for node in g.nodes for name in node.input} | ({"scalar"} if draw(st.integers(0, 15)) == 0 else set())
    scalars = [("condition", TensorProto.BOOL), ("scalar", FLOAT)]
    inputs += [helper.make_tensor_value_info(name, kind, []) for name, kind in scalars if name in read]
    held, sparse, constants = housed(g)
    graph = helper.make_graph([*constants, *g.nodes], "odd", inputs, outputs, held, sparse_initializer=sparse)
    misdeclared = _declare(g, graph)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3), helper.make_opsetid(MICROSOFT, 1)]
    return Odd(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), misdeclared)
