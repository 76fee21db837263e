"""Reductions over axes, extreme elements and running sums."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gscompile.execute.node import NodeInfo
from gscompile.execute.table import op
from gscompile.execute.values import ints, number

Axes = tuple[int, ...]
Reduce = Callable[[Tensor, Axes, bool], Tensor]


def _extreme(reduce: Callable[..., Tensor], empty: Callable[[torch.dtype], float]) -> Reduce:
    """Return a maximum or minimum; over no elements it is the worst value there is."""

    def extreme(x: Tensor, axes: Axes, keep: bool) -> Tensor:
        if x.dtype == torch.bool:
            return extreme(x.to(torch.uint8), axes, keep).to(torch.bool)
        if any(x.shape[axis] == 0 for axis in axes):
            ones = torch.sum(x, axes, keepdim=keep)
            return torch.full_like(ones, empty(x.dtype), dtype=x.dtype)
        return reduce(x, axes, keepdim=keep) if axes else x

    return extreme


def _lowest(dtype: torch.dtype) -> float:
    return -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min


def _highest(dtype: torch.dtype) -> float:
    return torch.inf if dtype.is_floating_point else torch.iinfo(dtype).max


def _sum(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    return torch.sum(x, axes, keepdim=keep, dtype=x.dtype) if axes else x


def _mean(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    if not axes:
        return x
    if x.is_floating_point():
        return torch.mean(x, axes, keepdim=keep)
    return torch.mean(x, axes, keepdim=keep, dtype=torch.float64).to(x.dtype)


def _prod(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keep, dtype=x.dtype)
    return x


def _log_sum_exp(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    if not axes or any(x.shape[axis] == 0 for axis in axes):
        return _sum(x.exp(), axes, keep).log()
    floats = x if x.is_floating_point() else x.double()
    return torch.logsumexp(floats, axes, keepdim=keep).to(x.dtype)


def _l2(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    if not axes:
        return x.abs()
    if x.is_floating_point():  # its gradient at zero is zero, that of sqrt is not a number
        norm: Tensor = torch.linalg.vector_norm(x, 2, axes, keepdim=keep)
        return norm
    return _sum(x.double().square(), axes, keep).sqrt().to(x.dtype)


REDUCTIONS: dict[str, Reduce] = {
    "ReduceL1": lambda x, axes, keep: _sum(x.abs(), axes, keep),
    "ReduceL2": _l2,
    "ReduceLogSum": lambda x, axes, keep: _sum(x, axes, keep).log().to(x.dtype),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _extreme(torch.amax, _lowest),
    "ReduceMean": _mean,
    "ReduceMin": _extreme(torch.amin, _highest),
    "ReduceProd": _prod,
    "ReduceSum": _sum,
    "ReduceSumSquare": lambda x, axes, keep: _sum(x.square(), axes, keep),
}


def _enter(name: str, reduce: Reduce) -> None:
    @op(name)
    def reduction(node: NodeInfo, x: Tensor, axes: Tensor | None = None) -> Tensor:
        return reduce(x, _axes(node, x, axes), bool(node.get("keepdims", 1)))


for _name, _reduce in REDUCTIONS.items():
    _enter(_name, _reduce)


def _axes(node: NodeInfo, x: Tensor, given: Tensor | None) -> Axes:
    """Return the axes to reduce, from the input or, before it was one, the attribute; none given means all, or with
    `noop_with_empty_axes` none."""
    axes = ints(given) if given is not None else list(node.get("axes", ()))
    if not axes and not node.get("noop_with_empty_axes", 0):
        axes = list(range(x.ndim))
    return tuple(axis % x.ndim for axis in axes)


@op("ArgMax")
def arg_max(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the index of the first (or last) maximum along `axis`."""
    return _arg(torch.argmax, node, x)


@op("ArgMin")
def arg_min(node: NodeInfo, x: Tensor) -> Tensor:
    """Return the index of the first (or last) minimum along `axis`."""
    return _arg(torch.argmin, node, x)


def _arg(find: Callable[..., Tensor], node: NodeInfo, x: Tensor) -> Tensor:
    axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
    if not node.get("select_last_index", 0):
        return find(x, axis, keepdim=keep)
    return x.shape[axis] - 1 - find(x.flip(axis), axis, keepdim=keep)


@op("CumSum")
def cum_sum(node: NodeInfo, x: Tensor, axis: Tensor) -> Tensor:
    """Return the running sum along an axis, with or without the element itself, from either end."""
    return _running(torch.cumsum, 0, node, x, axis)


@op("CumProd")
def cum_prod(node: NodeInfo, x: Tensor, axis: Tensor) -> Tensor:
    """Return the running product likewise."""
    return _running(torch.cumprod, 1, node, x, axis)


def _running(function: Callable[..., Tensor], neutral: int, node: NodeInfo, x: Tensor, axis: Tensor) -> Tensor:
    dim = int(number(axis))
    x = x.flip(dim) if node.get("reverse", 0) else x
    if node.get("exclusive", 0):
        first = torch.full_like(x.narrow(dim, 0, 1), neutral)
        x = torch.cat([first, x.narrow(dim, 0, x.shape[dim] - 1)], dim)
    y = function(x, dim, dtype=x.dtype)
    return y.flip(dim) if node.get("reverse", 0) else y
