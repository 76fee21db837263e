"""Weights refitted in graph order, without gradients: from the compressed network's inputs to the original's outputs.

Layer after layer, least squares look for the weights and the bias with which what arrives in the compressed network
gives what the original has there; where the output is added to a shortcut, also what the shortcut has lost. A layer
that was factored is fitted in both factors. Rows and columns of zeros stay zeros: what was deleted stays deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.compensation.factors import fit_factors
from gscompile.compensation.moments import Array, PairMoments
from gscompile.compensation.ridge import cross_validated, ridge
from gscompile.compression.decomposition import spectrum
from gscompile.compression.linear_maps import LinearMap, linear_maps
from gscompile.compression.moments import Moments
from gscompile.compression.separable import separable_spectrum
from gscompile.execute.block import Env
from gscompile.execute.stages import Stages
from gscompile.graph.network import Layer, Network, replace_held
from gscompile.graph.trainable import expose_weights
from gscompile.onnx_files.constants import held_tensor
from gscompile.training.kfac_moments import input_vectors, output_vectors, stride_of
from gscompile.training.torch_trainer import TorchTrainer

FOLDS = 4  # parts of the samples, of which each is held out once
SAMPLES = 2048  # that are solved for: more change little and take longer
BATCH = 32  # samples that are run at a time
CURVATURE_RIDGE = 1e-3  # of the mean diagonal of a curvature: no output is worth nothing
Feeds = Callable[[], Iterable[Mapping[str, Tensor]]]
Fitted = tuple[tuple[Array, ...], Array]  # weights, or two factors of them, and a bias


@dataclass(frozen=True, eq=False)
class Bias:
    """A constant vector that is added to a layer's outputs; `apart` where another node than the layer's adds it."""

    value: ir.Value
    apart: bool

    @property
    def array(self) -> Array:
        held = held_tensor(self.value)
        assert held is not None
        return held.numpy().astype(np.float64).ravel()


@dataclass(frozen=True, eq=False)
class Site:
    """A linear map to refit: `fitted` are the layers that change, one or two factors.

    `source` tells how input vectors lie in the data that `first` reads, `prior` [parts, inputs, outputs] is the
    original's weight, `target` the original's output, and `shortcuts` what is added to the output, in both networks.
    """

    linear: LinearMap
    fitted: tuple[Layer, ...]
    source: Layer
    prior: Array
    target: ir.Value
    bias: Bias | None
    shortcuts: tuple[ir.Value, ir.Value] | None

    @property
    def first(self) -> ir.Node:
        return self.fitted[0].uses[0].node

    @property
    def last(self) -> Layer:
        return self.fitted[-1]

    @property
    def taps(self) -> int:
        return self.linear.taps if len(self.fitted) == 2 else 1

    @property
    def current(self) -> Array:
        """The weight as it is, of the shape of the prior."""
        w = self.linear.product if len(self.fitted) == 2 else self.last.matrices
        return w.reshape(self.prior.shape).astype(np.float64)


def refitted(
    original: Network,
    network: Network,
    feeds: Feeds,
    curvature: Mapping[str, Array],
    untouchable: frozenset[str] = frozenset(),
) -> Network:
    """Return a copy of `network`, compressed from `original`, whose weights were solved for anew in graph order.

    `feeds` yields the same batches each time it is called; `curvature` [parts, outputs, outputs] by the original's
    layers weighs errors at their outputs. A solve that does harm on held-out samples is not taken. Layers that are
    shared, recurrent or inside a subgraph stay as they are, and those whose origin is `untouchable`.
    """
    network = network.copy()
    expose_weights(network)
    _give_biases(network)
    before, after = Stages(original.model, feeds), Stages(network.model, feeds)
    sites = sorted(_sites(original, network), key=lambda site: after.place(site.first))
    reached = 0
    for site in sites:
        producer = site.target.producer()
        assert producer is not None
        place = before.place(producer) + 1
        if place >= reached and site.linear.origin not in untouchable and _is_ready(site, before, after):
            reached = place
            folds = _folds(site, zip(before.run(place), after.run(after.place(site.first)), strict=True))
            _refit(network, site, folds, curvature.get(site.linear.origin), after)
    return network


def _is_ready(site: Site, before: Stages, after: Stages) -> bool:
    """Whether what is added to a site's output has been computed when the site is reached, in both networks."""
    if site.shortcuts is None:
        return True
    nodes = [value.producer() for value in site.shortcuts]
    target = site.target.producer()
    assert target is not None
    ends = (before.place(target), after.place(site.first))
    return all(
        node is None or stages.place(node) < end for node, stages, end in zip(nodes, (before, after), ends, strict=True)
    )


# -- what is refitted --------------------------------------------------------------------------------------------

_SOLVED_OPS = {"Conv", "Gemm", "MatMul", "Einsum"}
_OPS_WITH_BIAS = {"Conv", "Gemm"}


def _sites(original: Network, network: Network) -> Iterator[Site]:
    known = {linear.origin: linear for linear in linear_maps(original)}
    values = {value.name: value for node in original.graph for value in node.outputs}
    values |= {value.name: value for value in original.graph.inputs}
    for linear in linear_maps(network):
        reference, last = known.get(linear.origin), linear.v or linear.u
        target = values.get(last.uses[0].node.outputs[0].name)
        if reference is None or target is None or not (_is_fitted(last, network) and _is_fitted(linear.u, network)):
            continue
        if reference.v is None:
            fitted: tuple[Layer, ...] = (linear.u,) if linear.v is None else (linear.u, linear.v)
            source, prior = reference.u, reference.u.matrices
            if prior.size != np.prod(linear.shape) or reference.shape[0] != linear.shape[0]:
                continue  # units were cut from it: what is left of the original is not known
        else:  # it came as two factors: the second is fitted
            fitted, source, prior = (last,), last, last.matrices
        shortcuts = _shortcuts(network, last.uses[0].node.outputs[0], values)
        bias = _bias(last)
        yield Site(linear, fitted, source, np.asarray(prior, np.float64), target, bias, shortcuts)


def _is_fitted(layer: Layer, network: Network) -> bool:
    """Whether a layer's outputs are its product and a bias, and nothing else reads its weight."""
    node = layer.uses[0].node
    plain = all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return (
        layer.op in _SOLVED_OPS
        and len(layer.uses) == 1
        and node.graph is network.graph
        and layer.layout.factorable
        and bool(node.outputs[0].uses() or node.outputs[0].is_graph_output())
        and plain
        and not (layer.op in _OPS_WITH_BIAS and _third(node) is not None and not _is_vector(_third(node), layer))
    )


def _third(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _is_vector(value: ir.Value | None, layer: Layer) -> bool:
    """Whether a value is a constant with a number for each output of a layer that nothing else reads."""
    if value is None or len(value.uses()) != 1:
        return False
    held, size = held_tensor(value), layer.layout.parts * layer.layout.outputs
    along_rows = layer.op == "Conv" or layer.uses[0].index == 1
    return held is not None and held.size == size == held.shape.numpy()[-1] and along_rows


def _give_biases(network: Network) -> None:
    """Add a bias of zeros to convolutions and Gemm that have none and are no first factors."""
    firsts = {linear.u.name for linear in linear_maps(network) if linear.v is not None}
    for layer in network.layers:
        node = layer.uses[0].node
        alone = (
            layer.op in _OPS_WITH_BIAS
            and len(layer.uses) == 1
            and layer.name not in firsts
            and layer.uses[0].index == 1
        )
        if alone and _third(node) is None and node.graph is network.graph:
            held = held_tensor(layer.value)
            assert held is not None
            zeros = np.zeros(layer.layout.parts * layer.layout.outputs, held.dtype.numpy())
            node.resize_inputs(3)
            node.replace_input_with(2, network.new_weight(f"{layer.value.name}_bias", zeros, held.dtype))
    network.changed()


def _bias(layer: Layer) -> Bias | None:
    """What can take over the mean of a layer's errors: its own bias, or that of an Add behind it."""
    node = layer.uses[0].node
    if layer.op in _OPS_WITH_BIAS:
        value = _third(node)
        return Bias(value, apart=False) if value is not None else None
    added = _added_to(node.outputs[0])
    if added is None or layer.layout.parts > 1 or layer.uses[0].index != 1 or not _is_vector(added[1], layer):
        return None
    assert added[1] is not None
    return Bias(added[1], apart=True)


def _added_to(value: ir.Value) -> tuple[ir.Node, ir.Value | None] | None:
    """The Add that is the only reader of a value, and its other operand."""
    uses = [*value.uses()]
    if len(uses) != 1 or uses[0].node.op_type != "Add" or value.is_graph_output():
        return None
    return uses[0].node, uses[0].node.inputs[1 - uses[0].idx]


def _shortcuts(
    network: Network, value: ir.Value, originals: Mapping[str | None, ir.Value]
) -> tuple[ir.Value, ir.Value] | None:
    """What is added to an output, in the original and here; through biases that are added before."""
    added = _added_to(value)
    while added is not None and network.is_constant(added[1]):
        added = _added_to(added[0].outputs[0])
    other = None if added is None else added[1]
    theirs = None if other is None else originals.get(other.name)
    return None if other is None or theirs is None else (theirs, other)


# -- moments and solves ------------------------------------------------------------------------------------------


def _folds(site: Site, batches: Iterable[tuple[Env, Env]]) -> list[list[PairMoments]]:
    """Moments of inputs here and targets there, by part of the matrix and fold of the samples."""
    found: list[list[PairMoments]] = [[] for _ in range(site.last.layout.parts)]
    for number, (there, here) in enumerate(batches):
        y = there[site.target].float()
        if site.shortcuts is not None:
            theirs, ours = site.shortcuts
            y = y + (there[theirs].float() - here[ours].float())
        for part, pair in enumerate(_pairs(site, here, y)):
            if number < FOLDS:
                found[part].append(pair)
            else:
                found[part][number % FOLDS] += pair
    return found


def _pairs(site: Site, here: Env, y: Tensor) -> Iterator[PairMoments]:
    data = here[site.fitted[0].uses[0].data].float()
    inputs, targets = input_vectors(site.source, data), output_vectors(site.last, y)
    stride = stride_of(targets.shape[1])
    targets = targets[:, ::stride]
    if inputs.shape[1] != targets.shape[1]:  # not looked at in places already
        inputs = inputs[:, ::stride]
    for part_inputs, part_targets in zip(inputs, targets, strict=True):
        yield PairMoments.of(part_inputs.numpy(), part_targets.numpy())


def _refit(
    network: Network, site: Site, folds: Sequence[list[PairMoments]], curvature: Array | None, stages: Stages
) -> None:
    """Solve for a site's weights, part by part, and put them into the network and its run."""
    parts, outputs = site.prior.shape[0], site.prior.shape[2]
    if not all(fold.are_finite for part in folds for fold in part):
        return
    current = site.current
    bias = np.zeros((parts, outputs)) if site.bias is None else site.bias.array.reshape(parts, outputs)
    own = np.zeros_like(bias) if site.bias is None or site.bias.apart else bias  # what the target holds of it
    weights = [layer.matrices.astype(np.float64) for layer in site.fitted]
    for part in range(parts):
        g = np.eye(outputs) if curvature is None else curvature[part]
        g = g + CURVATURE_RIDGE * (float(np.trace(g)) / outputs or 1.0) * np.eye(outputs)
        found = _solved(site, folds[part], site.prior[part], current[part], own[part], g)
        if found is not None:
            for whole, solved in zip(weights, found[0], strict=True):
                whole[part] = solved
            bias[part] += found[1] - own[part]
    for layer, whole in zip(site.fitted, weights, strict=True):
        network.set_matrices(layer.name, whole)
        stages.set_constant(layer.value, _tensor(layer.value))
    if site.bias is not None:
        held = held_tensor(site.bias.value)
        assert held is not None
        replace_held(site.bias.value, bias.reshape(held.shape.numpy()).astype(held.dtype.numpy()))
        stages.set_constant(site.bias.value, _tensor(site.bias.value))


def _tensor(value: ir.Value) -> Tensor:
    held = held_tensor(value)
    assert held is not None
    return torch.from_numpy(np.array(held.numpy()))


def _solved(
    site: Site, folds: Sequence[PairMoments], prior: Array, current: Array, bias: Array, curvature: Array
) -> Fitted | None:
    """The solution of all folds; None where that of the others does not help on the last, which it has not seen."""
    rows, cols = _live(current, site.taps)
    if len(folds) < 2 or not rows.any() or not cols.any():
        return None
    seen = [fold.part(rows, cols) for fold in folds]
    inside = np.ix_(rows, cols)
    g, intercept = curvature[cols][:, cols], site.bias is not None
    strength = cross_validated(seen[:-1], prior[inside], g, intercept).strength
    solve = partial(
        _fit,
        prior=prior[inside],
        strength=strength,
        curvature=g,
        rank=_live_rank(site),
        taps=site.taps,
        intercept=intercept,
    )
    trial, trial_bias = solve(_sum(seen[:-1]))
    whole = trial[0] if len(trial) == 1 else (trial[0] @ trial[1]).reshape(prior[inside].shape)
    if not seen[-1].error(whole, trial_bias, g) < seen[-1].error(current[inside], bias[cols], g):
        return None
    weights, found = solve(_sum(seen))
    spread_bias = bias.copy()
    spread_bias[cols] = found
    return _spread(weights, current.shape, rows, cols, site), spread_bias


def _live_rank(site: Site) -> int:
    """How many columns of a first factor hold a weight that its second factor reads; 0 of a whole matrix."""
    if len(site.fitted) == 1:
        return 0
    u, v = (layer.matrices for layer in site.fitted)
    read = v.reshape(len(v), u.shape[2], -1)
    return int((u.any(axis=1) & read.any(axis=2)).any(axis=0).sum())


def _live(current: Array, taps: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows and columns that hold a weight; rows that share one of the first factor live and die together."""
    alive = current != 0
    rows = alive.any(axis=1).reshape(-1, taps).any(axis=1)
    return np.repeat(rows, taps), alive.any(axis=0)


def _sum(folds: Sequence[PairMoments]) -> PairMoments:
    return sum(folds[1:], folds[0])


def _fit(
    moments: PairMoments,
    prior: Array,
    strength: float | None,
    curvature: Array,
    rank: int,
    taps: int,
    intercept: bool,
) -> Fitted:
    """One matrix, or two factors of that rank, and the bias."""
    solved, bias = ridge(moments, prior, strength, intercept)
    if not rank:
        return (solved,), bias
    centred = moments.centred(intercept)
    a = centred.inputs + CURVATURE_RIDGE * float(np.trace(centred.inputs)) / len(prior) * np.eye(len(prior))
    if taps == 1:
        u, v = spectrum(solved, a, curvature).factors(rank)
    else:
        u, v = separable_spectrum(solved, a, curvature, taps).factors(rank)
        u, v = fit_factors(solved, a, curvature, u, v, taps)
    return (u, v), centred.bias((u @ v).reshape(prior.shape))


def _spread(
    weights: tuple[Array, ...], shape: tuple[int, ...], rows: NDArray[np.bool_], cols: NDArray[np.bool_], site: Site
) -> tuple[Array, ...]:
    """Weights or factors of live rows and columns in their places, zeros around them; factors as layers hold them."""
    if len(weights) == 1:
        whole = np.zeros(shape)
        whole[np.ix_(rows, cols)] = weights[0]
        return (whole,)
    u, v = weights
    taps, rank = site.taps, u.shape[1]
    first, second = np.zeros((shape[0] // taps, site.linear.rank)), np.zeros((site.linear.rank, taps, shape[1]))
    first[rows[::taps], :rank] = u
    second[:rank, :, cols] = v.reshape(rank, taps, -1)
    return first, second.reshape(-1, shape[1])


def refitting(trainer: TorchTrainer, curvature: Mapping[str, Array]) -> Callable[[Network], Network]:
    """Return what refits a network to the trainer's original on its training samples, of which `SAMPLES` are enough."""
    train = trainer.train.take(SAMPLES)
    size = max(1, min(BATCH, len(train) // FOLDS))

    def feeds() -> Iterator[Mapping[str, Tensor]]:
        yield from map(trainer.feeder.feeds, train.batches(train.fixed_batch or size))

    return lambda network: refitted(trainer.original, network, feeds, curvature)


def output_curvature(original: Network, moments: Mapping[str, Moments]) -> dict[str, Array]:
    """Return the curvature at the outputs of the original's linear maps [parts, outputs, outputs], by their origin."""
    lasts = ((linear.origin, (linear.v or linear.u).name) for linear in linear_maps(original))
    return {origin: moments[name].outputs for origin, name in lasts if name in moments}
