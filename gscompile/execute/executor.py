"""Run an ONNX graph by torch as a module that training can differentiate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from gscompile.errors import ExecutionError
from gscompile.execute.block import Env
from gscompile.execute.build import Builder, Store, constant
from gscompile.execute.plan import Plan
from gscompile.execute.values import from_ir


class Executor(nn.Module):
    """An ONNX graph run by torch, with gradients to the chosen weights.

    `trainable` maps a key of the caller's choice to an initializer, of the main graph or of a subgraph, or to
    the output of a `Constant` node. The model is read and never written. An op that nothing here can run is
    an ExecutionError when the executor is made; a gradient cut above a trainable weight is one when it runs.
    """

    def __init__(self, model: ir.Model, trainable: Mapping[str, ir.Value] | None = None) -> None:
        super().__init__()
        values = dict(trainable or {})
        parameters = [_parameter(key, value) for key, value in values.items()]
        self._keys = tuple(values)
        self._weight_list = nn.ParameterList(parameters)
        self._store = Store(dict(zip(values.values(), parameters, strict=True)))
        self._block = Builder(self._store, model.functions, model.graph.opset_imports).block(model.graph)
        self._check_found(values)
        self._plans: dict[frozenset[ir.Value], Plan] = {}

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """Return the trainable weights by key."""
        return dict(zip(self._keys, self._weight_list, strict=True))

    def forward(self, inputs: Mapping[str, Tensor], capture: Collection[ir.Value] = ()) -> dict[str, Any]:
        """Outputs by name, in the graph's order; then the values of `capture` (of the main graph) by name.

        A sequence comes as a list, an empty optional as None, and a tensor whose element type torch lacks as
        a numpy array. ExecutionError: an input is missing, or a node cannot be run.
        """
        plan = self._plan(capture)
        missing = [value.name for value in plan.inputs if value.name not in inputs]
        if missing:
            raise ExecutionError(f"input '{missing[0]}' is missing; given: {', '.join(inputs) or 'nothing'}")
        results = plan.run(Env(self._store.constants), [inputs[str(value.name)] for value in plan.inputs])
        return {str(value.name): result for value, result in zip(plan.wanted, results, strict=True)}

    def _check_found(self, values: Mapping[str, ir.Value]) -> None:
        lost = [key for key, value in values.items() if value not in self._store.constants]
        if lost:
            raise ExecutionError(f"weight '{lost[0]}' is not in the model")

    def _plan(self, capture: Collection[ir.Value]) -> Plan:
        key = frozenset(capture)
        if key not in self._plans:
            self._plans[key] = self._store.plan(self._block, list(key))
        return self._plans[key]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Executor:
        """Constants move with the parameters (no buffers: DDP would send them again at every step)."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._store.move(fn, list(self._weight_list))
        return self


def _parameter(key: str, value: ir.Value) -> nn.Parameter:
    """Return the weight as a parameter of its own memory."""
    tensor = _tensor_of(key, value)
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        raise ExecutionError(f"weight '{key}' cannot be trained: it is no tensor of floating point numbers")
    return nn.Parameter(tensor)


def _tensor_of(key: str, value: ir.Value) -> Any:
    if value.const_value is not None:
        return from_ir(value.const_value)
    node = value.producer()
    if node is None or node.op_type != "Constant":
        raise ExecutionError(f"weight '{key}' is neither an initializer nor a Constant")
    return constant(node.attributes, torch.device("cpu"))
