"""Every op that is said to give zero for zero is tried: channels that hold zeros go, and outputs stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gscompile.channels import RULES
from gscompile.channels.dead_units import drop_dead_units
from gscompile.graph.network import Network
from tests.small_networks import assert_same_outputs, model

# Unary ops by name: attributes, one string a variation.
UNARY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        "Relu Tanh Abs Neg Sign Sin Sinh Asinh Atan Tan Erf Sqrt Ceil Floor Round Identity Dropout Softsign HardSwish "  # noqa: SIM905
        "Mish Sigmoid Softplus Exp Log Reciprocal Cos Cosh Acos Asin GlobalAveragePool GlobalMaxPool".split(),
        ("",),
    ),
    "LeakyRelu": ("", "<alpha = -0.5>"),
    "Elu": ("", "<alpha = -2.0>"),
    "Selu": ("", "<alpha = 3.0, gamma = 0.5>"),
    "Celu": ("", "<alpha = 0.0>", "<alpha = -1.0>"),
    "HardSigmoid": ("", "<alpha = 1.0, beta = 0.0>"),
    "ThresholdedRelu": ("", "<alpha = 0.0>", "<alpha = -1.0>"),
    "Cast": ("<to = 1>", "<to = 11>"),
    "MaxPool": ("<kernel_shape = [2]>", "<kernel_shape = [3], pads = [1,1], ceil_mode = 1, strides = [2]>"),
    "AveragePool": ("<kernel_shape = [2]>", "<kernel_shape = [3], pads = [1,1], count_include_pad = 1>"),
    "LpPool": ("<kernel_shape = [2]>", "<kernel_shape = [2], p = 1>", "<kernel_shape = [2], p = 3>"),
    **{f"Reduce{kind}": ("<axes = [2]>",) for kind in ("Mean", "Max", "Min", "L1", "L2", "SumSquare")},
    "com.microsoft.QuickGelu": ("", "<alpha = -1.0>", "<alpha = 0.0>"),
    "com.microsoft.Gelu": ("",),
    "com.microsoft.FastGelu": ("",),
}
# Ops beside constants: what follows the channels h, [n, 4, 5]; what a constant holds.
BESIDE: dict[str, tuple[str, ...]] = {
    "Add": ("h, q", "q, h"),
    "Sub": ("h, q", "q, h"),
    "Mul": ("h, q", "q, h"),
    "Div": ("h, q", "q, h"),
    "Pow": ("h, q", "q, h"),
    "PRelu": ("h, q",),
    "Max": ("h, q", "q, h"),
    "Min": ("h, q", "q, h"),
    "com.microsoft.BiasGelu": ("h, q",),
    "com.microsoft.FastGelu": ("h, q",),
}
CONSTANTS = {
    "zero": np.zeros((4, 1)),
    "one": np.ones((4, 1)),
    "negative": np.full((4, 1), -2.0),
    "two": np.full((4, 1), 2.0),
    "infinite": np.full((4, 1), np.inf),
    "mixed": np.array([[0.0], [1], [2], [-1]]),
}
HEAD = "g (float[n,3,5] x) => (float[n,2,m] y) <float[4,3,1] a, float[2,4,1] c"
MICROSOFT = ', "com.microsoft" : 1'


def unchanged(text: str, opset: int = 17, **held: Any) -> list[tuple[str, int, int]]:
    """Drop what is dead of a network whose channels 0 and 2 are zero; its outputs are what they were."""
    kernel = np.random.default_rng(0).standard_normal((4, 3, 1))
    kernel[[0, 2]] = 0
    proto = model(text, opset=opset, imports=MICROSOFT, a=kernel, **held)
    net = Network.from_proto(proto)
    dropped = drop_dead_units(net)
    with np.errstate(all="ignore"):
        assert_same_outputs(proto, net)
    return dropped


@pytest.mark.parametrize(("op", "attributes"), [(op, each) for op, every in UNARY.items() for each in every])
def test_one_input(op: str, attributes: str) -> None:
    opset = 18 if op == "Mish" else 17
    cast = "k" if op != "Cast" else "i"
    back = "" if op != "Cast" else "k = Cast <to = 1> (i)"
    unchanged(HEAD + f"> {{ h = Conv (x, a)  {cast} = {op} {attributes} (h)  {back}  y = Conv (k, c) }}", opset)


@pytest.mark.parametrize("held", CONSTANTS)
@pytest.mark.parametrize(("op", "inputs"), [(op, each) for op, every in BESIDE.items() for each in every])
def test_beside_a_constant(op: str, inputs: str, held: str) -> None:
    constant = CONSTANTS[held]
    if op.startswith("com"):  # a bias runs along the last axis
        text = "g (float[n,5,3] x) => (float[n,5,2] y) <float[3,4] a, float[4] q, float[4,2] c>"
        kernel = np.random.default_rng(0).standard_normal((3, 4))
        kernel[:, [0, 2]] = 0
        proto = model(
            text + f" {{ h = MatMul (x, a)  k = {op} ({inputs})  y = MatMul (k, c) }}",
            imports=MICROSOFT,
            a=kernel,
            q=constant[:, 0],
        )
        net = Network.from_proto(proto)
        drop_dead_units(net)
        assert_same_outputs(proto, net)
        return
    unchanged(HEAD + f", float[4,1] q> {{ h = Conv (x, a)  k = {op} ({inputs})  y = Conv (k, c) }}", q=constant)
    number = constant.reshape(-1)[:1].reshape(())
    unchanged(HEAD + f", float q> {{ h = Conv (x, a)  k = {op} ({inputs})  y = Conv (k, c) }}", q=number)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min"])
def test_beside_another_value(op: str) -> None:
    """What stands beside the channels has none of its own, or the same ones, some of which are zero."""
    one = ", float[1,3,1] d> { h = Conv (x, a)  i = Conv (x, d)"
    four = ", float[4,3,1] d> { h = Conv (x, a)  i = Conv (x, d)"
    sparse = np.random.default_rng(1).standard_normal((4, 3, 1))
    sparse[[0, 1]] = 0
    for inputs in ("h, i", "i, h") if op != "PRelu" else ("h, i",):
        unchanged(HEAD + f"{one}  k = {op} ({inputs})  y = Conv (k, c) }}")
    for inputs in ("h, i", "i, h"):
        unchanged(HEAD + f"{four}  k = {op} ({inputs})  y = Conv (k, c) }}", d=sparse)


@pytest.mark.parametrize("low", [0.0, -1.0, 0.5])
@pytest.mark.parametrize("high", [6.0, 0.0, -0.5, 0.25])
def test_bounds(low: float, high: float) -> None:
    text = HEAD + ", float l, float u> { h = Conv (x, a)  k = Clip (h, l, u)  y = Conv (k, c) }"
    unchanged(text, l=np.array(low), u=np.array(high))
    unchanged(HEAD + ", float l> { h = Conv (x, a)  k = Clip (h, l)  y = Conv (k, c) }", l=np.array(low))


@pytest.mark.parametrize("held", [0.0, 1.5])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_padding(mode: str, held: float) -> None:
    text = HEAD + ", float f> { h = Conv (x, a)  s = Constant <value = int64[6] {0,0,1,0,0,2}> ()"
    unchanged(text + f'  k = Pad <mode = "{mode}"> (h, s, f)  y = Conv (k, c) }}', f=np.array(held))


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_normalisations(scale: float, shift: float) -> None:
    vectors: dict[str, Any] = {"s": np.array([scale, 1, scale, 1]), "t": np.array([shift, 1, shift, 1])}
    one = HEAD + ", float[4] s, float[4] t> { h = Conv (x, a)  k = InstanceNormalization (h, s, t)  y = Conv (k, c) }"
    assert bool(unchanged(one, **vectors)) == (shift == 0)
    two = ", float[4] s, float[4] t, float[4] m, float[4] v> { h = Conv (x, a)"
    text = HEAD + two + "  k = BatchNormalization (h, s, t, m, v)  y = Conv (k, c) }"
    dropped = unchanged(text, **vectors, m=np.ones(4), v=np.ones(4))
    assert bool(dropped) == (scale == shift == 0)


MODES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("place", MODES)
def test_resizing(mode: str, place: str) -> None:
    attributes = f'mode = "{mode}", coordinate_transformation_mode = "{place}"'
    text = HEAD + "> { h = Conv (x, a)  s = Constant <value = float[3] {1.0,1.0,2.0}> ()"
    assert unchanged(text + f"  k = Resize <{attributes}> (h, , s)  y = Conv (k, c) }}")


def test_a_filter_of_zeros_takes_its_channel_along_but_not_with_a_bias() -> None:
    filters = np.random.default_rng(2).standard_normal((4, 1, 3))
    filters[1] = 0
    text = HEAD + ", float[4,1,3] d, float[4] b> { h = Conv (x, a)  k = Conv <group = 4> (h, d, b)  y = Conv (k, c) }"
    assert unchanged(text, d=filters, b=np.zeros(4)) == [("n0", 4, 1)]
    assert unchanged(text, d=filters, b=np.array([0.0, 1, 0, 0])) == [("n0", 4, 2)]


def test_every_rule_is_tried_here_or_moves_values_only() -> None:
    moving = {"Squeeze", "Transpose", "Unsqueeze", "Concat", "Split", "Shape", "Flatten", "Reshape", "Gather", "Slice"}
    elsewhere = {"MatMul", "ReduceSum", "Upsample", "Swish", "Resize", "Pad", "Clip", "Not"}
    norms = {"BatchNormalization", "InstanceNormalization"}
    tried = {op.rpartition(".")[2] for op in (*UNARY, *BESIDE)}
    assert set(RULES) == tried | moving | elsewhere | norms
