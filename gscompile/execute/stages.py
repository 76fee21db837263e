"""A network run on all samples as far as one of its nodes, layer after layer, while weights that come later change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import onnx_ir as ir
import torch
from torch import Tensor

from gscompile.execute.block import Env, EnvKey
from gscompile.execute.executor import Executor

MOST_HELD = 1 << 28  # bytes of values that are kept between layers; beyond that they are computed again


class Stages:
    """Runs a network batch by batch from where it was left; `feeds` yields the same batches each time it is called.

    Values that are still to be read are kept between runs while those of all batches fit `most_held` bytes; else a run
    starts from the last place where they did, so that memory is bounded by a batch and not by the samples.
    """

    def __init__(
        self, network: ir.Model, feeds: Callable[[], Iterable[Mapping[str, Tensor]]], most_held: int = MOST_HELD
    ) -> None:
        executor = Executor(network)
        self._calls, self._store, self._inputs = executor._block.calls, executor._store, executor._block.inputs
        self._feeds, self._most_held = feeds, most_held
        self._start = 0
        self._held: list[Env] | None = None  # values of every batch once `_start` nodes have run; None: as they are fed
        self._number = {call.source: number for number, call in enumerate(self._calls)}
        self._last: dict[EnvKey, int] = {key: number for number, call in enumerate(self._calls) for key in call.reads}
        self._last |= dict.fromkeys(executor._block.outputs, len(self._calls))

    def place(self, node: ir.Node) -> int:
        """Return the number of nodes that run before `node`."""
        return self._number[node]

    def set_constant(self, value: ir.Value, tensor: Tensor) -> None:
        """Replace a weight or bias, which no node that has been passed may read."""
        self._store.constants[value] = tensor

    def constant(self, value: ir.Value) -> Tensor:
        """Return a weight or bias as it is."""
        constant: Tensor = self._store.constants[value]
        return constant

    def constants(self, first: int, last: int) -> list[ir.Value]:
        """Return the constants that nodes `first` to `last` read."""
        read = dict.fromkeys(key for call in self._calls[first:last] for key in call.inputs)
        return [key for key in read if isinstance(key, ir.Value) and key in self._store.constants]

    @property
    def length(self) -> int:
        """Number of nodes."""
        return len(self._calls)

    def cuts(self) -> Iterator[tuple[int, ir.Value]]:
        """Yield the places behind which a single computed value is all that is still to be read, and that value."""
        live: set[EnvKey] = set(self._inputs)
        for number, call in enumerate(self._calls):
            live |= call.writes
            live = {key for key in live if self._last.get(key, -1) > number}
            if len(live) == 1 and isinstance(key := next(iter(live)), ir.Value) and key not in self._inputs:
                yield number + 1, key

    def ran(self, before: Env, first: int, last: int) -> Env:
        """Return the values once nodes `first` to `last` have run, with gradients to weights that ask for them."""
        env = Env(self._store.constants)
        env.update(before)
        for number in range(first, last):
            self._call(env, number)
        return env

    @torch.no_grad()
    def run(self, place: int) -> Iterator[Env]:
        """Yield each batch's values as they are once `place` nodes have run, those that later nodes or outputs read.

        Places may not go back.
        """
        held: list[Env] | None = []
        size = 0
        for before in self._fed() if self._held is None else self._held:
            env = Env(self._store.constants)
            env.update(before)
            for number in range(self._start, place):
                self._call(env, number)
            if held is not None:
                size += sum(value.nbytes for value in env.values() if isinstance(value, Tensor))
                held = [*held, env] if size <= self._most_held else None
            yield env
        if held is not None:
            self._start, self._held = place, held

    def _call(self, env: Env, number: int) -> None:
        call = self._calls[number]
        call(env)
        for key in call.reads | call.writes:
            if key in env and self._last.get(key, -1) <= number:
                del env[key]

    def _fed(self) -> Iterator[Env]:
        for feeds in self._feeds():
            env = Env(self._store.constants)
            env.update({value: feeds[str(value.name)] for value in self._inputs})
            yield env
