"""Valid ONNX graphs drawn at random: branches, residuals, shared weights, subgraphs, odd shapes, nothing and scalars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests import choices as st

Shape = tuple[int, ...]  # without the batch axis
FLOAT = TensorProto.FLOAT


@dataclass
class Drawn:
    """A graph that grows: what there is to read, by name, and its shape behind the batch axis."""

    draw: Callable[[Any], Any]
    values: dict[str, Shape] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    count: int = 0
    opset: int = 17

    def pick(self, fits: Callable[[Shape], bool] = bool) -> str | None:
        """A value that fits, recent ones likelier."""
        names = [name for name, shape in self.values.items() if fits(shape)]
        return self.draw(st.sampled_from(names[-4:])) if names else None

    def weight(self, *shape: int) -> str:
        """A weight of that shape: a shared one, or new; now and then of rank 1, or with dead rows or columns."""
        same = [name for name, array in self.weights.items() if array.shape == shape and array.dtype == np.float32]
        if same and self.draw(st.booleans()):
            return str(self.draw(st.sampled_from(same)))
        rng = np.random.default_rng(self.draw(st.integers(0, 99)))
        array = (rng.standard_normal(shape) / max(1.0, prod(shape[1:]) ** 0.5)).astype(np.float32)
        if len(shape) > 1 and array.size and self.draw(st.integers(0, 2)) == 0:
            flat = array.reshape(*shape[:-2], shape[-2], -1) if len(shape) != 4 else array.reshape(shape[0], -1)
            noise = np.float32(self.draw(st.sampled_from([0.0, 1e-4, 1e-2])))
            array = (flat[..., :1] * flat[..., :1, :] + noise * flat).reshape(shape)
        if shape and shape[0] > 1 and self.draw(st.booleans()):
            array[rng.integers(0, shape[0])] = 0
        if len(shape) > 1 and shape[1] > 1 and self.draw(st.booleans()):
            array[:, rng.integers(0, shape[1])] = 0
        name = f"w{len(self.weights)}"
        self.weights[name] = array
        return name

    def constant(self, *numbers: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.array(numbers, np.int64)
        return name

    def scalar_constant(self, number: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.array(number, np.int64)
        return name

    def hidden(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """A node whose output no other step reads; every third has no name."""
        self.count += 1
        output = f"h{self.count}"
        name = "" if self.count % 3 == 0 else f"{op}_{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    def add(self, op: str, inputs: list[str], shape: Shape, more: list[str] | None = None, **attributes: Any) -> str:
        """A node whose output has that shape; `more` are names of further outputs."""
        hidden = self.hidden(op, inputs, **attributes)
        output = f"v{self.count}"
        assert self.nodes[-1].output[0] == hidden
        self.nodes[-1].output[:] = [output, *(more or [])]
        self.values[output] = shape
        return output


# -- steps ------------------------------------------------------------------------------------------------------


def _product(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) in (1, 2))
    if x is not None:
        *lead, inputs = g.values[x]
        outputs = g.draw(st.sampled_from([1, 2, 3, 5, 8, 12]))
        if len(lead) or g.draw(st.booleans()):
            g.add("MatMul", [x, g.weight(inputs, outputs)], (*lead, outputs))
        else:
            bias = [g.weight(outputs)] if g.draw(st.booleans()) else []
            turned = g.draw(st.booleans())
            w = g.weight(outputs, inputs) if turned else g.weight(inputs, outputs)
            g.add("Gemm", [x, w, *bias], (outputs,), transB=int(turned))


def _from_the_left(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2)
    if x is not None:
        rows, cols = g.values[x]
        outputs = g.draw(st.integers(1, 4))
        g.add("MatMul", [g.weight(outputs, rows), x], (outputs, cols))


def _einsum(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2)
    if x is not None:
        a, b = g.values[x]
        g.add("Einsum", [x, g.weight(b, 2, 2)], (a, 2, 2), equation="nab,bcd->nacd")


def _conv(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s[1:]) > 0)
    if x is not None:
        channels, *sizes = g.values[x]
        depthwise = channels > 0 and g.draw(st.booleans())
        outputs = channels if depthwise else g.draw(st.sampled_from([1, 2, 3, 5, 8]))
        group = channels if depthwise else 1
        bias = [g.weight(outputs)] if g.draw(st.booleans()) else []
        w = g.weight(outputs, channels // group, 3, 3)
        g.add("Conv", [x, w, *bias], (outputs, *sizes), pads=[1, 1, 1, 1], group=group)


def _norm(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3)
    if x is not None:
        channels = g.values[x][0]
        variance = f"w{len(g.weights)}"
        g.weights[variance] = np.full(channels, 0.5, np.float32)
        vectors = [g.weight(channels), g.weight(channels), g.weight(channels), variance]
        g.add("BatchNormalization", [x, *vectors], g.values[x])


def unary(g: Drawn) -> None:
    x = g.pick()
    op = g.draw(st.sampled_from(["Relu", "Tanh", "Sigmoid", "Identity", "Abs", "HardSigmoid"]))
    g.add(op, [str(x)], g.values[str(x)])


def _binary(g: Drawn) -> None:
    x = str(g.pick())
    y = g.pick(lambda s: s == g.values[x])
    g.add(g.draw(st.sampled_from(["Add", "Mul", "Sub", "Max"])), [x, str(y)], g.values[x])


def _scalar(g: Drawn) -> None:
    x = str(g.pick())
    g.add(g.draw(st.sampled_from(["Add", "Mul"])), [x, g.weight()], g.values[x])


def _bias(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 1)
    if x is not None:
        g.add("Add", [x, g.weight(*g.values[x])], g.values[x])


def _concat(g: Drawn) -> None:
    x = str(g.pick())
    y = g.pick(lambda s: s[1:] == g.values[x][1:] and len(s) == len(g.values[x]))
    first, second = g.values[x], g.values[str(y)]
    g.add("Concat", [x, str(y)], (first[0] + second[0], *first[1:]), axis=1)


def _slice(g: Drawn) -> None:
    x = str(g.pick())
    keep = g.draw(st.integers(0, g.values[x][0]))
    inputs = [x, g.constant(0), g.constant(keep), g.constant(1)]
    g.add("Slice", inputs, (keep, *g.values[x][1:]))


def _flatten(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) > 1)
    if x is not None:
        g.add("Flatten", [x], (prod(g.values[x]),))


def _pool(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0)
    if x is not None:
        g.add("GlobalAveragePool", [x], (g.values[x][0], 1, 1))


def _turn(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2)
    if x is not None:
        g.add("Transpose", [x], g.values[x][::-1], perm=[0, 2, 1])


def _branch(g: Drawn) -> None:
    """An If whose branches multiply what they capture, by weights of their own or a shared one."""
    x = g.pick(lambda s: len(s) == 1 and s[0] > 0)
    if x is None:
        return
    (inputs,), w = g.values[x], g.weight(*g.values[x], 3)
    held = numpy_helper.from_array(np.ones((inputs, 3), np.float32), "inner")
    output = helper.make_tensor_value_info("branch", FLOAT, None)
    one = helper.make_graph([helper.make_node("MatMul", [x, w], ["branch"], "then")], "one", [], [output])
    two = helper.make_graph([helper.make_node("MatMul", [x, "inner"], ["branch"], "else")], "two", [], [output], [held])
    g.add("If", ["condition"], (3,), then_branch=one, else_branch=two)


def _gemm_from_the_left(g: Drawn) -> None:
    """W x' of a batch [n, a] is [outputs, n]; turned again, the batch is first."""
    x = g.pick(lambda s: len(s) == 1)
    if x is not None:
        (inputs,), outputs, turned = g.values[x], g.draw(st.integers(1, 4)), g.draw(st.booleans())
        w = g.weight(inputs, outputs) if turned else g.weight(outputs, inputs)
        y = g.hidden("Gemm", [w, x], transA=int(turned), transB=1)
        g.add("Transpose", [y], (outputs,), perm=[1, 0])


def _stacked(g: Drawn) -> None:
    """A matrix for every place of the first axis behind the batch."""
    x = g.pick(lambda s: len(s) == 3)
    if x is not None:
        heads, rows, cols = g.values[x]
        outputs = g.draw(st.integers(1, 3))
        if g.draw(st.booleans()):
            g.add("MatMul", [x, g.weight(heads, cols, outputs)], (heads, rows, outputs))
        else:
            g.add("MatMul", [g.weight(heads, outputs, rows), x], (heads, outputs, cols))


EQUATIONS = {  # of a value [n, a, b]: sizes of the weight, where a letter is one, and of what comes out
    "nab,bc->nac": ("bc", "ac"),
    "nab,cb->nca": ("cb", "ca"),
    "nab,bac->nac": ("bac", "ac"),
    "nab,acb->nc": ("acb", "c"),
    "nab,bcd->nacd": ("bcd", "acd"),
    "...b,bc": ("bc", "ac"),
}


def _einsum_of_any_order(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2)
    if x is not None:
        a, b = g.values[x]
        size = {"a": a, "b": b, "c": g.draw(st.integers(1, 3)), "d": 2}
        equation = g.draw(st.sampled_from(sorted(EQUATIONS)))
        weight, shape = (tuple(size[letter] for letter in part) for part in EQUATIONS[equation])
        g.add("Einsum", [x, g.weight(*weight)], shape, equation=equation)


def _grouped(g: Drawn) -> None:
    """Groups with more outputs than inputs, strides, dilations and a side that is not padded."""
    x = g.pick(lambda s: len(s) == 3 and s[0] > 0 and min(s[1:]) > 2)
    if x is not None:
        channels, height, width = g.values[x]
        group = channels if channels % 2 or g.draw(st.booleans()) else channels // 2
        outputs = group * g.draw(st.integers(1, 3))
        w = g.weight(outputs, channels // group, 2, 3)
        shape = (outputs, height // 2, width)
        g.add("Conv", [x, w], shape, group=group, strides=[2, 1], pads=[0, 1, 0, 1])


def _conv_along(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2 and min(s) > 0)
    if x is not None:
        channels, size = g.values[x]
        outputs = g.draw(st.integers(1, 4))
        g.add("Conv", [x, g.weight(outputs, channels, 3)], (outputs, size), dilations=[2], pads=[2, 2])


def _transposed(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 3 and min(s) > 0)
    if x is not None:
        channels, height, width = g.values[x]
        group = channels if g.draw(st.booleans()) else 1
        each = g.draw(st.integers(1, 2))
        shape = (each * group, 2 * height, 2 * width)
        g.add("ConvTranspose", [x, g.weight(channels, each, 2, 2)], shape, group=group, strides=[2, 2])


def _recurrent(g: Drawn) -> None:
    """A sequence [n, steps, inputs] read in one direction or both: [n, steps, directions, 2]."""
    x = g.pick(lambda s: len(s) == 2 and min(s) > 0)
    if x is not None:
        steps, inputs = g.values[x]
        op, gates = g.draw(st.sampled_from([("LSTM", 4), ("GRU", 3), ("RNN", 1)]))
        ways, both = g.draw(st.sampled_from([(1, "forward"), (1, "reverse"), (2, "bidirectional")]))
        sequence = g.hidden("Transpose", [x], perm=[1, 0, 2])
        weights = [g.weight(ways, 2 * gates, inputs), g.weight(ways, 2 * gates, 2)]
        y = g.hidden(op, [sequence, *weights], hidden_size=2, direction=both)
        g.add("Transpose", [y], (steps, ways, 2), perm=[2, 0, 1, 3])


def _softmax(g: Drawn) -> None:
    x = str(g.pick())
    g.add("Softmax", [x], g.values[x], axis=-1)


def _layer_norm(g: Drawn) -> None:
    x = g.pick(lambda s: s[-1] > 0)
    if x is not None:
        size = g.values[x][-1]
        g.add("LayerNormalization", [x, g.weight(size), g.weight(size)], g.values[x], axis=-1)


def _attention(g: Drawn) -> None:
    """A value times itself: softmax(x x') x."""
    x = g.pick(lambda s: len(s) == 2)
    if x is not None:
        rows, cols = g.values[x]
        turned = g.add("Transpose", [x], (cols, rows), perm=[0, 2, 1])
        scores = g.add("MatMul", [x, turned], (rows, rows))
        weights = g.add("Softmax", [scores], (rows, rows), axis=-1)
        g.add("MatMul", [weights, x], (rows, cols))


def _reshape(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) in (1, 3) and min(s) > 0)
    if x is not None:
        first, size = g.values[x][0], prod(g.values[x])
        g.add("Reshape", [x, g.constant(0, size // first, first)], (size // first, first))


def _gather(g: Drawn) -> None:
    x = g.pick(lambda s: s[0] > 0)
    if x is not None:
        places = g.draw(st.lists(st.integers(0, g.values[x][0] - 1), max_size=3))
        g.add("Gather", [x, g.constant(*places)], (len(places), *g.values[x][1:]), axis=1)


def _pad(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2)
    if x is not None:
        rows, cols = g.values[x]
        g.add("Pad", [x, g.constant(0, 1, 0, 0, 0, 2)], (rows + 1, cols + 2))


def _split(g: Drawn) -> None:
    x = g.pick(lambda s: s[0] > 1)
    if x is not None:
        first, *rest = g.values[x]
        second = f"half{g.count}"
        g.add("Split", [x, g.constant(1, first - 1)], (1, *rest), [second], axis=1)
        g.values[second] = (first - 1, *rest)


def _fed_scalar(g: Drawn) -> None:
    x = str(g.pick())
    g.add("Mul", [x, "scalar"], g.values[x])


def _cast_weight(g: Drawn) -> None:
    """A weight that is half as precise, turned, or made of integers."""
    x = g.pick(lambda s: len(s) == 1 and s[0] > 0)
    if x is None:
        return
    (inputs,), outputs = g.values[x], g.draw(st.integers(1, 4))
    how = g.draw(st.sampled_from(["half", "turned", "dequantised", "tied", "scaled"]))
    w = f"w{len(g.weights)}"
    whole = np.arange(inputs * outputs).reshape(inputs, outputs) % 5 - 2
    if how == "half":
        g.weights[w] = whole.astype(np.float16) / 4
        w = g.hidden("Cast", [w], to=FLOAT)
    elif how == "turned":
        w = g.hidden("Transpose", [g.weight(outputs, inputs)], perm=[1, 0])
    elif how == "tied":
        w = g.hidden("Identity", [g.weight(inputs, outputs)])
    else:
        g.weights[w] = whole.astype(np.int8)
        scale = g.weight()
        made = how == "dequantised"
        w = (
            g.hidden("DequantizeLinear", [w, scale])
            if made
            else g.hidden("Mul", [g.hidden("Cast", [w], to=FLOAT), scale])
        )
    g.add("MatMul", [x, w], (outputs,))


def _loop(g: Drawn) -> None:
    """Twice times a weight from outside, and added to."""
    x = g.pick(lambda s: len(s) == 1 and s[0] > 0)
    if x is None:
        return
    (size,) = g.values[x]
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("MatMul", ["state", g.weight(size, size)], ["product"], "inside"),
        helper.make_node("Tanh", ["product"], ["next"]),
        helper.make_node("Identity", ["going"], ["go"]),
    ]
    inputs = [info("i", TensorProto.INT64, []), info("going", TensorProto.BOOL, []), info("state", FLOAT, None)]
    body = helper.make_graph(nodes, "body", inputs, [info("go", TensorProto.BOOL, []), info("next", FLOAT, None)])
    g.weights.setdefault("trips", np.array(2, np.int64))
    g.add("Loop", ["trips", "", x], (size,), body=body)


def _scan(g: Drawn) -> None:
    """A recurrent network by hand along the second axis: the state is added to each step, times a weight."""
    x = g.pick(lambda s: len(s) == 2 and min(s) > 0)
    if x is None:
        return
    _, size = g.values[x]
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Add", ["state", "step"], ["sum"], "inside"),
        helper.make_node("MatMul", ["sum", g.weight(size, size)], ["product"]),
        helper.make_node("Sigmoid", ["product"], ["next"]),
    ]
    graph = helper.make_graph(
        nodes, "body", [info("state", FLOAT, None), info("step", FLOAT, None)], [info("next", FLOAT, None)]
    )
    sequence = g.hidden("Transpose", [x], perm=[1, 0, 2])
    start = g.hidden("Gather", [x, g.scalar_constant(0)], axis=1)
    g.add("Scan", [start, sequence], (size,), body=graph, num_scan_inputs=1)


WEIGHTED = [
    _product, _gemm_from_the_left, _from_the_left, _stacked, _einsum, _einsum_of_any_order, _conv, _conv, _grouped,
    _conv_along, _transposed, _recurrent, _cast_weight, _loop, _scan, _branch,
]  # fmt: skip
OTHERS = [
    _norm, unary, unary, _binary, _scalar, _fed_scalar, _bias, _concat, _slice, _split, _gather, _pad, _flatten,
    _reshape, _pool, _turn, _softmax, _layer_norm, _attention,
]  # fmt: skip
STEPS = [*WEIGHTED, *OTHERS, *WEIGHTED]
SHAPES = [
    (4,),
    (3,),
    (1,),
    (9,),
    (3, 5),
    (2, 4),
    (6, 8),
    (2, 4, 3),
    (3, 5, 4),
    (0,),
    (2, 0),
]  # of inputs, behind the batch axis


HOMES = ["initializer", "initializer", "initializer", "Constant", "sparse", "sparse Constant"]


def housed(g: Drawn) -> tuple[list[onnx.TensorProto], list[onnx.SparseTensorProto], list[onnx.NodeProto]]:
    """The weights, wherever a file may hold them: initializers, sparse ones, `Constant` nodes."""
    held, sparse, nodes = [], [], []
    for name, array in g.weights.items():
        home = g.draw(st.sampled_from(HOMES))
        tensor = numpy_helper.from_array(array, name)
        if home.startswith("sparse") and array.dtype == np.float32 and array.ndim and array.any():
            values = numpy_helper.from_array(array[array != 0], name)
            places = numpy_helper.from_array(np.flatnonzero(array), f"{name}_places")
            thin = helper.make_sparse_tensor(values, places, array.shape)
            if home == "sparse":
                sparse.append(thin)
            else:
                nodes.append(helper.make_node("Constant", [], [name], f"made_{name}", sparse_value=thin))
        elif home == "Constant":
            nodes.append(helper.make_node("Constant", [], [name], f"made_{name}", value=tensor))
        else:
            held.append(tensor)
    return held, sparse, nodes


def random_graph(source: Random) -> onnx.ModelProto:
    """Return a model with a batch axis of any size, one or two inputs and outputs."""
    draw = st.drawing(source)
    g = Drawn(draw)
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=2))
    inputs = [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])]
    inputs += [helper.make_tensor_value_info("scalar", FLOAT, [])]
    for number, shape in enumerate(shapes):
        g.values[f"x{number}"] = shape
        inputs.append(helper.make_tensor_value_info(f"x{number}", FLOAT, ["n", *shape]))
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=9)):
        step(g)
    if not g.nodes:
        unary(g)
    made = [name for name in g.values if name.startswith("v")]
    ends = dict.fromkeys([made[-1], draw(st.sampled_from(made))])
    outputs = [helper.make_tensor_value_info(name, FLOAT, ["n", *g.values[name]]) for name in ends]
    held, sparse, constants = housed(g)
    graph = helper.make_graph([*constants, *g.nodes], "random", inputs, outputs, held, sparse_initializer=sparse)
    opset, ir_version = draw(st.sampled_from([(17, 8), (17, 8), (20, 9), (21, 10)]))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
