"""`simulate` compares outputs of every type, each by what rounding may do to it, and runs what else stands in a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import write_tiles
from gscompile.graph.network import Network
from gscompile.hardware_text import disagreement, simulation_text
from gscompile.simulation.agreement import Agreement, agreement, tolerance_of
from gscompile.simulation.simulate import SimulationOptions, SimulationReport, data_for, simulate_folder
from tests.small_networks import model, network


def simulated(text: str, out: Path, kind: str = "float32", imports: str = "") -> SimulationReport:
    """Simulate a network of random weights, as it is, on 20 samples of 8 numbers."""
    proto = model(text, imports=imports)
    weighted = Network.from_proto(proto)
    netlist = map_network(weighted, MapOptions(Crossbar(4, 4)), "net")
    weighted.save(out / "model.onnx")
    write_netlist(netlist, out / "netlist.json")
    write_tiles(tile_weights(weighted, netlist), out / "tiles.npz")
    x = np.random.default_rng(2).standard_normal((20, 8)).astype(kind)
    return simulate_folder(out, data_for(out, {"x": x}), SimulationOptions(sweep=False, seeds=1))


@pytest.mark.parametrize(
    ("onnx_type", "kind", "allowed"),
    [("float16", "float16", 1e-2), ("float", "float32", 1e-4), ("double", "f8", 1e-10)],
)
def test_rounding_is_that_of_the_type(onnx_type: str, kind: str, allowed: float, tmp_path: Path) -> None:
    text = f"net ({onnx_type}[n,8] x) => ({onnx_type}[n,6] y) <{onnx_type}[8,9] w, {onnx_type}[9,6] v> "
    report = simulated(text + "{ a = MatMul (x, w)  b = Relu (a)  y = MatMul (b, v) }", tmp_path, kind)
    assert report.agrees
    assert report.tolerance == allowed
    assert report.nodes_on_tiles == 2


def test_the_coarsest_type_counts_and_quantised_values_move_by_a_level() -> None:
    halves = "net (float[n,8] x) => (float[n,8] y) <float[8,8] w> "
    halves += "{ a = MatMul (x, w)  b = Cast <to=10> (a)  y = Cast <to=1> (b) }"
    assert tolerance_of(network(halves)).difference == 1e-2
    levels = "net (float[n,8] x) => (uint8[n,8] y) <float[8,8] w> "
    levels += "{ a = MatMul (x, w)  y, s, z = DynamicQuantizeLinear (a) }"
    assert tolerance_of(network(levels)).difference == 5e-2


GRAPHS = {
    "a node that nobody reads": "(float[n,8] x) => (float[n,8] y) <float[8,8] w> "
    "{ a = MatMul (x, w)  nobody = Shape (a)  y = Relu (a) }",
    "only a node that nobody reads between two products": "(float[n,8] x) => (float[n,8] y) <float[8,8] w, float[8,8] v> "
    "{ a = MatMul (x, w)  nobody = Shape (a)  y = MatMul (a, v) }",
    "identities of a tied weight": "(float[n,8] x) => (float[n,8] y) <float[8,8] w> "
    "{ p = Identity (w)  q = Identity (w)  a = MatMul (x, p)  b = Relu (a)  y = MatMul (b, q) }",
    "a constant output": "(float[n,8] x) => (float[n,8] y, float[8] c) <float[8,8] w, float[8] k> "
    "{ y = MatMul (x, w)  c = Identity (k) }",
    "classes": "(float[n,8] x) => (int64[n] i, float[n,8] y) <float[8,8] w> "
    "{ y = MatMul (x, w)  i = ArgMax <axis=1, keepdims=0> (y) }",
    "booleans": "(float[n,8] x) => (bool[n,8] t) <float[8,8] w, float[1] k> { y = MatMul (x, w)  t = Greater (y, k) }",
}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_stands_beside_the_products_is_run_too(name: str, tmp_path: Path) -> None:
    report = simulated(f"net {GRAPHS[name]}", tmp_path)
    assert report.agrees
    assert report.answers_differ == 0


def test_labels_in_words_are_compared_as_words(tmp_path: Path) -> None:
    text = (
        "net (float[n,8] x) => (string[n] label, float[n,2] y) <float[8,2] w> { y = MatMul (x, w) "
        " i = ArgMax <axis=1, keepdims=0> (y) "
        ' label = ai.onnx.ml.LabelEncoder <keys_int64s=[0,1], values_strings=["cat","dog"]> (i) }'
    )
    report = simulated(text, tmp_path, imports=', "ai.onnx.ml" : 3')
    assert report.agrees
    assert report.model == 100  # of the second output, which has the scores


def test_numbers_are_compared_by_their_range_and_answers_one_by_one() -> None:
    y, label = np.array([0.0, 10.0]), np.array(["cat", "dog"], object)
    found = agreement([[y, label]], [[np.array([0.0, 9.0]), np.array(["cat", "cat"], object)]])
    assert found == Agreement(difference=0.1, answers=0.5)


def test_what_is_not_finite_agrees_with_itself_alone() -> None:
    y, nan = np.array([0.0, 1.0, np.inf]), np.array([0.0, np.nan, np.inf])
    assert agreement([[y]], [[y.copy()]]).difference == 0
    assert agreement([[nan]], [[nan.copy()]]).difference == 0
    assert agreement([[y]], [[nan]]).difference == float("inf")
    assert agreement([[y]], [[y[:2]]]).difference == float("inf")


def test_the_text_says_which_outputs_differ() -> None:
    report = SimulationReport(
        1000, 1e-6, 1, 2, {}, "labels", None, None, "chip", answers_differ=0.25, answers_tolerance=0.01
    )
    assert not report.agrees
    assert disagreement(report) == "tiles and model.onnx differ in 25.00 % of integer, boolean and string outputs"
    assert simulation_text(report) == (
        "1,000 samples: tiles and model.onnx differ by 1.0e-06 of the output range (at most 1e-04 is allowed)\n"
        "tiles and model.onnx differ in 25.00 % of integer, boolean and string outputs (at most 1.00 % is allowed)\n"
        "1 node runs on tiles, 2 in onnxruntime with the tiles' weights\n"
        "no output holds class scores: the effect of the devices is not measured\n"
    )
