"""Blocks of a network trained on values that were kept, one block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from gscompile.data.dataset import input_specs, load_data
from gscompile.execute.stages import Stages
from gscompile.graph.network import Network
from gscompile.training.blocks import find_blocks, retrained, train_block
from gscompile.training.make_trainer import make_trainer
from gscompile.training.training_options import TrainingOptions
from tests.small_networks import network

X = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)

# A residual sum and a product behind it: blocks end behind the sum, behind its Abs and at the output.
TWO_BLOCKS = """g (float[n, 2] x) => (float[n, 2] y) <float[2, 2] a, float[2, 2] b>
{ h = MatMul(x, a)  s = Add(h, x)  r = Abs(s)  y = MatMul(r, b) }"""


def original() -> Network:
    return network(TWO_BLOCKS, a=np.diag([1.0, 2.0]), b=np.eye(2))


def feeds() -> Iterator[Mapping[str, Tensor]]:
    return ({"x": torch.from_numpy(X[start : start + 16])} for start in range(0, 64, 16))


def test_blocks_end_where_one_value_is_all_that_is_read() -> None:
    net = original()
    blocks = [*find_blocks(Stages(net.model, feeds), net, Stages(net.model, feeds))]
    assert [block.end.name for block in blocks] == ["s", "r", "y"]
    assert [(block.first, block.last) for block in blocks] == [(0, 2), (2, 3), (3, 4)]


def test_a_block_learns_what_the_original_has_behind_it() -> None:
    """The first weight, 1.2 too large, falls towards 1; the weight of a later block stays as it is."""
    net, before = original(), original()
    net.set_matrices("n0", np.diag([1.2, 2.0])[None])
    stages, known = Stages(net.model, feeds), Stages(before.model, feeds)
    values = {layer.name: layer.value for layer in net.layers}
    weights = {value: torch.nn.Parameter(stages.constant(value).clone()) for value in values.values()}
    for value, weight in weights.items():
        stages.set_constant(value, weight)
    block = next(find_blocks(stages, before, known))
    train_block(block, stages, known, weights)
    first, second = (weights[values[name]].detach().numpy() for name in ("n0", "n3"))
    assert abs(first[0, 0] - 1.0) < 0.15
    assert first[0, 1] == first[1, 0] == 0  # what was deleted stays deleted
    np.testing.assert_array_equal(second, np.eye(2))


def test_a_network_that_was_changed_comes_nearer_to_the_original() -> None:
    net, changed = original(), original()
    changed.set_matrices("n3", np.diag([1.3, 0.8])[None])
    data = load_data({"x": X}, input_specs(net.model))
    trainer = make_trainer(net, data, data, TrainingOptions(batch_size=16, threads=1))
    trained = retrained(trainer, changed)
    error = [float(np.abs(each.matrices("n3")[0] - np.eye(2)).sum()) for each in (changed, trained)]
    assert error[1] < error[0]
    np.testing.assert_array_equal(changed.matrices("n3")[0], np.diag([1.3, 0.8]).astype(np.float32))
