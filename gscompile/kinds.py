"""What kind of node a node is: names are ONNX's, and onnxruntime's, in their own domains alone."""

from __future__ import annotations

import onnx_ir as ir

STANDARD = ("", "ai.onnx")
_KNOWN = (*STANDARD, "com.microsoft")


def is_standard(node: ir.Node) -> bool:
    """Whether it is an op of ONNX itself."""
    return node.domain in STANDARD


def kind(node: ir.Node) -> str:
    """The op's name, by which rules go; with its domain where that is somebody's own, for there it may mean anything.

    >>> kind(ir.Node("", "Relu", [])), kind(ir.Node("com.microsoft", "Gelu", [])), kind(ir.Node("mine", "Relu", []))
    ('Relu', 'Gelu', 'mine:Relu')
    """
    return node.op_type if node.domain in _KNOWN else f"{node.domain}:{node.op_type}"
