"""What kind of node a node is: a name means what ONNX says in ONNX's own domain alone."""

from __future__ import annotations

import re

import onnx
import onnx_ir as ir

STANDARD_DOMAINS = ("", "ai.onnx")
MICROSOFT = "com.microsoft"
_ALIKE = {"Gelu"}  # in both domains
QUANTISED_OPS = re.compile("[Qq]uantize|Integer|QLinear|^Q[A-Z]|NBits")  # op types that make or read integers


def is_standard(node: ir.Node) -> bool:
    """Whether it is an op of ONNX itself."""
    return node.domain in STANDARD_DOMAINS


def kind(node: ir.Node) -> str:
    """The op's name, by which rules go: ONNX's, or onnxruntime's where ONNX has no such name; else with its domain.

    >>> kind(ir.Node("", "Relu", [])), kind(ir.Node("com.microsoft", "QuickGelu", []))
    ('Relu', 'QuickGelu')
    >>> kind(ir.Node("mine", "Relu", [])), kind(ir.Node("com.microsoft", "Identity", []))
    ('mine:Relu', 'com.microsoft:Identity')
    """
    op = node.op_type
    own = node.domain == MICROSOFT and (op in _ALIKE or not onnx.defs.has(op))
    return op if own or is_standard(node) else f"{node.domain}:{op}"
