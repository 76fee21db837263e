"""Weights refitted in graph order, without gradients: from the compressed network's inputs to the original's outputs.

Layer after layer, least squares look for the weights and the bias with which what arrives in the compressed network
gives what the original has there; where the output is added to a shortcut, also what the shortcut has lost. A layer
that was factored is fitted in both factors. Rows and columns of zeros stay zeros: what was deleted stays deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.compensation.layer_fit import Fitted, LayerFit, Pairs, joined, regular
from gscompile.compensation.moments import Array
from gscompile.compression.linear_maps import linear_maps
from gscompile.compression.moments import Moments
from gscompile.execute.block import Env
from gscompile.execute.stages import Stages
from gscompile.graph.network import Network, replace_held
from gscompile.graph.trainable import expose_weights
from gscompile.onnx_files.constants import held_tensor
from gscompile.training.kfac_moments import input_vectors, output_vectors, stride_of
from gscompile.training.sites import Site, find_sites, give_biases
from gscompile.training.torch_trainer import TorchTrainer

FOLDS = 4  # parts of the samples, of which each is held out once
SAMPLES = 2048  # that are solved for: more change little and take longer
BATCH = 32  # samples that are run at a time
PAIRS_PER_BATCH = 2048  # positions of a batch that are looked at
PAIRS_PER_INPUT = 8  # more of them for each input of a matrix, over as many batches as there are folds
Feeds = Callable[[], Iterable[Mapping[str, Tensor]]]


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
    give_biases(network)
    before, after = Stages(original.model, feeds), Stages(network.model, feeds)
    sites = sorted(find_sites(original, network), key=lambda site: after.place(site.first))
    reached = 0
    for site in sites:
        producer = site.target.producer()
        assert producer is not None
        place = before.place(producer) + 1
        if place >= reached and site.linear.origin not in untouchable and _is_ready(site, before, after):
            reached = place
            pairs = _pairs(site, zip(before.run(place), after.run(after.place(site.first)), strict=True))
            _refit(network, site, pairs, curvature.get(site.linear.origin), after)
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


# -- samples and solves ------------------------------------------------------------------------------------------


def _pairs(site: Site, batches: Iterable[tuple[Env, Env]]) -> list[Pairs]:
    """Return inputs here and targets there, by part of the matrix, at every n-th position of each batch."""
    most = PAIRS_PER_BATCH + site.prior.shape[1] * PAIRS_PER_INPUT // FOLDS
    found: list[list[Pairs]] = [[] for _ in range(site.last.layout.parts)]
    for number, (there, here) in enumerate(batches):
        y = there[site.target].float()
        if site.shortcuts is not None:
            theirs, ours = site.shortcuts
            y = y + (there[theirs].float() - here[ours].float())
        x = input_vectors(site.source, here[site.fitted[0].uses[0].data].float(), most)
        targets = output_vectors(site.last, y)
        stride = stride_of(targets.shape[1], most)
        if x.shape[1] == targets.shape[1]:  # not looked at in places already
            x = x[:, ::stride]
        for part, (inputs, outputs) in enumerate(zip(x.numpy(), targets[:, ::stride].numpy(), strict=True)):
            found[part].append(Pairs(inputs, outputs, np.full(len(inputs), number % FOLDS)))
    return [joined(part) for part in found]


def _refit(network: Network, site: Site, pairs: Sequence[Pairs], curvature: Array | None, stages: Stages) -> None:
    """Solve for a site's weights, part by part, and put them into the network and its run."""
    parts, outputs = site.prior.shape[0], site.prior.shape[2]
    if not all(part.are_finite for part in pairs):
        return
    current = site.current
    bias = np.zeros((parts, outputs)) if site.bias is None else site.bias.array.reshape(parts, outputs)
    own = np.zeros_like(bias) if site.bias is None or site.bias.apart else bias  # what the target holds of it
    weights = [layer.matrices.astype(np.float64) for layer in site.fitted]
    for part in range(parts):
        g = regular(np.eye(outputs) if curvature is None else curvature[part])
        found = _solved(site, pairs[part], site.prior[part], current[part], own[part], g)
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


def _solved(site: Site, pairs: Pairs, prior: Array, current: Array, bias: Array, curvature: Array) -> Fitted | None:
    """Return the solution for the rows and columns that are live, zeros around it; None where it does no good."""
    rows, cols = _live(current, site.taps)
    if not rows.any() or not cols.any():
        return None
    inside, g = np.ix_(rows, cols), curvature[cols][:, cols]
    fit = LayerFit(
        prior=prior[inside], curvature=g, rank=_live_rank(site), taps=site.taps, intercept=site.bias is not None
    )
    found = fit.solved(pairs.part(rows, cols), current[inside], bias[cols])
    if found is None:
        return None
    spread_bias = bias.copy()
    spread_bias[cols] = found[1]
    return _spread(found[0], current.shape, rows, cols, site), spread_bias


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
    feeds = sample_feeds(trainer)
    return lambda network: refitted(trainer.original, network, feeds, curvature)


def sample_feeds(trainer: TorchTrainer) -> Feeds:
    """Return what yields the training samples in batches, in order, up to `SAMPLES` of them."""
    train = trainer.train.take(SAMPLES)
    size = max(1, min(BATCH, len(train) // FOLDS))
    return lambda: map(trainer.feeder.feeds, train.batches(train.fixed_batch or size))


def held_out_loss(trainer: TorchTrainer) -> Callable[[Network], float]:
    """Return what tells how far a network's outputs are from the original's, on average over the samples that decide.

    That is the loss of fine-tuning without labels: finer than a score, which few samples tell in steps.
    """
    batches = [batch for _, batch in trainer.feeder.batches(trainer.val, None)]
    counts = np.array([batch.rows for batch in batches], np.float64)

    @torch.no_grad()
    def said(network: Network) -> list[dict[str, Tensor]]:
        executor = trainer.feeder.executor(network)
        return [executor(trainer.feeder.feeds(batch)) for batch in batches]

    wanted = said(trainer.original)

    def loss(network: Network) -> float:
        losses = [float(trainer.objective.loss(*pair, None)) for pair in zip(said(network), wanted, strict=True)]
        return float(counts @ losses / counts.sum())

    return loss


def output_curvature(original: Network, moments: Mapping[str, Moments]) -> dict[str, Array]:
    """Return the curvature at the outputs of the original's linear maps [parts, outputs, outputs], by their origin."""
    lasts = ((linear.origin, (linear.v or linear.u).name) for linear in linear_maps(original))
    return {origin: moments[name].outputs for origin, name in lasts if name in moments}
