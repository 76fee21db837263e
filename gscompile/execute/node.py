"""The facts of a node that its op's function receives: attributes, opset version and which outputs are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import onnx_ir as ir

T = TypeVar("T")


@dataclass(frozen=True)
class NodeInfo:
    """A node without its edges.

    `version` is the opset of the op's domain; `attributes` are Python values (a tensor is a torch tensor, a
    graph a `Block`); `wanted` says for each output whether anyone may read it; `raw` are the attributes as
    the graph has them; `last` says whether an output is one of the graph's own, or of the function's.
    """

    op_type: str
    domain: str
    version: int
    name: str
    attributes: Mapping[str, Any]
    wanted: tuple[bool, ...]
    raw: Mapping[str, ir.Attr]
    last: bool = False

    def get(self, name: str, default: T) -> T:
        """Return the attribute `name`, or `default` where the node does not have it."""
        return cast(T, self.attributes.get(name, default))

    def ints(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """Return the attribute `name`, a list of integers."""
        return tuple(self.attributes.get(name, default))

    def strings(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the attribute `name`, a list of strings."""
        return tuple(self.attributes.get(name, default))

    def wants(self, output: int) -> bool:
        """Return whether output number `output` is used."""
        return output < len(self.wanted) and self.wanted[output]

    def __str__(self) -> str:
        op = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        return f"{op} '{self.name}'" if self.name else op
