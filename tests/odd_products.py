"""Steps for `tests.odd_graphs`: a product by each op of `WEIGHT_OPS` that `tests.random_graphs` does not draw."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto

from tests import choices as st
from tests.random_graphs import FLOAT, Drawn

MICROSOFT = "com.microsoft"
_STEP = 0.05  # of quantised values


def array(g: Drawn, values: Any) -> str:
    """Return the name of a new constant, an array or a numpy scalar."""
    name = f"w{len(g.weights)}"
    g.weights[name] = values
    return name


def random(g: Drawn, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(g.draw(st.integers(0, 99)))
    return np.asarray(rng.standard_normal(shape) / max(1, shape[0]) ** 0.5, np.float32)


def vector(g: Drawn) -> tuple[str, int] | None:
    """A value [batch, size] of at least one entry."""
    x = g.pick(lambda s: len(s) == 1 and s[0] > 0)
    return None if x is None else (x, g.values[x][0])


def _pixels(g: Drawn) -> str | None:
    return g.pick(lambda s: len(s) == 3 and min(s) > 0)


def _bytes(g: Drawn, *shape: int) -> str:
    """Weights of eight bits within half their range: some processors' products of eight bits saturate beyond."""
    whole = np.round(40 * random(g, *shape)).clip(-63, 63).astype(np.int8)
    if shape and g.draw(st.booleans()):
        whole[..., g.draw(st.integers(0, shape[-1] - 1))] = 0
    return array(g, whole)


def _quantised(g: Drawn, x: str) -> list[str]:
    """Return the names of a value in bytes, its scale and its zero."""
    scale, zero = array(g, np.float32(_STEP)), array(g, np.uint8(64))
    clipped = g.hidden("Clip", [x, array(g, np.float32(-3)), array(g, np.float32(3))])
    return [g.hidden("QuantizeLinear", [clipped, scale, zero]), scale, zero]


def _wide(g: Drawn) -> list[str]:
    """Return the names of a scale and a zero for what a product gives."""
    return [array(g, np.float32(0.2)), array(g, np.uint8(128))]


def _scale_and_zero(g: Drawn) -> list[str]:
    return [array(g, np.float32(0.02)), array(g, np.int8(0))]


def fused_matmul(g: Drawn) -> None:
    if (found := vector(g)) is not None:
        x, inputs = found
        outputs, turned = g.draw(st.integers(1, 6)), g.draw(st.integers(0, 1))
        w = g.weight(outputs, inputs) if turned else g.weight(inputs, outputs)
        g.add("FusedMatMul", [x, w], (outputs,), domain=MICROSOFT, transB=turned, alpha=0.5)


def fused_gemm(g: Drawn) -> None:
    if (found := vector(g)) is not None:
        x, inputs = found
        outputs, turned = g.draw(st.integers(1, 6)), g.draw(st.integers(0, 1))
        w = g.weight(outputs, inputs) if turned else g.weight(inputs, outputs)
        activation = g.draw(st.sampled_from(["Relu", "Tanh", "Sigmoid"]))
        g.add("FusedGemm", [x, w, g.weight(outputs)], (outputs,), domain=MICROSOFT, transB=turned,
              activation=activation, alpha=2.0, beta=0.5)  # fmt: skip


def fused_conv(g: Drawn) -> None:
    if (x := _pixels(g)) is not None:
        channels, *sizes = g.values[x]
        outputs, activation = g.draw(st.integers(1, 5)), g.draw(st.sampled_from(["Relu", "Tanh", "LeakyRelu"]))
        more: dict[str, Any] = {"activation_params": [0.1]} if activation == "LeakyRelu" else {}
        g.add("FusedConv", [x, g.weight(outputs, channels, 3, 3), g.weight(outputs)], (outputs, *sizes),
              domain=MICROSOFT, pads=[1, 1, 1, 1], activation=activation, **more)  # fmt: skip


def attention(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2 and min(s) > 0)
    if x is not None:
        rows, size = g.values[x]
        heads = 2 if size % 2 == 0 else 1
        inputs = [x, g.weight(size, 3 * size), g.weight(3 * size)]
        g.add("Attention", inputs, (rows, size), domain=MICROSOFT, num_heads=heads)


def quantised_attention(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2 and min(s) > 0)
    if x is not None:
        rows, size = g.values[x]
        heads = 2 if size % 2 == 0 else 1
        byte, scale, zero = _quantised(g, x)
        small, none = _scale_and_zero(g)
        inputs = [byte, _bytes(g, size, 3 * size), g.weight(3 * size), scale, small, "", zero, none]
        g.add("QAttention", inputs, (rows, size), domain=MICROSOFT, num_heads=heads)


def deformed(g: Drawn) -> None:
    """A convolution whose taps lie where another convolution puts them."""
    x = g.pick(lambda s: len(s) == 3 and min(s) > 2)
    if x is not None:
        channels, height, width = g.values[x]
        shape = (g.draw(st.integers(1, 4)), height - 1, width - 1)
        offsets = g.hidden("Conv", [x, g.weight(8, channels, 2, 2)])
        g.add("DeformConv", [x, g.weight(shape[0], channels, 2, 2), offsets], shape, pads=[0, 0, 0, 0])


def conv_integer(g: Drawn) -> None:
    if (x := _pixels(g)) is not None:
        channels, *sizes = g.values[x]
        outputs = g.draw(st.integers(1, 4))
        byte, _, zero = _quantised(g, x)
        inputs = [byte, _bytes(g, outputs, channels, 3, 3), *([zero] if g.draw(st.booleans()) else [])]
        y = g.hidden("ConvInteger", inputs, pads=[1, 1, 1, 1])
        scaled = g.hidden("Mul", [g.hidden("Cast", [y], to=FLOAT), array(g, np.float32(0.001))])
        g.add("Identity", [scaled], (outputs, *sizes))


def qlinear_conv(g: Drawn) -> None:
    if (x := _pixels(g)) is not None:
        channels, *sizes = g.values[x]
        outputs = g.draw(st.integers(1, 4))
        wide = _wide(g)
        inputs = [*_quantised(g, x), _bytes(g, outputs, channels, 3, 3), *_scale_and_zero(g), *wide]
        if g.draw(st.booleans()):
            inputs.append(array(g, np.round(50 * random(g, outputs)).astype(np.int32)))
        y = g.hidden("QLinearConv", inputs, pads=[1, 1, 1, 1])
        g.add("DequantizeLinear", [y, *wide], (outputs, *sizes))


def qlinear_matmul(g: Drawn) -> None:
    if (found := vector(g)) is not None:
        x, size = found
        outputs, wide = g.draw(st.integers(1, 5)), _wide(g)
        inputs = [*_quantised(g, x), _bytes(g, size, outputs), *_scale_and_zero(g), *wide]
        g.add("DequantizeLinear", [g.hidden("QLinearMatMul", inputs), *wide], (outputs,))


def qgemm(g: Drawn) -> None:
    if (found := vector(g)) is not None:
        x, size = found
        outputs, turned, wide = g.draw(st.integers(1, 5)), g.draw(st.integers(0, 1)), _wide(g)
        w = _bytes(g, outputs, size) if turned else _bytes(g, size, outputs)
        bias = array(g, np.round(50 * random(g, outputs)).astype(np.int32))
        inputs = [*_quantised(g, x), w, *_scale_and_zero(g), bias]
        if g.draw(st.booleans()):
            g.add("QGemm", inputs, (outputs,), domain=MICROSOFT, transB=turned)
        else:
            y = g.hidden("QGemm", [*inputs, *wide], domain=MICROSOFT, transB=turned)
            g.add("DequantizeLinear", [y, *wide], (outputs,))


def matmul_integer_to_float(g: Drawn) -> None:
    if (found := vector(g)) is not None:
        x, size = found
        outputs = g.draw(st.integers(1, 5))
        byte, scale, zero = _quantised(g, x)
        small, none = _scale_and_zero(g)
        inputs = [byte, _bytes(g, size, outputs), scale, small, zero, none]
        more = [g.weight(outputs)] if g.draw(st.booleans()) else []
        g.add("MatMulIntegerToFloat", [*inputs, *more], (outputs,), domain=MICROSOFT)


def dynamic_matmul(g: Drawn) -> None:
    if (found := vector(g)) is not None:
        x, size = found
        outputs = g.draw(st.integers(1, 5))
        inputs = [x, _bytes(g, size, outputs), *_scale_and_zero(g)]
        g.add("DynamicQuantizeMatMul", inputs, (outputs,), domain=MICROSOFT)


def dynamic_lstm(g: Drawn) -> None:
    x = g.pick(lambda s: len(s) == 2 and min(s) > 0)
    if x is not None:
        steps, inputs = g.values[x]
        w, r = _bytes(g, 1, inputs, 8), _bytes(g, 1, 2, 8)
        scale, zero = array(g, np.array([0.02], np.float32)), array(g, np.array([0], np.int8))
        sequence = g.hidden("Transpose", [x], perm=[1, 0, 2])
        operands = [sequence, w, r, "", "", "", "", "", scale, zero, scale, zero]
        y = g.hidden("DynamicQuantizeLSTM", operands, domain=MICROSOFT, hidden_size=2)
        g.add("Transpose", [y], (steps, 1, 2), perm=[2, 0, 1, 3])


def brain_float(g: Drawn) -> None:
    """A weight of 16 bits, eight of them the exponent, that a Cast makes wide."""
    if (found := vector(g)) is not None:
        x, size = found
        outputs = g.draw(st.integers(1, 6))
        held = array(g, random(g, size, outputs).astype(ml_dtypes.bfloat16))
        g.add("MatMul", [x, g.hidden("Cast", [held], to=TensorProto.FLOAT)], (outputs,))


PRODUCTS = [
    fused_matmul, fused_gemm, fused_conv, attention, quantised_attention, deformed, conv_integer, qlinear_conv,
    qlinear_matmul, qgemm, matmul_integer_to_float, dynamic_matmul, dynamic_lstm, brain_float,
]  # fmt: skip
