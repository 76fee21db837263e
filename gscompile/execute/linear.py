"""Matrix products."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op


@op("MatMul")
def matmul(_node: NodeInfo, a: Tensor, b: Tensor) -> Tensor:
    """Return a [..., n, k] times b [..., k, m], as numpy's matmul."""
    return torch.matmul(a, b)


@op("Gemm")
def gemm(node: NodeInfo, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """Compute alpha a b + beta c: a [n, k] and b [k, m], either transposed on request, c broadcast to [n, m]."""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if not a.is_floating_point():  # torch multiplies integers by integers only
        alpha, beta = _whole(alpha), _whole(beta)
    a = a.t() if node.get("transA", 0) else a
    if alpha == beta == 1 and node.get("transB", 0) and (c is None or c.ndim == 1):
        return functional.linear(a, b, c)
    b = b.t() if node.get("transB", 0) else b
    if c is None:
        return alpha * torch.mm(a, b) if alpha != 1 else torch.mm(a, b)
    return torch.addmm(c, a, b, beta=beta, alpha=alpha)


def _whole(factor: float) -> int:
    if factor != int(factor):
        raise NotImplementedError
    return int(factor)


@op("Einsum")
def einsum(node: NodeInfo, *tensors: Tensor) -> Tensor:
    """Return einstein's sum."""
    return torch.einsum(node.get("equation", "").replace(" ", ""), *tensors)


@op("Det")
def det(_node: NodeInfo, x: Tensor) -> Tensor:
    """Return determinants of x [..., n, n]."""
    determinants: Tensor = torch.linalg.det(x)
    return determinants
