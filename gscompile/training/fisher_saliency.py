"""Saliency of groups: the curvature of the loss along each group, from a few batches (Fisher information)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gscompile.crossbars.groups import Family
from gscompile.execute import Executor
from gscompile.graph.network import Network
from gscompile.graph.trainable import exposed
from gscompile.training.batches import BatchLoader

SALIENCY_BATCHES = 24  # batches of training samples
Probes = Callable[[Executor], Iterable[Tensor]]


def saliency(
    network: Network, families: tuple[Family, ...], feeder: BatchLoader, probes: Probes
) -> dict[Family, NDArray[np.float64]]:
    """Return the loss of setting each group to zero, to second order, as an array [groups] per family.

    `probes` is a function that runs the network on batches and yields a random projection of the outputs of each. The
    gradient of the projection, times the weights, is summed over a group; the mean of its square is the Gauss-Newton
    curvature along the group. A unit is estimated where it is produced and where it is consumed, and both are averaged.
    """
    total = {family: np.zeros(family.size) for family in families}
    count, reached = 0, set[str]()
    for gradients in _gradients(network, feeder, probes):
        count += 1
        reached |= gradients.keys()
        for family in families:
            for member in family.members:
                if member.layer in gradients:
                    share = member.total(gradients[member.layer][member.part]).ravel()
                    total[family] += np.square(share) / family.cover
    for family in families:
        if any(member.layer not in reached for member in family.members):
            total[family][:] = np.inf  # unknown: the data never took the branch of one of its layers
    return {family: values / max(count, 1) for family, values in total.items()}


def _gradients(network: Network, feeder: BatchLoader, probes: Probes) -> Iterator[dict[str, NDArray[np.float64]]]:
    """Yield gradient times weight of each random projection, as matrices by layer, for the layers that were run."""
    network = exposed(network)
    layers = {layer.name: layer for layer in network.layers if layer.layout.compressible}
    executor = feeder.executor(network, {name: layer.value for name, layer in layers.items()})
    for probe in probes(executor):
        executor.zero_grad()
        torch.autograd.backward(probe)
        yield {
            name: layers[name].layout.matrices((w.grad * w.detach()).numpy(force=True))
            for name, w in executor.weights.items()
            if w.grad is not None
        }
