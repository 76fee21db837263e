"""LSTM, GRU and RNN by numpy, both of their products handed to whoever holds the tiles.

As the ONNX operator specification has them: x [steps, batch, inputs], gates in its order (LSTM i o f c, GRU
z r h). What is rare (clipping, other activations, sequence lengths, batch first, coupled gates) is left to
onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Product = Callable[[int, Array], Array]
Inputs = Sequence[Array | None]
Attributes = Mapping[str, Any]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_RARE = ("activation_alpha", "activation_beta", "activations", "clip", "input_forget", "layout")


def runs_on_tiles(attributes: Attributes, has_lengths: bool) -> bool:
    """Return whether the recurrent node uses default activations and options, which this module executes."""
    return not has_lengths and not any(attributes.get(name) for name in _RARE)


@dataclass(frozen=True, eq=False)
class TiledDirection:
    """One direction of a node: its bias halves [gates * hidden], peepholes [3 * hidden] and initial
    states."""

    hidden: int
    input_bias: Array
    state_bias: Array
    peephole: Array | None
    state: Array
    cell: Array
    linear_before_reset: bool
    product: Callable[[Array], Array]  # state [batch, hidden] -> [batch, gates * hidden]


def recurrent(op: str, inputs: Inputs, attributes: Attributes, w: Product, r: Product) -> tuple[Array, ...]:
    """Outputs Y [steps, directions, batch, hidden], last state and, of an LSTM, last cell [directions,
    batch, hidden].

    `w` is the one input matrix of all directions, `r` a state matrix for each.
    """
    x = inputs[0]
    assert x is not None
    steps, batch, _ = x.shape
    order = _orders(attributes.get("direction", "forward"), steps)
    gates = GATES[op] * attributes["hidden_size"]
    driven = w(0, x.reshape(steps * batch, -1)).reshape(steps, batch, len(order), gates)
    runs = []
    for number, sequence in enumerate(order):
        direction = _direction(inputs, attributes, number, batch, gates, r)
        runs.append(_run(CELL_STEPS[op], direction, driven[:, :, number], sequence))
    sequences, states, cells = zip(*runs, strict=True)
    every, state, cell = np.stack(sequences, axis=1), np.stack(states), np.stack(cells)
    return (every, state, cell) if op == "LSTM" else (every, state)


def _orders(direction: str, steps: int) -> list[range]:
    forward, reverse = range(steps), range(steps - 1, -1, -1)
    return {"forward": [forward], "reverse": [reverse], "bidirectional": [forward, reverse]}[direction]


def _direction(
    inputs: Inputs, attributes: Attributes, number: int, batch: int, gates: int, r: Product
) -> TiledDirection:
    hidden = attributes["hidden_size"]
    kind = inputs[0].dtype if inputs[0] is not None else np.float32
    padded = [*inputs, *[None] * (8 - len(inputs))]
    bias, state, cell, peephole = padded[3], padded[5], padded[6], padded[7]
    both = np.zeros(2 * gates, kind) if bias is None else bias[number]
    none = np.zeros((batch, hidden), kind)
    return TiledDirection(
        hidden=hidden,
        input_bias=both[:gates],
        state_bias=both[gates:],
        peephole=None if peephole is None else peephole[number],
        state=none if state is None else state[number],
        cell=none if cell is None else cell[number],
        linear_before_reset=bool(attributes.get("linear_before_reset", 0)),
        product=lambda h: r(number, h),
    )


def _run(
    step: Callable[[TiledDirection, Array, Array, Array], tuple[Array, Array]],
    direction: TiledDirection,
    driven: Array,
    sequence: range,
) -> tuple[Array, Array, Array]:
    state, cell = direction.state, direction.cell
    every = np.zeros((len(driven), *state.shape), driven.dtype)
    for t in sequence:
        state, cell = step(direction, driven[t], state, cell)
        every[t] = state
    return every, state, cell


def _lstm(d: TiledDirection, driven: Array, state: Array, cell: Array) -> tuple[Array, Array]:
    gates = driven + d.product(state) + d.input_bias + d.state_bias
    i, o, f, c = _split(gates, 4)
    p_i, p_o, p_f = (0, 0, 0) if d.peephole is None else _split(d.peephole, 3)
    cell_now = _sigmoid(f + p_f * cell) * cell + _sigmoid(i + p_i * cell) * np.tanh(c)
    return _sigmoid(o + p_o * cell_now) * np.tanh(cell_now), cell_now


def _gru(d: TiledDirection, driven: Array, state: Array, cell: Array) -> tuple[Array, Array]:
    x_z, x_r, x_h = _split(driven + d.input_bias, 3)
    r_z, r_r, r_h = _split(d.product(state), 3)
    b_z, b_r, b_h = _split(d.state_bias, 3)
    update, reset = _sigmoid(x_z + r_z + b_z), _sigmoid(x_r + r_r + b_r)
    if d.linear_before_reset:
        fresh = np.tanh(x_h + reset * (r_h + b_h))
    else:  # the state matrix is used a second time, on the state that was reset
        fresh = np.tanh(x_h + _split(d.product(reset * state), 3)[2] + b_h)
    return (1 - update) * fresh + update * state, cell


def _rnn(d: TiledDirection, driven: Array, state: Array, cell: Array) -> tuple[Array, Array]:
    return np.tanh(driven + d.product(state) + d.input_bias + d.state_bias), cell


CELL_STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def _split(gates: Array, count: int) -> list[Array]:
    return np.split(gates, count, axis=-1)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))
