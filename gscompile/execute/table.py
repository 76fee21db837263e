"""Hold the op tables: (domain, op, opset) -> the function that computes it.

The functions live in one file per family and register themselves:

    @op("Gemm")
    def gemm(node: NodeInfo, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor: ...

An absent optional input is None. One output is returned as it is, several as a tuple. A function that does
not cover a case raises NotImplementedError (as torch does for an element type), and the next layer gets the
node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

OpFunction = Callable[..., Any]
F = TypeVar("F", bound=OpFunction)
Versions = dict[int, OpFunction]

_TORCH_OPS: dict[tuple[str, str], Versions] = {}
_CONTROL: dict[tuple[str, str], Versions] = {}


def op(*names: str, since: int = 1, domain: str = "") -> Callable[[F], F]:
    """Enter a function `(node, *inputs) -> outputs` for the ops `names`, from opset `since` on."""

    def enter(function: F) -> F:
        for name in names:
            _TORCH_OPS.setdefault((domain, name), {})[since] = function
        return function

    return enter


def control(name: str, since: int = 1) -> Callable[[F], F]:
    """Enter a function `(node, run, *inputs) -> outputs` for an op with subgraphs; `run` runs them."""

    def enter(function: F) -> F:
        _CONTROL.setdefault(("", name), {})[since] = function
        return function

    return enter


def find(domain: str, op_type: str, version: int) -> OpFunction | None:
    """Return the function of an op at an opset version, or None."""
    return _newest(_TORCH_OPS.get((domain, op_type), {}), version)


def find_control(domain: str, op_type: str, version: int) -> OpFunction | None:
    """Return the function of an op with subgraphs, or None."""
    return _newest(_CONTROL.get((domain, op_type), {}), version)


def _newest(versions: Versions, version: int) -> OpFunction | None:
    since = max((since for since in versions if since <= version), default=None)
    return None if since is None else versions[since]
