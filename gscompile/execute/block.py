"""Define the units of the interpreter: calls (one node each) and blocks (a graph, a subgraph or a function body)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import onnx_ir as ir
from torch import Tensor, nn

from gscompile.errors import ExecutionError, GscompileError
from gscompile.execute.node import NodeInfo

EnvKey = ir.Value | ir.Node  # a node stands for the shape that a Shape node asked for, see plan.py


class Env(dict[EnvKey, Any]):
    """The values computed so far.

    Names repeat in sibling branches, `ir.Value`s do not, so one table serves all scopes.
    """

    def __init__(self, constants: Mapping[ir.Value, Any]) -> None:
        super().__init__()
        self.constants = constants

    def __missing__(self, key: EnvKey) -> Any:
        if not isinstance(key, ir.Value) or key not in self.constants:
            raise ExecutionError(f"'{key.name}' is read before anything has computed it")
        return self.constants[key]


TorchLayer = Callable[[Env, Sequence[Any]], Any]


class Step(Protocol):
    """A part of a plan: reads keys of the environment and writes others."""

    reads: frozenset[EnvKey]
    writes: frozenset[EnvKey]

    def __call__(self, env: Env) -> None: ...


class Call:
    """One node: the first of its layers that does not decline computes the outputs from the inputs."""

    def __init__(
        self,
        node: NodeInfo,
        source: ir.Node,
        layers: Sequence[TorchLayer],
        blocks: Iterable[TrainableBlock] = (),
        pure: bool = True,
    ) -> None:
        blocks = tuple(blocks)
        self.node = node
        self.source = source
        self.layers = tuple(layers)
        self.inputs = tuple(source.inputs)
        self.outputs = tuple(
            value if wanted else None for value, wanted in zip(source.outputs, node.wanted, strict=True)
        )
        self.least = max((i + 1 for i, wanted in enumerate(node.wanted) if wanted), default=0)
        self.reads: frozenset[EnvKey] = frozenset(v for v in self.inputs if v is not None).union(
            *(b.captured for b in blocks)
        )
        self.writes: frozenset[EnvKey] = frozenset(v for v in self.outputs if v is not None)
        self.pure: bool = pure and all(call.pure for block in blocks for call in block.calls)

    def __call__(self, env: Env) -> None:
        self.store(env, [None if value is None else env[value] for value in self.inputs])

    def store(self, env: Env, arguments: Sequence[Any]) -> None:
        """Put the outputs for these arguments into the environment."""
        results = self._compute(env, arguments)
        for value, result in zip(self.outputs, results, strict=False):
            if value is not None:
                env[value] = result

    def _compute(self, env: Env, arguments: Sequence[Any]) -> tuple[Any, ...]:
        for layer in self.layers:
            try:
                results = layer(env, arguments)
            except NotImplementedError:
                continue
            except GscompileError:
                raise
            except Exception as error:  # any error of an op is reported with its node
                raise ExecutionError(f"{self.node}: {_first_line(error)}") from error
            results = results if isinstance(results, tuple) else (results,)
            if len(results) >= self.least:
                return results
        kinds = ", ".join(_describe(argument) for argument in arguments)
        raise ExecutionError(f"{self.node}: nothing here runs it (opset {self.node.version}) on ({kinds})")


class TrainableBlock:
    """The calls of a graph in order, with its inputs, its outputs and what it reads from outside."""

    def __init__(
        self,
        inputs: Sequence[ir.Value],
        outputs: Sequence[ir.Value],
        calls: Sequence[Call],
        constants: Mapping[ir.Value, Any],
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.calls = tuple(calls)
        self.constants = constants
        inside: frozenset[EnvKey] = frozenset(inputs)
        read: frozenset[EnvKey] = frozenset(outputs)
        inside = inside.union(*(call.writes for call in calls))
        read = read.union(*(call.reads for call in calls))
        self.captured: frozenset[EnvKey] = frozenset(key for key in read - inside if not _is_fixed(key, constants))


def _is_fixed(key: EnvKey, constants: Mapping[ir.Value, Any]) -> bool:
    """Return whether a value never changes. A weight that trains changes, so what depends on it is not folded."""
    return isinstance(key, ir.Value) and key in constants and not isinstance(constants[key], nn.Parameter)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _describe(value: Any) -> str:
    if value is None or isinstance(value, list):
        return "nothing" if value is None else f"sequence of {len(value)}"
    kind = str(value.dtype).removeprefix("torch.") if hasattr(value, "dtype") else type(value).__name__
    return f"{kind}{list(value.shape)}" if isinstance(value, Tensor) else kind
