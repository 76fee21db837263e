"""The order of work for a block: what is needed, what is folded, and when each value is freed.

Folding. A value that depends on constants only, or on constants and on the *shapes* of other values (`Shape`,
and the `Gather`, `Concat`, `Range`, ... behind it), is computed once per set of shapes and then remembered.
The key is the shapes that the `Shape` nodes saw, so a network with dynamic inputs stays right. Weights that
train are never folded.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import nn

from gscompile.execute.block import Call, Env, EnvKey, Step, TrainableBlock

REMEMBERED = 8  # sets of shapes per folded value: a few batch and image sizes, not a leak


class Ask:
    """Notes the shape that a `Shape` or `Size` node asks for, so that the tensor can be freed."""

    def __init__(self, call: Call) -> None:
        self.value = call.inputs[0]
        self.node = call.source
        self.reads = call.reads
        self.writes: frozenset[EnvKey] = frozenset([call.source])

    def __call__(self, env: Env) -> None:
        assert self.value is not None  # the input of Shape is not optional
        tensor = env[self.value]
        env[self.node] = (tuple(tensor.shape), tensor.device)


class Answer:
    """Gives a `Shape` or `Size` node the noted shape, as a tensor without memory of its own."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.reads: frozenset[EnvKey] = frozenset([call.source])
        self.writes = call.writes

    def __call__(self, env: Env) -> None:
        shape, device = env[self.call.source]
        self.call.store(env, [torch.empty((), device=device).expand(shape)])


class Fold:
    """A tree of steps whose last result is remembered per set of asked shapes."""

    def __init__(self, steps: Sequence[Step], asked: Iterable[ir.Node]) -> None:
        inside: frozenset[EnvKey] = frozenset().union(*(step.writes for step in steps))
        outside = frozenset().union(*(step.reads for step in steps)) - inside
        self.steps = steps
        self.asked = tuple(asked)
        self.reads: frozenset[EnvKey] = outside.union(self.asked)
        self.writes = steps[-1].writes
        self.interior = inside - self.writes
        self.known: OrderedDict[Any, dict[EnvKey, Any]] = OrderedDict()

    def __call__(self, env: Env) -> None:
        shapes = tuple(env[node] for node in self.asked)
        if shapes in self.known:
            self.known.move_to_end(shapes)
        else:
            self.known[shapes] = self._compute(env)
            if len(self.known) > REMEMBERED:
                self.known.popitem(last=False)
        env.update(self.known[shapes])

    def _compute(self, env: Env) -> dict[EnvKey, Any]:
        # Not inference tensors, even in inference mode: a later run may want gradients that pass by them.
        with torch.inference_mode(False), torch.no_grad():
            for step in self.steps:
                step(env)
        for key in self.interior:
            del env[key]
        return {key: env[key] for key in self.writes}


@dataclass(frozen=True)
class Plan:
    """Steps in order, each with the keys that die after it; `wanted` is what a run returns."""

    inputs: tuple[ir.Value, ...]
    wanted: tuple[ir.Value, ...]
    steps: tuple[tuple[Step, tuple[EnvKey, ...]], ...]
    leftover: tuple[EnvKey, ...]

    def run(self, env: Env, arguments: Sequence[Any]) -> list[Any]:
        """Bind the inputs, run the steps, and leave nothing of this block in the environment."""
        env.update(zip(self.inputs, arguments, strict=True))
        for step, dead in self.steps:
            step(env)
            for key in dead:
                del env[key]
        results = [env[value] for value in self.wanted]
        for key in self.leftover:
            del env[key]
        return results

    def forget(self) -> None:
        """Drop all folded values, as they are on another device or of another type now."""
        for step, _ in self.steps:
            if isinstance(step, Fold):
                step.known.clear()


def make_plan(block: TrainableBlock, extra: Sequence[ir.Value] = ()) -> Plan:
    """Return the plan that computes the block's outputs, and the values `extra` behind them."""
    wanted = (*block.outputs, *extra)
    steps = _fold(block, _needed(block.calls, wanted), frozenset(wanted))
    own: frozenset[EnvKey] = frozenset(block.inputs).union(*(step.writes for step in steps))
    timed, leftover = _with_deaths(steps, own, frozenset(wanted))
    return Plan(block.inputs, wanted, timed, leftover)


def _needed(calls: Sequence[Call], wanted: Iterable[EnvKey]) -> list[Call]:
    """Return the calls that the wanted values depend on, in order."""
    alive = set(wanted)
    kept = []
    for call in reversed(calls):
        if not alive.isdisjoint(call.writes):
            alive |= call.reads
            kept.append(call)
    return kept[::-1]


def _fold(block: TrainableBlock, calls: Sequence[Call], wanted: frozenset[EnvKey]) -> list[Step]:
    """Return the calls, with those that depend on constants and shapes alone gathered into `Fold`s.

    A foldable call with one reader, itself foldable, joins that reader's tree; any other is a root.
    """
    foldable = _foldable(block, calls)
    readers = Counter(key for call in calls for key in call.reads)
    read_outside = wanted.union(*(call.reads for call in calls if call not in foldable))
    trees: dict[EnvKey, list[Step]] = {}  # by the key that a tree computes, until its one reader takes it
    asked: dict[EnvKey, frozenset[ir.Node]] = {}  # the questions a key depends on
    steps: list[Step] = []
    for call in calls:
        if call not in foldable:
            steps.append(call)
            continue
        tree: list[Step]
        if foldable[call]:
            steps.append(Ask(call))
            questions, tree = frozenset([call.source]), [Answer(call)]
        else:
            known = call.reads & asked.keys()
            questions = frozenset().union(*(asked[key] for key in known))
            tree = [*(step for key in known for step in trees.pop(key, ())), call]
        asked |= dict.fromkeys(call.writes, questions)
        alone = len(call.writes) == 1 and all(readers[key] == 1 for key in call.writes)
        if alone and read_outside.isdisjoint(call.writes):
            trees |= dict.fromkeys(call.writes, tree)
        else:
            steps.append(Fold(tree, questions))
    return steps


def _foldable(block: TrainableBlock, calls: Sequence[Call]) -> dict[Call, bool]:
    """Return the calls to fold; True for a `Shape` or `Size` of a value that is not itself known."""
    known: set[EnvKey] = {key for key, value in block.constants.items() if not isinstance(value, nn.Parameter)}
    found: dict[Call, bool] = {}
    for call in calls:
        asks = call.node.op_type in ("Shape", "Size") and not call.node.domain and not call.reads <= known
        if asks or (call.pure and call.reads <= known):
            found[call] = asks
            known |= call.writes
    return found


def _with_deaths(
    steps: Sequence[Step], own: frozenset[EnvKey], wanted: frozenset[EnvKey]
) -> tuple[tuple[tuple[Step, tuple[EnvKey, ...]], ...], tuple[EnvKey, ...]]:
    """Return each step with the block's own keys that die after it, and the keys that are left at the end."""
    seen = set(wanted)
    timed: list[tuple[Step, tuple[EnvKey, ...]]] = []
    for step in reversed(steps):
        last = ((step.reads | step.writes) & own) - seen
        seen |= last
        timed.append((step, tuple(last)))
    unread = {key for key in own if key not in seen}
    return tuple(timed[::-1]), tuple((wanted & own) | unread)
