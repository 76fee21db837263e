"""Valid ONNX graphs drawn at random: branches, residuals, shared weights, subgraphs, odd shapes, nothing and scalars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

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

    def pick(self, fits: Callable[[Shape], bool] = bool) -> str | None:
        """A value that fits, recent ones likelier."""
        names = [name for name, shape in self.values.items() if fits(shape)]
        return self.draw(st.sampled_from(names[-4:])) if names else None

    def weight(self, *shape: int) -> str:
        """A weight of that shape: a shared one, or new, with dead rows or columns now and then."""
        same = [name for name, array in self.weights.items() if array.shape == shape]
        if same and self.draw(st.booleans()):
            return str(self.draw(st.sampled_from(same)))
        rng = np.random.default_rng(self.draw(st.integers(0, 99)))
        array = (rng.standard_normal(shape) / max(1.0, prod(shape[1:]) ** 0.5)).astype(np.float32)
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

    def add(self, op: str, inputs: list[str], shape: Shape, **attributes: Any) -> str:
        """A node; every third has no name."""
        self.count += 1
        output = f"v{self.count}"
        name = "" if self.count % 3 == 0 else f"{op}_{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        self.values[output] = shape
        return output


# -- steps ------------------------------------------------------------------------------------------------------


def _product(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) in (1, 2))
    if x is not None:
        *lead, inputs = g.values[x]
        outputs = g.draw(st.integers(1, 5))
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
        outputs = channels if depthwise else g.draw(st.integers(1, 5))
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


def _unary(g: Drawn) -> None:
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


STEPS = [
    _product, _product, _from_the_left, _einsum, _conv, _conv, _norm, _unary, _unary, _binary, _scalar, _bias,
    _concat, _slice, _flatten, _pool, _turn, _branch,
]  # fmt: skip


@st.composite
def graphs(draw: Callable[[Any], Any]) -> onnx.ModelProto:
    """A model with a batch axis of any size, one or two inputs and outputs."""
    g = Drawn(draw)
    shapes = draw(st.lists(st.sampled_from([(4,), (1,), (3, 5), (2, 4, 3), (0,)]), min_size=1, max_size=2))
    inputs = [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])]
    for number, shape in enumerate(shapes):
        g.values[f"x{number}"] = shape
        inputs.append(helper.make_tensor_value_info(f"x{number}", FLOAT, ["n", *shape]))
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=9)):
        step(g)
    if not g.nodes:
        _unary(g)
    made = [name for name in g.values if name.startswith("v")]
    ends = dict.fromkeys([made[-1], draw(st.sampled_from(made))])
    outputs = [helper.make_tensor_value_info(name, FLOAT, ["n", *g.values[name]]) for name in ends]
    held = [numpy_helper.from_array(array, name) for name, array in g.weights.items()]
    graph = helper.make_graph(g.nodes, "random", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
