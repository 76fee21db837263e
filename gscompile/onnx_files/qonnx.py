"""Quantisers of QONNX, which neither ONNX nor onnxruntime knows."""

from __future__ import annotations

import onnx

from gscompile.onnx_files.references import called, nodes_in

_QONNX_OPS = {"Quant", "IntQuant", "FloatQuant", "BipolarQuant", "Trunc"}
_MAKERS = ("qonnx", "onnx.brevitas", "brevitas", "finn")  # first words of the domains


def qonnx_fault(proto: onnx.ModelProto) -> str | None:
    """Return a line that names the first quantiser of QONNX and the conversion to QDQ; None where there is none."""
    functions = {(function.domain, function.name) for function in proto.functions}
    for node, _ in nodes_in(proto):
        domain = node.domain
        made = any(domain == maker or domain.startswith(f"{maker}.") for maker in _MAKERS)
        if made and node.op_type in _QONNX_OPS and (domain, node.op_type) not in functions:
            return (
                f"{called(node)} is a quantiser of QONNX ({domain}); expected QuantizeLinear and DequantizeLinear: "
                "qonnx.transformation.qonnx_to_qcdq.QuantToQCDQ makes them of Quant"
            )
    return None
