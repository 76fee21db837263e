"""LSTM, GRU and RNN, in one or both directions.

Layouts as ONNX has them: x [steps, batch, inputs], W [directions, gates * hidden, inputs], R [directions,
gates * hidden, hidden], B [directions, 2 * gates * hidden]; y [steps, directions, batch, hidden]. Gate order:
LSTM i o f c, GRU z r h. What torch's own kernels cover (default activations, no clipping, no peepholes, full
length) is left to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.shape import reversed_index
from gscompile.execute.table import op

Activation = Callable[[Tensor], Tensor]
CellState = tuple[Tensor, ...]
CellStep = Callable[
    [Tensor, CellState], CellState
]  # (x W' + b of one step, state) -> next state, whose first part is the output


def _activation(name: str, alpha: float | None, beta: float | None) -> Activation:
    """Return an activation of ONNX's list, with its own defaults for alpha and beta."""
    a = (
        {"leakyrelu": 0.01, "thresholdedrelu": 1.0, "hardsigmoid": 0.2, "elu": 1.0}.get(name, 1.0)
        if alpha is None
        else alpha
    )
    b = {"hardsigmoid": 0.5}.get(name, 0.0) if beta is None else beta
    known: dict[str, Activation] = {
        "relu": torch.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softsign": functional.softsign,
        "softplus": functional.softplus,
        "affine": lambda x: a * x + b,
        "leakyrelu": lambda x: functional.leaky_relu(x, a),
        "thresholdedrelu": lambda x: torch.where(x > a, x, torch.zeros_like(x)),
        "scaledtanh": lambda x: a * torch.tanh(b * x),
        "hardsigmoid": lambda x: torch.clamp(a * x + b, 0, 1),
        "elu": lambda x: functional.elu(x, a),
    }
    return known[name]


@dataclass(frozen=True)
class RecurrentDirection:
    """The weights and activations of one direction."""

    w: Tensor
    r: Tensor
    wb: Tensor
    rb: Tensor
    activations: Sequence[Activation]
    clip: float
    peephole: Tensor | None

    def clipped(self, x: Tensor) -> Tensor:
        """Return the input of an activation, within +-clip where the node says so."""
        return torch.clamp(x, -self.clip, self.clip) if self.clip else x


def _activations(node: NodeInfo, names: Sequence[str], directions: int) -> list[list[Activation]]:
    """Return the activations of each direction; alphas and betas are listed for those that take one, in order."""
    chosen = [name.lower() for name in node.strings("activations", tuple(names) * directions)]
    takes_alpha = {"affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"}
    alphas, betas = iter(node.get("activation_alpha", ())), iter(node.get("activation_beta", ()))
    made = [
        _activation(
            name,
            next(alphas, None) if name in takes_alpha else None,
            next(betas, None) if name in {"affine", "scaledtanh", "hardsigmoid"} else None,
        )
        for name in chosen
    ]
    return [made[n * len(names) : (n + 1) * len(names)] for n in range(directions)]


def _is_plain(node: NodeInfo, names: Sequence[str], lengths: Tensor | None, peephole: Tensor | None) -> bool:
    """Return whether torch's own kernel computes this node."""
    usual = [name.lower() for name in names]
    chosen = [name.lower() for name in node.strings("activations")]
    options = node.get("clip", 0.0) or node.get("input_forget", 0) or node.get("direction", "") == "reverse"
    return chosen in ([], usual, usual * 2) and not options and lengths is None and peephole is None


def _run_direction(
    direction: RecurrentDirection, cell: CellStep, x: Tensor, state: CellState, lengths: Tensor | None, backwards: bool
) -> tuple[Tensor, CellState]:
    """Return outputs [steps, batch, hidden] and the last state; beyond an item's length the outputs are zero."""
    steps = x.shape[0]
    order = (
        reversed_index(lengths, steps).t() if lengths is not None else torch.arange(steps - 1, -1, -1, device=x.device)
    )
    if backwards:
        x = _reordered(x, order)
    gates = functional.linear(x, direction.w, direction.wb)
    outputs = []
    for step in range(steps):
        new = cell(gates[step], state)
        if lengths is not None:
            alive = (step < lengths)[:, None]
            outputs.append(torch.where(alive, new[0], torch.zeros_like(new[0])))
            new = tuple(torch.where(alive, after, before) for after, before in zip(new, state, strict=True))
        else:
            outputs.append(new[0])
        state = new
    y = torch.stack(outputs) if outputs else x.new_zeros(0, x.shape[1], direction.r.shape[-1])
    return (_reordered(y, order) if backwards else y), state


def _reordered(x: Tensor, order: Tensor) -> Tensor:
    if order.ndim == 1:
        return x.index_select(0, order)
    return x.gather(0, order[:, :, None].expand(x.shape))


def _recurrent(
    node: NodeInfo,
    gates: int,
    names: Sequence[str],
    make_cell: Callable[[RecurrentDirection], CellStep],
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    initial: Sequence[Tensor | None],
    peephole: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Run an LSTM, GRU or RNN: return the outputs, then the last states [directions, batch, hidden]."""
    batch_first = bool(node.get("layout", 0))
    x = x.transpose(0, 1) if batch_first else x
    hidden, directions = r.shape[-1], w.shape[0]
    b = w.new_zeros(directions, 2 * gates * hidden) if b is None else b
    zeros = x.new_zeros(directions, x.shape[1], hidden)
    states = [zeros if s is None else s.transpose(0, 1) if batch_first else s for s in initial]
    activations = _activations(node, names, directions)
    outputs, finals = [], []
    for n in range(directions):
        wb, rb = b[n].chunk(2)
        part = RecurrentDirection(
            w=w[n],
            r=r[n],
            wb=wb,
            rb=rb,
            activations=activations[n],
            clip=node.get("clip", 0.0),
            peephole=None if peephole is None else peephole[n],
        )
        backwards = n == 1 or node.get("direction", "forward") == "reverse"
        y, final = _run_direction(part, make_cell(part), x, tuple(s[n] for s in states), lengths, backwards)
        outputs.append(y)
        finals.append(final)
    y, last = torch.stack(outputs, 1), [torch.stack(parts) for parts in zip(*finals, strict=True)]
    return _with_layout(batch_first, y, *last)


def _with_layout(batch_first: bool, y: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
    """y [steps, directions, batch, hidden] and states [directions, batch, hidden], or batch first."""
    if not batch_first:
        return (y, *states)
    return (y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in states))


def _torch_weights(w: Tensor, r: Tensor, b: Tensor | None, order: Sequence[int]) -> list[Tensor]:
    """Return the flat weight list of torch's kernels, gates brought into torch's order."""

    def sorted_gates(x: Tensor) -> Tensor:
        parts = x.chunk(len(order))
        return torch.cat([parts[n] for n in order])

    weights = []
    for n in range(w.shape[0]):
        weights += [sorted_gates(w[n]), sorted_gates(r[n])]
        weights += [] if b is None else [sorted_gates(part) for part in b[n].chunk(2)]
    return weights


def _by_torch(
    node: NodeInfo,
    kernel: Callable[..., tuple[Tensor, ...]],
    order: Sequence[int],
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    initial: Sequence[Tensor | None],
) -> tuple[Tensor, ...]:
    """Run a plain node by torch's own kernel."""
    batch_first = bool(node.get("layout", 0))
    x = x.transpose(0, 1) if batch_first else x
    directions, hidden = w.shape[0], r.shape[-1]
    zeros = x.new_zeros(directions, x.shape[1], hidden)
    states = [zeros if s is None else (s.transpose(0, 1) if batch_first else s).contiguous() for s in initial]
    weights = _torch_weights(w, r, b, order)
    state = states if len(states) > 1 else states[0]
    y, *last = kernel(x, state, weights, b is not None, 1, 0.0, False, directions == 2, False)
    return _with_layout(batch_first, y.reshape(*x.shape[:2], directions, hidden).transpose(1, 2), *last)


@op("RNN")
def rnn(
    node: NodeInfo,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    h: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Compute h' = f(x W' + h R' + b)."""

    def make_cell(d: RecurrentDirection) -> CellStep:
        (f,) = d.activations
        return lambda gates, state: (f(d.clipped(gates + functional.linear(state[0], d.r, d.rb))),)

    if _is_plain(node, ["Tanh"], lengths, None) and x.shape[0]:
        return _by_torch(node, torch.rnn_tanh, [0], x, w, r, b, [h])
    return _recurrent(node, 1, ["Tanh"], make_cell, x, w, r, b, lengths, [h])


@op("GRU")
def gru(
    node: NodeInfo,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    h: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Compute z, r = f(...); c = g(x W' + r * h R'); h' = (1 - z) c + z h; reset before or after the product."""
    after = bool(node.get("linear_before_reset", 0))

    def make_cell(d: RecurrentDirection) -> CellStep:
        f, g = d.activations
        hidden = d.r.shape[-1]
        r_zr, r_h = d.r[: 2 * hidden], d.r[2 * hidden :]
        b_zr, b_h = d.rb[: 2 * hidden], d.rb[2 * hidden :]

        def cell(gates: Tensor, state: CellState) -> CellState:
            (old,) = state
            x_zr, x_h = gates[:, : 2 * hidden], gates[:, 2 * hidden :]
            z, reset = f(d.clipped(x_zr + functional.linear(old, r_zr, b_zr))).chunk(2, 1)
            recurrent = reset * functional.linear(old, r_h, b_h) if after else functional.linear(reset * old, r_h, b_h)
            return ((1 - z) * g(d.clipped(x_h + recurrent)) + z * old,)

        return cell

    if after and _is_plain(node, ["Sigmoid", "Tanh"], lengths, None) and x.shape[0]:
        return _by_torch(node, torch.gru, [1, 0, 2], x, w, r, b, [h])
    return _recurrent(node, 3, ["Sigmoid", "Tanh"], make_cell, x, w, r, b, lengths, [h])


@op("LSTM")
def lstm(
    node: NodeInfo,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    h: Tensor | None = None,
    c: Tensor | None = None,
    peephole: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Compute i, o, f = f(...); c' = f c + i g(...); h' = o h(c'), with peepholes from c to the gates where given."""

    def make_cell(d: RecurrentDirection) -> CellStep:
        f, g, h_of = d.activations
        p_i, p_o, p_f = (None,) * 3 if d.peephole is None else d.peephole.chunk(3)

        def seen(gate: Tensor, cell: Tensor, weight: Tensor | None) -> Tensor:
            return d.clipped(gate if weight is None else gate + weight * cell)

        def cell(gates: Tensor, state: CellState) -> CellState:
            old_h, old_c = state
            i, o, forget, c_gate = (gates + functional.linear(old_h, d.r, d.rb)).chunk(4, 1)
            i = f(seen(i, old_c, p_i))
            forget = 1 - i if node.get("input_forget", 0) else f(seen(forget, old_c, p_f))
            new_c = forget * old_c + i * g(d.clipped(c_gate))
            return f(seen(o, new_c, p_o)) * h_of(new_c), new_c

        return cell

    names = ["Sigmoid", "Tanh", "Tanh"]
    if _is_plain(node, names, lengths, peephole) and x.shape[0]:
        return _by_torch(node, torch.lstm, [0, 2, 3, 1], x, w, r, b, [h, c])
    return _recurrent(node, 4, names, make_cell, x, w, r, b, lengths, [h, c], peephole)
