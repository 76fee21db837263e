"""If, Loop, Scan and SequenceMap: ops that run subgraphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from gscompile.execute.block import TrainableBlock
from gscompile.execute.node import NodeInfo
from gscompile.execute.table import control
from gscompile.execute.values import number


class RunsGraph(Protocol):
    """Runs a subgraph on inputs and returns its outputs; outer values are seen by it."""

    def __call__(self, block: TrainableBlock, *inputs: Any) -> list[Any]: ...


@control("If")
def if_(node: NodeInfo, run: RunsGraph, condition: Tensor) -> tuple[Any, ...]:
    """Run one of two subgraphs."""
    return tuple(run(node.attributes["then_branch" if condition.item() else "else_branch"]))


@control("Loop")
def loop(
    node: NodeInfo, run: RunsGraph, trips: Tensor | None, condition: Tensor | None, *carried: Any
) -> tuple[Any, ...]:
    """Run the body (trip, condition, carried...) -> (condition, carried..., scanned...) up to `trips` times."""
    body: TrainableBlock = node.attributes["body"]
    state = list(carried)
    device = next((value.device for value in (trips, condition) if value is not None), torch.device("cpu"))
    scanned: list[list[Tensor]] = [[] for _ in body.outputs[1 + len(state) :]]
    limit = None if trips is None else int(number(trips))
    goes_on, trip = condition is None or bool(condition.item()), 0
    while goes_on and (limit is None or trip < limit):
        flag = torch.tensor(True, device=device)
        again, *results = run(body, torch.tensor(trip, device=device), flag, *state)
        state = results[: len(state)]
        for items, item in zip(scanned, results[len(state) :], strict=True):
            items.append(item)
        goes_on, trip = bool(again.item()), trip + 1
    stacked = [_stacked(items, value, 0) for items, value in zip(scanned, body.outputs[1 + len(state) :], strict=True)]
    return (*state, *stacked)


def _stacked(items: Sequence[Tensor], value: Any, axis: int) -> Tensor:
    """Return the scanned items along a new axis; of a loop that never ran, an empty tensor of the declared shape."""
    if items:
        return torch.stack(list(items), axis)
    shape = [] if value.shape is None else [dim if isinstance(dim, int) else 0 for dim in value.shape]
    return torch.empty(0, *shape)


@control("Scan", since=9)
def scan(node: NodeInfo, run: RunsGraph, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Run the body (state..., slices...) -> (state..., slices...) over the slices of the scanned inputs."""
    body: TrainableBlock = node.attributes["body"]
    count = node.attributes["num_scan_inputs"]
    state, scanned = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    outputs = len(body.outputs) - len(state)
    axes = node.get("scan_input_axes", (0,) * count)
    backwards = node.get("scan_input_directions", (0,) * count)
    steps = [_steps(x, axis, bool(back)) for x, axis, back in zip(scanned, axes, backwards, strict=True)]
    collected: list[list[Tensor]] = [[] for _ in range(outputs)]
    for slices in zip(*steps, strict=True):
        results = run(body, *state, *slices)
        state = results[: len(state)]
        for items, item in zip(collected, results[len(state) :], strict=True):
            items.append(item)
    out_axes = node.get("scan_output_axes", (0,) * outputs)
    out_backwards = node.get("scan_output_directions", (0,) * outputs)
    values = body.outputs[len(state) :]
    stacked = [
        _stacked(items[::-1] if back else items, value, axis)
        for items, value, axis, back in zip(collected, values, out_axes, out_backwards, strict=True)
    ]
    return (*state, *stacked)


def _steps(x: Tensor, axis: int, backwards: bool) -> Sequence[Tensor]:
    steps = x.unbind(axis)
    return steps[::-1] if backwards else steps


@control("Scan", since=8)
def scan_batched(node: NodeInfo, run: RunsGraph, lengths: Tensor | None, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Run Scan for each item of a batch (opset 8); shorter sequences are filled with zeros."""
    if lengths is not None:
        raise NotImplementedError
    backwards = node.get("directions", (0,) * node.attributes["num_scan_inputs"])
    plain = NodeInfo(
        op_type="Scan",
        domain="",
        version=9,
        name=node.name,
        attributes={**node.attributes, "scan_input_directions": backwards},
        wanted=node.wanted,
        raw=node.raw,
    )
    batches = [scan(plain, run, *(x[item] for x in inputs)) for item in range(inputs[0].shape[0])]
    return tuple(torch.stack(parts) for parts in zip(*batches, strict=True))


@control("SequenceMap")
def sequence_map(node: NodeInfo, run: RunsGraph, items: list[Any], *others: Any) -> tuple[list[Any], ...]:
    """Run the body on each item; other sequences are taken item by item, tensors whole."""
    body: TrainableBlock = node.attributes["body"]
    results = [
        run(body, item, *(other[n] if isinstance(other, list) else other for other in others))
        for n, item in enumerate(items)
    ]
    return tuple([result[n] for result in results] for n in range(len(body.outputs)))
