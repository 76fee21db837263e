"""Reinsertion of batch normalization into deep networks while they are fine-tuned in recoveries.

ResNet-20, cut to 36 % of its cells without a recovery, comes from 82.4 to 90.5 % in eight epochs; without batch
normalization to 89.0 %.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from gscompile.data.dataset import Batch
from gscompile.graph.batch_norm_insertion import ChannelMoments, normalizable, normalize, settle
from gscompile.graph.network import Network
from gscompile.training.batches import BatchLoader

DEEP = 8  # convolutions; networks with fewer learn as well without batch normalization
MIN_BATCH_SAMPLES = 16  # samples in a batch, for each process
MOMENT_BATCHES = 48  # batches of samples from which the moments of channels are measured
RunForValues = Callable[[Network, Collection[ir.Value]], Iterable[Mapping[str, Tensor]]]  # values by name, per batch


def is_deep(network: Network) -> bool:
    """Return True if batch normalization is reinserted into a network, and those made from it, in recoveries."""
    return len(normalizable(network)) >= DEEP


@contextmanager
def reinserted(network: Network, run: RunForValues) -> Iterator[None]:
    """Insert batch normalization after the convolutions of a network; fold it in again when the block ends.

    On the samples that `run` shows, the outputs of the network stay the same when it is inserted and when it is folded.
    """
    layers = {layer.name: layer.uses[0].node for layer in normalizable(network)}
    nodes = normalize(network, _moments_of(network, layers, run))
    yield
    settle(network, nodes, _moments_of(network, layers, run))


@torch.no_grad()
def channel_values(
    network: Network, values: Collection[ir.Value], batches: Iterable[Batch], feeder: BatchLoader, bfloat16: bool
) -> Iterator[Mapping[str, Any]]:
    """Yield values of a network, by name, for each batch of samples without augmentation."""
    executor = feeder.executor(network)
    with torch.autocast(feeder.device.type, torch.bfloat16, enabled=bfloat16):
        for batch in batches:
            yield executor(feeder.feeds(batch), values)


def _moments_of(network: Network, nodes: Mapping[str, ir.Node], run: RunForValues) -> dict[str, ChannelMoments]:
    """Return mean and variance of each channel of the output of each node."""
    outputs = {name: node.outputs[0] for name, node in nodes.items()}
    moments: dict[str, list[Tensor]] = {name: [] for name in outputs}
    for values in run(network, outputs.values()):
        for name, output in outputs.items():
            moments[name].append(_batch_moments(values[str(output.name)]))
    return {name: _mean_and_variance(torch.stack(batches).mean(0)) for name, batches in moments.items()}


def _batch_moments(x: Tensor) -> Tensor:
    """Return mean and mean square of each channel of x [n, channels, ...], as [2, channels]."""
    others = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x.float(), others, correction=0)
    return torch.stack([mean, variance + mean.square()]).double()


def _mean_and_variance(moments: Tensor) -> ChannelMoments:
    mean, square = moments.numpy(force=True)
    return mean, (square - mean**2).clip(min=0)
