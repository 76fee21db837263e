"""Block-wise distillation: each block of a network alone learns what the original has behind it, and then all together.

A block ends where a single value is all that later nodes read, as behind each sum of a residual network. Its inputs are
those of the compressed network, its targets are the original's; both are kept for one block at a time (PRACTISE, Wang
and Wu 2023). The last block is the whole network, which learns the original's outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir
import torch
from torch import Tensor

from gscompile.execute.block import Env
from gscompile.execute.stages import Stages
from gscompile.graph.network import Network
from gscompile.graph.trainable import expose_weights, set_trained, trainable_values
from gscompile.training.optimizer import Adam
from gscompile.training.sequential import sample_feeds
from gscompile.training.torch_trainer import TorchTrainer

BLOCK_EPOCHS, WHOLE_EPOCHS = 8, 12  # over the samples, for each block and for the whole network
BLOCK_RATE = 1e-3  # of Adam, for tensors of its reference size: that which its authors recommend
Loss = Callable[[Env, Env], Tensor]  # from the values behind a block, here and in the original


@dataclass(frozen=True, eq=False)
class TrainedBlock:
    """Nodes `first` to `last` of the compressed network, whose end is `target` in the original after `known` nodes."""

    first: int
    last: int
    known: int
    end: ir.Value
    target: ir.Value


def retrained(trainer: TorchTrainer, network: Network) -> Network:
    """Return a copy of a network that was trained block by block, as far as the time goes.

    Weights that are zero stay zero.
    """
    network = network.copy()
    expose_weights(network)
    feeds = sample_feeds(trainer)
    stages, original = Stages(network.model, feeds), Stages(trainer.original.model, feeds)
    weights = {
        value: torch.nn.Parameter(stages.constant(value).clone()) for value in trainable_values(network).values()
    }
    for value, weight in weights.items():
        stages.set_constant(value, weight)
    for block in find_blocks(stages, trainer.original, original):
        if trainer.setup.run_context.time_left() > 0:
            train_block(block, stages, original, weights)
    outputs = dict(zip(network.graph.outputs, trainer.original.graph.outputs, strict=True))
    train_whole(trainer, Stages(network.model, feeds), Stages(trainer.original.model, feeds), weights, outputs)
    arrays = {key: weights[value].detach().numpy() for key, value in trainable_values(network).items()}
    set_trained(network, arrays)
    return network


def find_blocks(stages: Stages, original: Network, known: Stages) -> Iterator[TrainedBlock]:
    """Yield the blocks of a network in order, those that hold weights and end in a value that the original has too."""
    values = {value.name: value for node in original.graph for value in node.outputs}
    first = 0
    for place, end in stages.cuts():
        target = values.get(end.name)
        producer = None if target is None else target.producer()
        if target is not None and producer is not None:
            yield TrainedBlock(first=first, last=place, known=known.place(producer) + 1, end=end, target=target)
            first = place


def train_block(block: TrainedBlock, stages: Stages, original: Stages, weights: Mapping[ir.Value, Tensor]) -> None:
    """Train the weights of a block towards the original's values behind it, relative to their spread."""
    own = [weights[value] for value in stages.constants(block.first, block.last) if value in weights]

    def batches() -> Iterator[tuple[Env, Env]]:
        yield from zip(stages.run(block.first), original.run(block.known), strict=True)

    def loss(here: Env, there: Env) -> Tensor:
        wanted = there[block.target].float()
        scale = wanted.var() + torch.finfo(torch.float32).tiny
        error: Tensor = torch.nn.functional.mse_loss(here[block.end].float(), wanted) / scale
        return error

    train(own, batches, lambda env: stages.ran(env, block.first, block.last), loss, BLOCK_EPOCHS, lambda: False)


def train_whole(
    trainer: TorchTrainer,
    stages: Stages,
    original: Stages,
    weights: Mapping[ir.Value, Tensor],
    outputs: Mapping[ir.Value, ir.Value],
) -> None:
    """Train all weights towards the original's outputs, by the loss of fine-tuning without labels."""
    for value, weight in weights.items():
        stages.set_constant(value, weight)
    end, known = stages.length, original.length

    def batches() -> Iterator[tuple[Env, Env]]:
        yield from zip(stages.run(0), original.run(known), strict=True)

    def loss(here: Env, there: Env) -> Tensor:
        ours = {str(value.name): here[value] for value in outputs}
        theirs = {str(value.name): there[other] for value, other in outputs.items()}
        return trainer.objective.loss(ours, theirs, None)

    def over() -> bool:
        return trainer.setup.run_context.time_left() <= 0

    train([*weights.values()], batches, lambda env: stages.ran(env, 0, end), loss, WHOLE_EPOCHS, over)


def train(
    weights: list[Tensor],
    batches: Callable[[], Iterator[tuple[Env, Env]]],
    run: Callable[[Env], Env],
    loss: Loss,
    epochs: int,
    over: Callable[[], bool],
) -> None:
    """Train weights by Adam while the rate falls along a cosine; a loss that is not finite ends it as it was before.

    Weights that are zero stay zero.
    """
    alive = [
        weight.detach() != 0 if weight.ndim > 1 else torch.ones_like(weight, dtype=torch.bool) for weight in weights
    ]
    best = [weight.detach().clone() for weight in weights]
    optimizer = Adam(weights, BLOCK_RATE)
    for epoch in range(epochs if weights else 0):
        optimizer.rate = BLOCK_RATE * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        total = 0.0
        for here, there in batches():
            optimizer.zero_grad()
            found = loss(run(here), there)
            if found.requires_grad:
                torch.autograd.backward(found)
                optimizer.step()
                total += float(found.detach())
            with torch.no_grad():
                for weight, mask in zip(weights, alive, strict=True):
                    weight.mul_(mask)
        if not math.isfinite(total):
            with torch.no_grad():
                for weight, kept in zip(weights, best, strict=True):
                    weight.copy_(kept)
        if over() or not math.isfinite(total):
            break
    optimizer.zero_grad()
