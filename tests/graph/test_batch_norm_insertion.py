"""A normalization put back keeps every output on samples like those that were looked at, and so does taking it in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gscompile.execute import Executor
from gscompile.graph.batch_norm_insertion import ChannelMoments, normalizable, normalize, settle
from gscompile.graph.network import Network
from gscompile.scoring.runner import Runner
from tests.small_networks import network

NET = """g (float[n,2,5] x) => (float[n,3,3] y) <float[3,2,3] w, float[3] b>
    { h = Conv (x, w, b)  y = Relu (h) }"""
X = np.random.default_rng(0).standard_normal((64, 2, 5)).astype(np.float32)


def spreads(net: Network) -> dict[str, ChannelMoments]:
    given = net.layers[0].uses[0].node.outputs[0]
    said = Executor(net.model)({"x": torch.from_numpy(X)}, [given])[str(given.name)].detach().double().numpy()
    return {"n0": (said.mean((0, 2)), said.var((0, 2)))}


def test_a_normalization_put_back_changes_nothing_and_neither_does_taking_it_in() -> None:
    net = network(NET)
    before = Runner(net)({"x": X})["y"]
    nodes = normalize(net, spreads(net))
    assert [node.op_type for node in net.graph] == ["Conv", "BatchNormalization", "Relu"]
    said = Executor(net.model)({"x": torch.from_numpy(X)})["y"].detach().numpy()
    assert np.allclose(said, before, atol=1e-5)
    settle(net, nodes, spreads(net))
    assert [node.op_type for node in net.graph] == ["Conv", "Relu"]
    assert {value.name for node in net.graph for value in node.outputs} == {"h", "y"}
    assert np.allclose(Runner(net)({"x": X})["y"], before, atol=1e-5)


def test_a_channel_keeps_its_spread_whatever_becomes_of_the_weight() -> None:
    net = network(NET)
    before = spreads(net)["n0"]
    nodes = normalize(net, {"n0": before})
    net.set_matrices("n0", 7 * net.matrices("n0"))
    settle(net, nodes, spreads(net))
    for now, then in zip(spreads(net)["n0"], before, strict=True):
        assert np.allclose(now, then, rtol=1e-4)


def test_weights_that_are_zero_stay_zero_and_the_shift_is_what_such_a_channel_gives() -> None:
    net = network(NET, w=np.stack([np.zeros((2, 3)), np.ones((2, 3)), np.ones((2, 3))]), b=np.array([2.0, 0.0, 1.0]))
    settle(net, normalize(net, spreads(net)), spreads(net))
    assert not net.matrices("n0")[0][:, 0].any()
    assert np.allclose(Runner(net)({"x": X})["y"][:, 0], 2.0)


@pytest.mark.parametrize(
    "text",
    [
        NET.replace("(x, w, b)", "(x, w)"),
        NET.replace("h = Conv (x, w, b)  y = Relu (h)", "y = Conv (x, w, b)"),
        NET.replace("y = Relu (h)", "k = Conv (x, w, b)  y = Add (h, k)"),
    ],
    ids=["no bias", "what it gives is an output", "its bias is read elsewhere"],
)
def test_what_is_not_a_convolution_of_its_own_stays_as_it_is(text: str) -> None:
    net = network(text)
    assert not normalizable(net)
    assert not normalize(net, {layer.name: (np.zeros(3), np.ones(3)) for layer in net.layers})
