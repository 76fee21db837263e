"""Moments of a layer: second moments of its inputs, and the curvature of the loss at its outputs (K-FAC).

They estimate how much a change D of a weight matrix W changes the loss (Martens and Grosse 2015). loss(W + D) - loss(W)
is about the squared Frobenius norm of A^(1/2) D G^(1/2), where A = E[x x'] over the inputs x of the layer, and
G the sum of g g' over the gradients g at all outputs of a sample. A weight that is used at many positions, as in a
convolution, costs so many times more (Grosse and Martens 2016, equation 33).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gscompile.compression.moments import Moments
from gscompile.data.dataset import Batch
from gscompile.errors import ExecutionError
from gscompile.graph.network import Layer, Network
from gscompile.graph.trainable import exposed
from gscompile.onnx_files.einsum import parse_product, permutation
from gscompile.training.batches import BatchLoader
from gscompile.training.objective import Objective

MOST_ROWS = 8192  # input vectors per batch that are used: enough for a matrix of a few thousand inputs


class MomentSource(Protocol):
    """The samples that moments are measured on, and the objective whose curvature is measured."""

    @property
    def feeder(self) -> BatchLoader: ...

    @property
    def objective(self) -> Objective: ...

    @property
    def seed(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...  # batches of different samples

    def sample_batches(self, count: int) -> Iterator[Batch]:
        """Yield up to `count` batches."""


def measure_moments(
    trainer: MomentSource,
    network: Network,
    layers: Iterable[Layer],
    batches: int = 12,
    draws: int = 1,
    objective: Objective | None = None,
) -> dict[str, Moments]:
    """Return the moments of each layer over `batches` batches of the training data, by layer name.

    Layers are left out if their inputs cannot be read (inside a subgraph, a recurrent state), or if some of their
    inputs or gradients are not finite.

    Args:
        draws: Random projections of the outputs per sample, over which the curvature is averaged. One is enough if
            there are many samples.
        objective: Objective whose curvature is measured, by default that of the trainer.
    """
    names, network = {layer.name for layer in layers}, exposed(network)
    wanted = {layer.name: layer for layer in network.layers if layer.name in names and _is_readable(network, layer)}
    if not wanted:
        return {}
    executor = trainer.feeder.executor(network, {name: layer.value for name, layer in wanted.items()})
    capture = {v for layer in wanted.values() for v in (layer.uses[0].data, layer.uses[0].node.outputs[0])}
    sums: dict[str, list[Any]] = {}
    generator = torch.Generator().manual_seed(trainer.seed)
    for batch in trainer.sample_batches(batches):
        seen = executor(trainer.feeder.feeds(batch), capture)
        _add_batch(sums, wanted, seen, trainer, objective or trainer.objective, batch.rows, generator, draws)
    moments = {name: Moments(*(mean(*part) for part in parts)) for name, parts in sums.items()}
    return {name: m for name, m in moments.items() if np.isfinite(m.inputs).all() and np.isfinite(m.outputs).all()}


def measured_once(measure: Callable[[Network], Mapping[str, Moments]]) -> Callable[[Network], Mapping[str, Moments]]:
    """Return `measure` with a cache of its last result, for consecutive networks of the same layers and weights."""
    last: list[tuple[Network, Mapping[str, Moments]]] = []

    def measured(network: Network) -> Mapping[str, Moments]:
        if not last or not _same_weights(last[0][0], network):
            last[:] = [(network.copy(), measure(network))]
        return last[0][1]

    return measured


def _same_weights(one: Network, other: Network) -> bool:
    return [layer.name for layer in one.layers] == [layer.name for layer in other.layers] and all(
        np.array_equal(a.matrices, b.matrices) for a, b in zip(one.layers, other.layers, strict=True)
    )


def _add_batch(
    sums: dict[str, list[Any]],
    wanted: Mapping[str, Layer],
    seen: Mapping[str, Any],
    trainer: MomentSource,
    objective: Objective,
    rows: int,
    gen: torch.Generator,
    draws: int,
) -> None:
    outputs = [seen[str(layer.uses[0].node.outputs[0].name)] for layer in wanted.values()]
    for draw in range(draws):
        probe = objective.probe(seen, gen)
        if not probe.requires_grad:
            raise ExecutionError("no gradient of an output reaches a weight: compile without --data")
        gradients = torch.autograd.grad(probe, outputs, retain_graph=draw < draws - 1, allow_unused=True)
        for (name, layer), output, gradient in zip(wanted.items(), outputs, gradients, strict=True):
            sums.setdefault(name, [(0.0, 0, 0), (0.0, 0, 0)])
            at_outputs = output_vectors(layer, torch.zeros_like(output) if gradient is None else gradient)
            positions = 1.0 if layer.op in _OPS_WITH_INNER_PRODUCTS else at_outputs.shape[1] / rows
            sums[name][1] = _added(sums[name][1], at_outputs, trainer.steps_per_epoch * draws, positions)
            if draw == 0:
                inputs = input_vectors(layer, seen[str(layer.uses[0].data.name)].detach())
                sums[name][0] = _added(sums[name][0], inputs, trainer.steps_per_epoch)


def _added(old: tuple[Any, int, int], vectors: Tensor, once: int, times: float = 1.0) -> tuple[Any, int, int]:
    """Return a sum of second moments, `times` those of the vectors, with the number of batches and distinct vectors."""
    total, count, seen = old
    return total + times * _second_moment(vectors), count + 1, seen + vectors.shape[1] * (count < once)


def mean(total: NDArray[np.float64], count: int, vectors: int) -> NDArray[np.float64]:
    """The mean of `count` second moments [parts, n, n], of so many vectors in all, each counted once.

    Fewer than n vectors say nothing of some directions; those count as the average one, the more the fewer there are.

    >>> mean(np.array([[[4.0, 0.0], [0.0, 0.0]]]), 1, 2)[0].tolist()
    [[4.0, 0.0], [0.0, 0.0]]
    >>> mean(np.array([[[4.0, 0.0], [0.0, 0.0]]]), 1, 1)[0].tolist()
    [[5.0, 0.0], [0.0, 1.0]]
    """
    size = total.shape[-1]
    found = total / max(count, 1)
    unseen = max(0.0, 1 - vectors / max(size, 1))
    average = np.trace(found, axis1=1, axis2=2)[:, None, None] / max(size, 1)
    return np.asarray(found + unseen * average * np.eye(size), np.float64)


def _second_moment(vectors: Tensor) -> NDArray[np.float64]:
    """E[x x'] of [parts, samples, n] by part."""
    kept = vectors[:, :: stride_of(vectors.shape[1])].double()
    return np.asarray((kept.mT @ kept / kept.shape[1]).cpu().numpy(), np.float64)


def _is_readable(network: Network, layer: Layer) -> bool:
    node, index = layer.uses[0].node, layer.uses[0].index
    known = layer.op in _READABLE and not (layer.op in _OPS_WITH_INNER_PRODUCTS and index == 2)
    return node.graph is network.graph and layer.layout.factorable and known


_OPS_WITH_INNER_PRODUCTS = {"LSTM", "GRU", "RNN", "Attention"}  # what they multiply stays inside
_PRODUCTS = {"MatMul", "FusedMatMul", "Gemm", "FusedGemm"}
_READABLE = {"Conv", "FusedConv", "ConvTranspose", "Einsum", *_PRODUCTS, *_OPS_WITH_INNER_PRODUCTS}


def input_vectors(layer: Layer, data: Tensor, most: int = MOST_ROWS) -> Tensor:
    """Return the input vectors of a layer's matrices, one per sample and position: [parts, samples, inputs].

    Convolutions give about `most` of them where they have more.
    """
    parts, inputs = layer.layout.parts, layer.layout.inputs
    if layer.op in ("Conv", "FusedConv"):
        return _patches(layer.uses[0].node, data, layer.layout.shape[2:], parts, most)
    if layer.op == "ConvTranspose":
        return _by_channel(data, parts)
    if layer.op == "Einsum":
        return _by_label(layer, data, "inputs")
    if layer.op in _PRODUCTS and _is_turned(layer):
        data = data.mT
    return data.reshape(1, -1, inputs) if parts == 1 else _by_part(layer, data)


def _is_turned(layer: Layer) -> bool:
    """Return whether the product sums over the last axis but one of its data."""
    use = layer.uses[0]
    return (use.index == 0) != bool(use.node.attributes.get_int("transA" if use.index == 1 else "transB", 0))


def _by_label(layer: Layer, data: Tensor, side: str) -> Tensor:
    """Inputs or outputs of an Einsum, its axes put in the order of the matrices."""
    use = layer.uses[0]
    product = parse_product(use.node.attributes.get_string("equation", ""), use.index)
    assert product is not None
    term, last = (product.data, product.contracted) if side == "inputs" else (product.output, product.free)
    moved = data.permute(permutation(term, data.dim(), product.batch, last))
    return moved.reshape(layer.layout.parts, -1, layer.layout.inputs if side == "inputs" else layer.layout.outputs)


def _by_part(layer: Layer, data: Tensor) -> Tensor:
    """[*batch, rows, n] -> [parts, samples, n], where the weight's own batch axes are broadcast against the data's."""
    batch, parts = layer.layout.shape[:-2], layer.layout.parts
    lead = np.broadcast_shapes(data.shape[:-2], batch)
    rows = data.expand(*lead, *data.shape[-2:]).reshape(-1, *data.shape[-2:])
    part = torch.arange(parts).reshape(batch).expand(lead).reshape(-1)
    return torch.stack([rows[part == number].flatten(0, 1) for number in range(parts)])


def output_vectors(layer: Layer, data: Tensor) -> Tensor:
    """The outputs (or gradients at them) as [parts, samples, outputs]; for ConvTranspose spread over its kernel."""
    parts, outputs = layer.layout.parts, layer.layout.outputs
    if layer.op in ("Conv", "FusedConv"):
        return _by_channel(data, parts)
    if layer.op == "ConvTranspose":
        kernel = outputs // layer.layout.shape[1]
        return _by_channel(data, parts).repeat_interleave(kernel, dim=2)
    if layer.op in _OPS_WITH_INNER_PRODUCTS:  # the gates' gradients are not seen from outside
        return torch.eye(outputs)[None] * float(outputs**0.5)
    if layer.op == "Einsum":
        return _by_label(layer, data, "outputs")
    if layer.uses[0].index == 0:
        data = data.mT
    return data.reshape(1, -1, outputs) if parts == 1 else _by_part(layer, data)


def _by_channel(data: Tensor, parts: int) -> Tensor:
    """[n, parts * c, *positions] -> [parts, n * positions, c]"""
    split = data.reshape(data.shape[0], parts, data.shape[1] // parts, -1)
    return split.permute(1, 0, 3, 2).reshape(parts, -1, split.shape[2])


def _patches(node: ir.Node, data: Tensor, kernel: tuple[int, ...], parts: int, most: int) -> Tensor:
    """Unfolded patches, channel-major as a Conv weight is: [parts, samples, channels / parts * kernel]."""
    attributes, dims = node.attributes, len(kernel)
    strides = [*attributes.get_ints("strides", [1] * dims)]
    dilations = [*attributes.get_ints("dilations", [1] * dims)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    data = functional.pad(data, _pads(node, data.shape[2:], reach, strides))
    for axis, (size, stride, dilation) in enumerate(zip(reach, strides, dilations, strict=True)):
        data = data.unfold(2 + axis, size, stride)[..., ::dilation]
    # [n, channels, *positions, *kernel] -> [parts, n, *positions, channels, *kernel]
    n, channels = data.shape[:2]
    split = data.reshape(n, parts, channels // parts, *data.shape[2:])
    order = [1, 0, *range(3, 3 + dims), 2, *range(3 + dims, 3 + 2 * dims)]
    found = split.permute(*order)
    picked: tuple[slice | Tensor, ...] = (
        slice(None),
        *_spread(found.shape[1 : 2 + dims], most),
    )  # all take long to copy
    return found[picked].reshape(parts, -1, channels // parts * int(np.prod(kernel)))


def _spread(places: Sequence[int], most: int) -> Iterator[Tensor]:
    """Indices, axis by axis, of as many places as are looked at."""
    count = int(np.prod(places))
    picked = np.arange(0, count, stride_of(count, most))
    return map(torch.from_numpy, np.unravel_index(picked, places))


def stride_of(vectors: int, most: int = MOST_ROWS) -> int:
    """Return n where every n-th of so many vectors is looked at; odd, so that all columns of an image are."""
    return max(1, vectors // most) | 1


def _pads(node: ir.Node, sizes: Iterable[int], reach: list[int], strides: list[int]) -> list[int]:
    """Padding as torch wants it: last axis first, before and after."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = [max(0, (-(-s // t) - 1) * t + r - s) for s, r, t in zip(sizes, reach, strides, strict=True)]
        pairs = [(p // 2, p - p // 2) if auto == "SAME_UPPER" else (p - p // 2, p // 2) for p in total]
    elif auto == "VALID":
        pairs = [(0, 0)] * len(reach)
    else:
        given = [*node.attributes.get_ints("pads", [0] * (2 * len(reach)))]
        pairs = list(zip(given[: len(reach)], given[len(reach) :], strict=True))
    return [p for pair in reversed(pairs) for p in pair]
