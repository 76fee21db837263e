"""Run ops of tables (ai.onnx.ml) that lie between weights and outputs; `onnx.reference` computes the others."""

from __future__ import annotations

from torch import Tensor

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op


@op("ZipMap", domain="ai.onnx.ml")
def zip_map(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the scores [n, classes] by ascending label, which is what `evaluate` makes of onnxruntime's maps."""
    labels = node.get("classlabels_strings", ()) or node.get("classlabels_int64s", ())
    order = sorted(range(len(labels)), key=labels.__getitem__)
    return x.reshape(-1, len(labels))[:, order]
