"""The range that a network expects of a floating input, as far as its first operations tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gscompile.onnx_files.constants import constant_array
from gscompile.onnx_files.op_names import kind

MOVES = ("Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Pad", "Flatten")


@dataclass(frozen=True)
class Scale:
    """Values are `mean + deviation * z`, z of mean 0 and deviation 1, within `low` and `high`."""

    mean: float
    deviation: float
    low: float = -np.inf
    high: float = np.inf

    def of(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised values in this scale."""
        return np.asarray(np.clip(self.mean + self.deviation * z, self.low, self.high))

    def __str__(self) -> str:
        if np.isfinite(self.low):
            return f"values of {self.low:g} to {self.high:g}"
        return f"values of mean {self.mean:g} and deviation {self.deviation:g}"


STANDARD_SCALE = Scale(0.0, 1.0)
UNIT = Scale(0.5, 0.25, 0.0, 1.0)
CENTRED_UNIT = Scale(0.0, 0.5, -1.0, 1.0)
BYTES = Scale(127.5, 64.0, 0.0, 255.0)
SOUND = Scale(0.0, 0.15, -1.0, 1.0)
CENTRED_BYTES = Scale(0.0, 64.0, -128.0, 127.0)  # pictures less a mean of each colour
LOG_ENERGIES = Scale(-4.0, 6.0)  # natural logarithms of the energies of bands, of about 1e-7 to 1e3
SPREAD = 0.4  # deviation of features that are not centred, relative to their mean: log spectra of -30 +- 12 dB
LARGE_BIAS = 8.0  # between deviations of pictures of 0 to 1, and standardised (0.25 to 1), and of 0 to 255 (64)
OFF_CENTRE = 4.0  # deviations of a first layer's sums that its bias is, from which on inputs are not centred


def picture_scales(told: Scale | None, takes_bytes: bool | None = None) -> tuple[Scale, ...]:
    """Return the scales that users feed pictures in; one where the network tells which."""
    if told is None and takes_bytes is not None:
        return (BYTES, CENTRED_BYTES) if takes_bytes else (STANDARD_SCALE, CENTRED_UNIT, UNIT)
    if told is None:
        return STANDARD_SCALE, CENTRED_UNIT, UNIT, BYTES
    near = min((UNIT, BYTES), key=lambda scale: abs(np.log(scale.deviation / told.deviation)))
    return (near,) if 0.3 < told.mean / near.mean < 3 else (told,)


def told_scale(model: ir.Model, name: str) -> Scale | None:
    """Return the mean and deviation that the first operations take off an input; None where they do not tell.

    The operations are Sub, Add, Div and Mul with constants and BatchNormalization, in any order: the network sees
    `(x - mean) / deviation`, which is standardised for the inputs it was trained on.
    """
    value = next(v for v in model.graph.inputs if v.name == name)
    gain, shift = 1.0, 0.0  # what the network sees is gain * x + shift
    is_told = False
    while len(uses := [*value.uses()]) == 1:
        node = uses[0].node
        step = _step(model, node, uses[0].idx)
        if step is None:
            break
        gain, shift, is_told = gain * step[0], shift * step[0] + step[1], is_told or step != (1.0, 0.0)
        value = node.outputs[0]
    if not is_told or not (np.isfinite(gain) and np.isfinite(shift)) or gain <= 0:
        return None
    return Scale(-shift / gain, 1 / gain)


def takes_bytes(model: ir.Model, name: str) -> bool | None:
    """Return whether the first convolution's weights suit values of 0 to 255; None where they do not tell.

    The bias of a trained convolution, or the deviation that batch normalization takes off its sums, is of the size of
    those sums: `norm of the filter * deviation of the input`. Relative to the norm it so estimates that deviation.
    """
    value = next(v for v in model.graph.inputs if v.name == name)
    while len(uses := [*value.uses()]) == 1 and kind(uses[0].node) in MOVES:
        value = uses[0].node.outputs[0]
    if len(uses) != 1 or kind(uses[0].node) != "Conv":
        return None
    node = uses[0].node
    weight, size = _constant(model, node, 1), _constant(model, node, 2)
    after = [*node.outputs[0].uses()]
    if len(after) == 1 and kind(after[0].node) == "BatchNormalization":
        variance = _constant(model, after[0].node, 4)
        size = None if variance is None else np.sqrt(np.maximum(variance, 0.0))
    if weight is None or size is None or size.shape != weight.shape[:1]:
        return None
    norms = np.linalg.norm(weight.reshape(len(weight), -1), axis=1)
    if not norms.any():
        return None
    return bool(np.median(np.abs(size)[norms > 0] / norms[norms > 0]) > LARGE_BIAS)


def uncentred_scale(model: ir.Model, name: str) -> Scale | None:
    """Return the scale of an input whose mean the first layer's bias takes off; None where inputs are about centred.

    Sums W x + b of a trained layer lie about zero. Where b is much larger than what standardised inputs make of W, they
    do so for inputs of another mean, which is found by least squares.
    """
    value = next(v for v in model.graph.inputs if v.name == name)
    uses = [*value.uses()]
    if len(uses) != 1 or kind(uses[0].node) not in ("MatMul", "Gemm") or uses[0].idx != 0:
        return None
    node = uses[0].node
    weight, bias = _constant(model, node, 1), _bias(model, node)
    if weight is None or bias is None or weight.ndim != 2:
        return None
    by_output = "transB" in node.attributes and node.attributes["transB"].as_int() == 1
    weight = weight.T if by_output else weight
    sums, norms, bias = weight.sum(0), np.linalg.norm(weight, axis=0), bias.ravel()
    if bias.shape != sums.shape or not norms.all() or not sums.any():
        return None
    mean = float(-(bias @ sums) / (sums @ sums))
    explained = float((bias @ sums) ** 2 / ((bias @ bias or 1.0) * (sums @ sums)))
    is_off = float(np.median(np.abs(bias) / norms)) > OFF_CENTRE and explained > 0.5
    return Scale(mean, SPREAD * abs(mean)) if is_off else None


def _bias(model: ir.Model, node: ir.Node) -> NDArray[np.float64] | None:
    if kind(node) == "Gemm":
        return _constant(model, node, 2)
    uses = [*node.outputs[0].uses()]
    is_added = len(uses) == 1 and kind(uses[0].node) == "Add"
    return _constant(model, uses[0].node, 1 - uses[0].idx) if is_added else None


def _step(model: ir.Model, node: ir.Node, index: int) -> tuple[float, float] | None:
    """What a node does to its input, as a factor and a summand; of vectors the mean."""
    if kind(node) in MOVES and index == 0:
        return 1.0, 0.0
    if kind(node) == "BatchNormalization" and index == 0:
        mean, variance = (_constant(model, node, place) for place in (3, 4))
        return None if mean is None or variance is None else _standardises(float(mean.mean()), variance)
    if kind(node) not in ("Sub", "Add", "Div", "Mul") or (index == 1 and kind(node) in ("Sub", "Div")):
        return None
    other = _constant(model, node, 1 - index)
    if other is None or not np.isfinite(other).all():
        return None
    number = float(other.mean())
    if kind(node) in ("Sub", "Add"):
        return 1.0, -number if kind(node) == "Sub" else number
    return None if number == 0 else (1 / number if kind(node) == "Div" else number, 0.0)


def _standardises(mean: float, variance: NDArray[np.float64]) -> tuple[float, float] | None:
    deviation = float(np.sqrt(max(variance.mean(), 0.0)))
    return (1 / deviation, -mean / deviation) if deviation > 0 else None


def _constant(model: ir.Model, node: ir.Node, index: int) -> NDArray[np.float64] | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    try:
        array = None if value is None else constant_array(value, model.opset_imports.get("", 1))
    except Exception:  # an op that the reference cannot run
        return None
    if array is None or not array.size or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return None
    return np.asarray(array, np.float64)
