"""Convolutions taken apart along the axes of their kernels: what is written, what is found again, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.channels.dead_units import drop_dead_units
from gscompile.compression.linear_maps import cells, linear_maps
from gscompile.compression.passes import Context
from gscompile.compression.separable import separable_spectrum
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.data.dataset import input_specs, load_data
from gscompile.graph.factor_pairs import factor_pairs, separable_pairs
from gscompile.graph.network import Network
from gscompile.passes.rank_clip import RankClip
from gscompile.reporting.report import layer_rows, matrix_figures
from gscompile.scoring.score_budget import ScoreBudget
from gscompile.training.kfac_moments import measure_moments
from gscompile.training.make_trainer import make_trainer
from gscompile.training.training_options import TrainingOptions
from tests.small_networks import assert_same_outputs, model, network

CASES = {
    "plain": ("g (float[n,3,7,6] x) => (float[n,4,a,b] y) <float[4,3,3,2] w, float[4] b> { y = Conv (x, w, b) }", 2),
    "strides, pads, dilations": (
        """g (float[n,3,9,9] x) => (float[n,4,a,b] y) <float[4,3,3,3] w, float[4] b>
        { y = Conv <strides = [2,1], pads = [1,0,2,1], dilations = [1,2]> (x, w, b) }""",
        3,
    ),
    "same padding": (
        """g (float[n,3,8,8] x) => (float[n,4,a,b] y) <float[4,3,3,3] w>
        { y = Conv <auto_pad = "SAME_UPPER", strides = [2,2], kernel_shape = [3,3]> (x, w) }""",
        3,
    ),
    "groups": ("g (float[n,4,6,6] x) => (float[n,6,a,b] y) <float[6,2,3,3] w> { y = Conv <group = 2> (x, w) }", 3),
    "depthwise": ("g (float[n,4,6,6] x) => (float[n,4,a,b] y) <float[4,1,3,3] w> { y = Conv <group = 4> (x, w) }", 3),
    "one axis, then two": (
        "g (float[n,2,5,5,5] x) => (float[n,3,a,b,c] y) <float[3,2,3,3,2] w> { y = Conv (x, w) }",
        6,
    ),
    "two axes, then one": (
        "g (float[n,2,5,5,5] x) => (float[n,3,a,b,c] y) <float[3,2,3,3,2] w> { y = Conv (x, w) }",
        2,
    ),
}


def apart(net: Network, taps: int) -> tuple[str, str]:
    """Take the only layer apart without loss; the names of the two."""
    (linear,) = linear_maps(net)
    (way,) = (way for way in linear.ways() if way.taps == taps)
    parts, inputs, outputs = way.shape
    rank = min(inputs, outputs)
    eye = np.broadcast_to(np.eye(rank), (parts, rank, rank))
    w = way.product.astype(np.float64)
    u, v = (eye, w) if inputs <= outputs else (w, eye)
    return net.factor(linear.u.name, u, way.folded(v))


@pytest.mark.parametrize("case", CASES)
def test_two_convolutions_along_different_axes_give_what_one_gave(case: str) -> None:
    text, taps = CASES[case]
    before = model(text)
    net = Network.from_proto(before)
    first, second = apart(net, taps)
    assert_same_outputs(before, net)
    assert separable_pairs(net) == {second: (first, taps)}
    assert factor_pairs(net) == {}  # between the two somebody has to wait for all taps
    (linear,) = linear_maps(net)
    whole = Network.from_proto(before).layers[0].matrices
    np.testing.assert_allclose(linear.product.reshape(whole.shape), whole, atol=1e-6)


def test_a_bias_or_another_order_of_the_axes_is_no_product() -> None:
    weights = "<float[2,3,3,1] u, float[4,2,1,3] v, float[2] c, float[2,3,1,3] t, float[4,2,3,1] w>"
    graph = f"g (float[n,3,6,6] x) => (float[n,4,a,b] y) {weights}"
    assert separable_pairs(network(f"{graph} {{ h = Conv (x, u)  y = Conv (h, v) }}")) == {"n1": ("n0", 3)}
    assert separable_pairs(network(f"{graph} {{ h = Conv (x, u, c)  y = Conv (h, v) }}")) == {}
    assert separable_pairs(network(f"{graph} {{ h = Conv (x, t)  y = Conv (h, w) }}")) == {}
    assert separable_pairs(network(f"{graph} {{ h = Conv <pads = [0,1,0,1]> (x, u)  y = Conv (h, v) }}")) == {}


def test_of_three_in_a_row_two_are_one_map_and_every_cell_is_counted() -> None:
    net = network("""g (float[n,2,6,6] x) => (float[n,4,a,b] y) <float[3,2,3,1] u, float[5,3,1,3] v, float[4,5,1,1] w>
        { h = Conv (x, u)  i = Conv (h, v)  y = Conv (i, w) }""")
    assert [(m.u.name, m.shape, m.taps) for m in linear_maps(net)] == [("n0", (1, 6, 15), 3), ("n2", (1, 5, 4), 1)]
    assert cells(net) == 3 * (6 + 15) + 5 * 4


def test_a_kernel_of_one_axis_is_not_taken_apart() -> None:
    for kernel in ("3,1", "1,3", "1,1", "5"):
        axes = ",".join("9" * len(kernel.split(",")))
        net = network(f"g (float[n,2,{axes}] x) => (float y) <float[3,2,{kernel}] w> {{ y = Conv (x, w) }}")
        assert [way.taps for way in linear_maps(net)[0].ways()] == [1]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 10_000))
def test_losses_are_those_of_the_whole_metric(channels: int, taps: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = 2 * channels * taps
    w, x, g = (rng.standard_normal(shape) for shape in ((inputs, outputs), (40, inputs), (40, outputs)))
    a, b = x.T @ x / 40, g.T @ g / 40
    found = separable_spectrum(w, a, b, taps)
    for rank, loss in enumerate(found.loss):
        u, v = found.factors(rank) if rank else (np.zeros((inputs // taps, 1)), np.zeros((1, taps * outputs)))
        lost = w - (u @ v).reshape(w.shape)
        assert loss == pytest.approx(np.trace(lost.T @ a @ lost @ b), abs=1e-9)


IMAGES = "g (float[n,2,9,9] x) => (float[n,8,5,5] y) <float[8,2,5,5] w, float[8] b> { y = Conv (x, w, b) }"


def clipped(net: Network) -> Network:
    images = np.random.default_rng(0).standard_normal((128, 2, 9, 9)).astype(np.float32)
    data = load_data({"x": images}, input_specs(net.model))
    trainer = make_trainer(net, data, data, TrainingOptions(batch_size=32, threads=1))
    moments = lambda n: measure_moments(trainer, n, n.layers)  # noqa: E731
    context = Context(
        MapOptions(Crossbar(8, 8)),
        trainer=trainer,
        budget=ScoreBudget(base=99.0, max_drop=0.0),
        effort=0.1,
        moments=moments,
    )
    result = RankClip().run(net.copy(), context)
    assert [c.what for c in result.changes] == ["kernel"]
    assert result.changes[0].before == "5x5"
    assert result.changes[0].after.startswith("5x1 and 1x5")
    return result.network


def test_filters_that_are_products_of_two_vectors_are_found_and_the_files_say_so() -> None:
    """Eight filters of full rank, which two columns and two rows a channel make up: 10 x 2 + 2 x 40 cells for 400."""
    rng = np.random.default_rng(2)
    w = (rng.standard_normal((10, 2)) @ rng.standard_normal((2, 40))).reshape(2, 5, 5, 8).transpose(3, 0, 1, 2)
    before = model(IMAGES, w=w)
    net = clipped(Network.from_proto(before))
    assert [layer.layout.shape for layer in net.layers] == [(2, 2, 5, 1), (8, 2, 1, 5)]
    assert cells(net) == 10 * 2 + 2 * 5 * 8
    assert {layer.origin for layer in net.layers} == {"n0"}
    mapped = map_network(net, MapOptions(Crossbar(8, 8)))
    assert {(m.input_bus, m.output_bus) for m in mapped.matrices} == {("n0_u.in", "n0_u.out"), ("n0.in", "n0.out")}
    assert any("n0_u.out" in block.inputs and "n0.in" in block.outputs for block in mapped.blocks)


def test_a_pair_along_two_axes_is_clipped_further_and_its_dead_channels_go() -> None:
    net = network(IMAGES)
    apart(net, 5)
    pair = net.layers
    net.set_matrices(pair[0].name, pair[0].matrices * (np.arange(pair[0].layout.outputs) < 3))
    drop_dead_units(net)
    assert [layer.layout.shape for layer in net.layers] == [(3, 2, 5, 1), (8, 3, 1, 5)]
    assert [m.rank for m in linear_maps(net)] == [3]


def test_the_report_counts_dense_wires_of_the_shape_that_was_clipped() -> None:
    """The first of the two takes a tap of every channel: 10 of the 50 inputs, in two tiles of 8 rows.

    It is the identity, which leaves 20 of its 40 wires and two of its four tiles.
    """
    net = network(IMAGES)
    options = MapOptions(Crossbar(8, 8))
    before = map_network(net, options)
    apart(net, 5)
    after, origins = map_network(net, options), {layer.name: layer.origin for layer in net.layers}
    first, second = matrix_figures(after, origins, before)
    assert (first.inputs, first.outputs, first.wires, first.dense_wires) == (10, 10, 20, 40)
    assert (second.inputs, second.outputs, second.wires, second.dense_wires) == (50, 8, 106, 106)
    (row,) = layer_rows(before, after, origins, {"n0": "Conv"})
    assert row.routing_ratio == pytest.approx(((20 + 106) / (40 + 106)) ** 2)
    assert row.after.cells == 8 * 8 + 2 * 2 + 50 * 8
