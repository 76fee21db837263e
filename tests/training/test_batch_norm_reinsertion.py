"""Deep networks are normalised over batches where that is asked for, and come back as they were made: convolutions with biases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gscompile.data.dataset import input_specs, load_data
from gscompile.graph.network import Network
from gscompile.training import torch_trainer
from gscompile.training.batch_norm_reinsertion import channel_values
from gscompile.training.make_trainer import make_trainer
from gscompile.training.torch_trainer import TorchTrainer
from gscompile.training.training_data import MIN_RUN_STEPS
from gscompile.training.training_options import TrainingOptions
from tests.small_networks import network

X = np.random.default_rng(0).standard_normal((256, 2, 4)).astype(np.float32)
LABELS = (X[:, 0].sum(1) > X[:, 1].sum(1)).astype(np.int64)


def deep(convolutions: int) -> Network:
    """So many in a row, each followed by a Relu, and the mean of what the last gives."""
    vectors = ", ".join(f"float[2,2,1] w{i}, float[2] b{i}" for i in range(convolutions))
    nodes = " ".join(f"h{i} = Conv (a{i}, w{i}, b{i}) a{i + 1} = Relu (h{i})" for i in range(convolutions))
    given = {f"w{i}": np.array([[[1.0], [-0.2]], [[-0.2], [1.0]]]) for i in range(convolutions)}
    ends = f"m = ReduceMean <axes = [2], keepdims = 0> (a{convolutions})"
    text = f"g (float[n,2,4] a0) => (float[n,2] m) <{vectors}> {{ {nodes} {ends} }}"
    return network(text, **given, **{f"b{i}": np.array([0.1, 0.2]) for i in range(convolutions)})


def trainer_of(net: Network, batch: int = 32, labels: bool = True) -> TorchTrainer:
    torch.set_num_threads(1)
    data = load_data({"a0": X, "labels": LABELS} if labels else {"a0": X}, input_specs(net.model))
    return make_trainer(net, data, data, TrainingOptions(batch_size=batch, lr=1e-3))


@pytest.mark.parametrize(
    ("convolutions", "batch", "labels", "times"),
    [(8, 32, True, 2), (7, 32, True, 0), (8, 8, True, 0), (8, 32, False, 0)],
    ids=["deep", "not as deep", "small batches", "to be what it was"],
)
def test_a_deep_network_is_looked_at_before_and_after_it_is_trained(
    convolutions: int, batch: int, labels: bool, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, looked = deep(convolutions), list[int]()
    trainer = trainer_of(net, batch, labels)
    values = channel_values

    def looking(*asked: Any) -> Any:
        looked.append(1)
        return values(*asked)

    monkeypatch.setattr(torch_trainer, "channel_values", looking)
    for tune in (trainer.tune, trainer.anneal):
        assert tune(net, 8 / MIN_RUN_STEPS, lr=1.0)
        assert not looked
    tuned = trainer.tune(net, 8 / MIN_RUN_STEPS, normalize=True)
    assert len(looked) == times
    assert [node.op_type for node in tuned.graph] == [node.op_type for node in net.graph]


def test_a_step_of_no_length_changes_next_to_nothing() -> None:
    net = deep(8)
    trainer = trainer_of(net)
    tuned = trainer.tune(net, 1 / MIN_RUN_STEPS, lr=0.0, normalize=True)
    for layer in net.layers:
        assert np.allclose(tuned.matrices(layer.name), net.matrices(layer.name), rtol=0.01)
    assert trainer.score(tuned) == trainer.score(net)
