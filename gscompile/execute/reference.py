"""Compute nodes that need no gradient with numpy, by `onnx.reference` (layer 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from gscompile.errors import ExecutionError
from gscompile.execute.block import Env
from gscompile.execute.node import NodeInfo
from gscompile.execute.proto import node_proto
from gscompile.execute.values import from_numpy, to_numpy


class ReferenceOp:
    """One node run by `onnx.reference`; NotImplementedError where it does not know the op."""

    def __init__(self, node: NodeInfo) -> None:
        self.node = node
        self._evaluators: dict[tuple[bool, ...], ReferenceEvaluator] = {}

    def known(self, inputs: int) -> bool:
        """Return whether `onnx.reference` has the op."""
        try:
            self._evaluator((True,) * inputs)
        except Exception:  # of several types, bare RuntimeError included: all mean that it has none
            return False
        return True

    def __call__(self, _env: Env, arguments: Sequence[Any]) -> tuple[Any, ...]:
        evaluator = self._evaluator(tuple(argument is not None for argument in arguments))
        feeds = {f"i{n}": to_numpy(value) for n, value in enumerate(arguments) if value is not None}
        with np.errstate(all="ignore"):  # overflow and 0/0 are left to the model
            results = evaluator.run(None, feeds, attributes={})
        tensors = list(_tensors(arguments))
        outputs = tuple(_from_reference(result, tensors) for result in results)
        self._check_gradient(tensors, outputs)
        return outputs

    def _evaluator(self, present: tuple[bool, ...]) -> ReferenceEvaluator:
        if present not in self._evaluators:
            proto = node_proto(self.node, present)
            opsets = [onnx.helper.make_opsetid(self.node.domain, self.node.version)]
            inputs = [name for name in proto.input if name]
            function = onnx.helper.make_function("gscompile", "one_node", inputs, list(proto.output), [proto], opsets)
            self._evaluators[present] = ReferenceEvaluator(function)
        return self._evaluators[present]

    def _check_gradient(self, inputs: Sequence[Tensor], outputs: Sequence[Any]) -> None:
        wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        if wanted and any(isinstance(value, Tensor) and value.is_floating_point() for value in outputs):
            raise ExecutionError(
                f"{self.node} cuts the gradient to a trainable weight before it: torch does not run this op"
            )


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list):
            yield from _tensors(value)


def _from_reference(result: Any, inputs: Sequence[Tensor]) -> Any:
    if isinstance(result, list):
        return [_from_reference(item, inputs) for item in result]
    if result is None:
        return None
    return from_numpy(result, inputs[0].device if inputs else "cpu")
