"""Deep networks are normalised over batches while they recover: they come back sooner from what they lost, and farther.

ResNet-20, cut to 36 % of its cells without a recovery, comes from 82.4 to 90.5 % in eight epochs; without, to 89.0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

import onnx_ir as ir
import torch
from torch import Tensor

from gscompile.graph.batch_norm_insertion import ChannelMoments, normalizable, normalize, settle
from gscompile.graph.network import Network

DEEP = 8  # convolutions: with fewer a network learns as well without
MIN_BATCH_SAMPLES = 16  # samples in a batch, for each process
SEEN = 48  # batches of samples, to tell how what a channel gives is spread
Watch = Callable[[Network, Collection[ir.Value]], Iterator[Mapping[str, Tensor]]]  # values by name, batch by batch


def is_deep(network: Network) -> bool:
    """Return whether batch normalization is reinserted into a network, and those made from it, in recoveries."""
    return len(normalizable(network)) >= DEEP


@contextmanager
def normalized(network: Network, watch: Watch) -> Iterator[None]:
    """For as long as the block trains it a network is normalised over batches.

    What it gives is what it gave on samples of the kind that `watch` shows, before the block and after it.
    """
    layers = {layer.name: layer.uses[0].node for layer in normalizable(network)}
    nodes = normalize(network, _spreads(network, layers, watch))
    yield
    settle(network, nodes, _spreads(network, layers, watch))


def _spreads(network: Network, nodes: Mapping[str, ir.Node], watch: Watch) -> dict[str, ChannelMoments]:
    """Of each channel of what these nodes give."""
    given = {name: node.outputs[0] for name, node in nodes.items()}
    sums: dict[str, list[Tensor]] = {name: [] for name in given}
    for said in watch(network, given.values()):
        for name, value in given.items():
            sums[name].append(_moments(said[str(value.name)]))
    return {name: _spread(torch.stack(each).mean(0)) for name, each in sums.items()}


def _moments(x: Tensor) -> Tensor:
    """Mean and mean square of each channel of x [n, channels, ...]: [2, channels]."""
    others = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x.float(), others, correction=0)
    return torch.stack([mean, variance + mean.square()]).double()


def _spread(moments: Tensor) -> ChannelMoments:
    mean, square = moments.numpy(force=True)
    return mean, (square - mean**2).clip(min=0)
