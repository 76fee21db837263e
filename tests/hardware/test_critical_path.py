"""Layers in sequence take the sum of their times, parallel ones the longest."""

from __future__ import annotations

import numpy as np
import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.hardware.cost import cost
from gscompile.hardware.critical_path import critical_path_ns
from gscompile.hardware.target import load_target
from gscompile.placement.place_folder import uses_per_inference
from tests.small_networks import network

W = "float[8,8]"


@pytest.mark.parametrize(
    ("body", "times", "total"),
    [
        ("a = MatMul (x, u)  b = MatMul (a, v)  y = Relu (b)", {"n0": 3, "n1": 4}, 7),  # a pair in sequence
        ("a = MatMul (x, u)  b = MatMul (x, v)  y = Add (a, b)", {"n0": 3, "n1": 4}, 4),  # two branches
        (  # a long way round a short one, and a layer behind both
            "a = MatMul (x, u)  b = MatMul (a, v)  c = MatMul (x, w)  d = Add (b, c)  y = MatMul (d, z)",
            {"n0": 3, "n1": 4, "n2": 5, "n4": 1},
            8,
        ),
        ("a = MatMul (x, u)  b = MatMul (x, u)  y = Add (a, b)", {"n0": 6}, 6),  # one set of arrays, used twice
    ],
)
def test_the_longest_path_is_the_latency(body: str, times: dict[str, float], total: float) -> None:
    text = f"net (float[n,8] x) => (float[n,8] y) <{W} u, {W} v, {W} w, {W} z> {{ {body} }}"
    assert critical_path_ns(network(text), times) == total


def test_branches_cost_energy_both_and_time_once() -> None:
    """Two equal matrices side by side: twice the energy of one, and the time of one."""
    text = f"net (float[n,8] x) => (float[n,8] y) <{W} u, {W} v> "
    text += "{ a = MatMul (x, u)  b = MatMul (x, v)  y = Add (a, b) }"
    branches, target = network(text), load_target("rram_45nm")
    netlist = map_network(branches, MapOptions(Crossbar(16, 16)), "net")
    report = cost(netlist, target, network=branches)
    one = report.rows[0]
    assert report.total.energy_pj == pytest.approx(2 * one.energy_pj)
    assert report.total.latency_ns == one.latency_ns


@pytest.mark.parametrize("samples", [1, 4])
def test_uses_are_of_one_inference_however_many_samples_are_run(samples: int) -> None:
    """Of one picture of 6 x 6 the kernel of 3 x 3 sees 16 places."""
    conv = network("net (float[n,1,6,6] x) => (float[n,2,4,4] y) <float[2,1,3,3] w> { y = Conv (x, w) }")
    netlist = map_network(conv, MapOptions(Crossbar(16, 16)), "net")
    sample = {"x": np.ones((samples, 1, 6, 6), np.float32)}
    assert uses_per_inference(conv, netlist, sample) == {"n0": 16}


def test_samples_are_counted_along_the_axis_that_is_called_batch() -> None:
    """Five steps of three samples: a step of each sample is a use of the input matrix."""
    gru = network(
        "net (float[steps,batch,3] x) => (float[steps,1,batch,2] y) <float[1,6,3] w, float[1,6,2] r> "
        "{ y = GRU <hidden_size=2, linear_before_reset=1> (x, w, r) }"
    )
    netlist = map_network(gru, MapOptions(Crossbar(16, 16)), "net")
    uses = uses_per_inference(gru, netlist, {"x": np.ones((5, 3, 3), np.float32)})
    assert uses is not None
    assert set(uses.values()) == {5}
