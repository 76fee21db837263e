"""Networks run from their tiles give what onnxruntime gives; devices change that in ways one can check."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, cut, map_network, tile_weights
from gscompile.crossbars.netlist import Matrix, Netlist
from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import write_tiles
from gscompile.data.inputs import input_specs
from gscompile.errors import VerificationError
from gscompile.graph.network import Network
from gscompile.hardware.conductance import programmed, read, to_pair
from gscompile.hardware.target import Device, load_target
from gscompile.hardware_text import simulation_text
from gscompile.simulation.nodal import solve_line_by_line, solve_sparse, transfer
from gscompile.simulation.simulate import (
    SWEEP_VALUES,
    SimulationOptions,
    SimulationReport,
    alone,
    data_for,
    simulate_folder,
)
from gscompile.simulation.tile_product import Effects, MatrixOnTiles, TileMatrix, on_tiles

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
NETWORKS = {
    "conv": "(float[n,3,9,8] x) => (float[n,o,h,w] y) <float[5,3,3,2] w, float[5] b> "
    "{ y = Conv <pads=[1,0,2,1], strides=[2,1], dilations=[1,2]> (x, w, b) }",
    "conv same upper": "(float[n,3,9,8] x) => (float[n,o,h,w] y) <float[5,3,3,2] w> "
    '{ y = Conv <auto_pad="SAME_UPPER", strides=[2,3]> (x, w) }',
    "conv same lower": "(float[n,3,9,8] x) => (float[n,o,h,w] y) <float[5,3,4,2] w> "
    '{ y = Conv <auto_pad="SAME_LOWER", strides=[2,1]> (x, w) }',
    "conv valid": '(float[n,3,9,8] x) => (float[n,o,h,w] y) <float[5,3,4,2] w> { y = Conv <auto_pad="VALID"> (x, w) }',
    "conv 1d grouped": "(float[n,4,9] x) => (float[n,o,h] y) <float[6,2,3] w, float[6] b> "
    "{ y = Conv <group=2, pads=[1,1]> (x, w, b) }",
    "conv 3d": "(float[n,2,4,5,6] x) => (float[n,o,d,h,w] y) <float[3,2,2,2,3] w> "
    "{ y = Conv <strides=[1,2,1]> (x, w) }",
    "depthwise": "(float[n,4,6,6] x) => (float[n,o,h,w] y) <float[4,1,3,3] w> { y = Conv <group=4> (x, w) }",
    "transposed": "(float[n,4,5,6] x) => (float[n,o,h,w] y) <float[4,3,3,2] w, float[3] b> "
    "{ y = ConvTranspose <strides=[2,3], pads=[1,0,0,1], output_padding=[1,0]> (x, w, b) }",
    "transposed grouped": "(float[n,4,5,6] x) => (float[n,o,h,w] y) <float[4,3,3,2] w> "
    "{ y = ConvTranspose <group=2, dilations=[2,1]> (x, w) }",
    "transposed same": "(float[n,4,5,6] x) => (float[n,o,h,w] y) <float[4,3,3,3] w> "
    '{ y = ConvTranspose <auto_pad="SAME_UPPER", strides=[2,2]> (x, w) }',
    "transposed shape": "(float[n,4,5,6] x) => (float[n,o,h,w] y) <float[4,3,3,3] w> "
    "{ y = ConvTranspose <output_shape=[10,12], strides=[2,2]> (x, w) }",
    "vector": "(float[n,4,7] x) => (float[n,4] y) <float[7] w> { y = MatMul (x, w) }",
    "vector on the left": "(float[n,7,4] x) => (float[n,4] y) <float[7] w> { y = MatMul (w, x) }",
    "gemm": "(float[n,7] x) => (float[n,5] y) <float[5,7] w, float[5] b> "
    "{ y = Gemm <transB=1, alpha=0.5, beta=2.0> (x, w, b) }",
    "gemm left": "(float[n,7] x) => (float[5,n] y) <float[5,7] w, float[5,1] b> "
    "{ y = Gemm <transB=1, alpha=0.5, beta=2.0> (w, x, b) }",
    "matmul": "(float[n,3,7] x) => (float[n,3,5] y) <float[7,5] w> { y = MatMul (x, w) }",
    "matmul left": "(float[n,7,2] x) => (float[n,5,2] y) <float[5,7] w> { y = MatMul (w, x) }",
    "matmul batched": "(float[n,3,2,7] x) => (float[n,3,2,5] y) <float[3,7,5] w> { y = MatMul (x, w) }",
    "lstm": "(float[4,n,3] x) => (float[4,1,n,2] y, float[1,n,2] h, float[1,n,2] c) "
    "<float[1,8,3] w, float[1,8,2] r, float[1,16] b, float[1,6] p> "
    "{ y, h, c = LSTM <hidden_size=2> (x, w, r, b, , , , p) }",
    "lstm both ways": "(float[4,n,3] x) => (float[2,n,2] h) <float[2,8,3] w, float[2,8,2] r> "
    '{ , h = LSTM <hidden_size=2, direction="bidirectional"> (x, w, r) }',
    "gru": "(float[4,n,3] x) => (float[4,1,n,2] y) <float[1,6,3] w, float[1,6,2] r, float[1,12] b> "
    "{ y = GRU <hidden_size=2> (x, w, r, b) }",
    "gru before": "(float[4,n,3] x) => (float[4,1,n,2] y) <float[1,6,3] w, float[1,6,2] r, float[1,12] b> "
    '{ y = GRU <hidden_size=2, linear_before_reset=1, direction="reverse"> (x, w, r, b) }',
    "rnn": "(float[4,n,3] x) => (float[4,1,n,2] y) <float[1,2,3] w, float[1,2,2] r, float[1,4] b> "
    "{ y = RNN <hidden_size=2> (x, w, r, b) }",
    "rnn with relu": "(float[4,n,3] x) => (float[4,1,n,2] y) <float[1,2,3] w, float[1,2,2] r> "
    '{ y = RNN <hidden_size=2, activations=["Relu"]> (x, w, r) }',
    "branches": "(float[n,4] x) => (float[n,4] y, float[n,4] z) <float[4,4] w, float[4,4] v> "
    "{ a = MatMul (x, w)  y = Relu (a)  b = MatMul (y, v)  c = Add (b, x)  z = MatMul (c, w) }",
}


def folder_of(text: str, out: Path, crossbar: str = "4x4") -> Path:
    """An output folder with a network of random weights, a third of them zero."""
    model = onnx.parser.parse_model(f"{HEAD} net {text}")
    rng = np.random.default_rng(0)
    for info in model.graph.value_info:
        shape = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
        array = (rng.standard_normal(shape) * (rng.random(shape) > 0.3)).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
    model.graph.ClearField("value_info")
    return written(Network.from_proto(model), crossbar, out)


def written(network: Network, crossbar: str, out: Path) -> Path:
    """An output folder with a network as it is."""
    netlist = map_network(network, MapOptions(Crossbar.parse(crossbar)), "net")
    network.save(out / "model.onnx")
    write_netlist(netlist, out / "netlist.json")
    write_tiles(tile_weights(network, netlist), out / "tiles.npz")
    return out


def simulated(out: Path, count: int = 6, **options: Any) -> SimulationReport:
    specs = input_specs(Network.load(out / "model.onnx").model)
    rng = np.random.default_rng(1)
    arrays = {
        s.name: rng.standard_normal([d if isinstance(d, int) else count for d in s.shape or ()]).astype(np.float32)
        for s in specs
    }
    return simulate_folder(out, data_for(out, arrays), SimulationOptions(batch=3, sweep=False, **options))


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_compute_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    report = simulated(folder_of(NETWORKS[name], tmp_path))
    assert report.difference < 1e-6
    assert (report.nodes_on_tiles, report.nodes_rebuilt) == {
        "branches": (3, 0),
        "rnn with relu": (0, 1),
    }.get(name, (1, 0))


ROOT = Path(__file__).parents[2]
PERFECT = replace(load_target(), wire=replace(load_target().wire, resistance_ohm_per_um=0.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "convnet", "cifar10_resnet20"])
def test_a_network_as_it_comes_is_computed_tile_by_tile(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """121, 44 and 98 tiles; what is compressed is in test_cli_hardware."""
    model = ROOT / "samples" / f"{name}.onnx"
    if name == "cifar10_resnet20":
        model = request.getfixturevalue("shared") / "models" / f"{name}.onnx"
    network = Network.load(model)
    report = simulated(written(network, "64x64", tmp_path), 6, target=PERFECT)
    assert report.difference < 1e-5
    assert (report.nodes_on_tiles, report.nodes_rebuilt) == (len(network.layers), 0)


def test_a_convolution_uses_its_matrix_once_per_output_position(tmp_path: Path) -> None:
    report = simulated(folder_of(NETWORKS["conv valid"], tmp_path))
    assert report.uses == {"y": 6 * 7}


def test_a_network_whose_answers_are_no_classes_says_what_is_not_measured() -> None:
    report = SimulationReport(6, 0.0, 1, 0, {}, "model.onnx", None, None, "rram_45nm")
    *_, last = simulation_text(report).splitlines()
    assert last == "no output holds class scores: the effect of the devices is not measured"


def test_weights_come_from_the_tiles_and_not_from_the_model(tmp_path: Path) -> None:
    out = folder_of(NETWORKS["matmul"], tmp_path)
    with np.load(out / "tiles.npz") as tiles:
        write_tiles([(name, 2 * tiles[name]) for name in tiles], out / "doubled.npz")
    (out / "doubled.npz").rename(out / "tiles.npz")
    assert simulated(out).difference > 0.1
    assert not simulated(out).agrees


def test_a_folder_that_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    out = folder_of(NETWORKS["gemm"], tmp_path)
    data = json.loads((out / "netlist.json").read_text())
    tile = data["matrices"][0]["tiles"].pop()
    (out / "netlist.json").write_text(json.dumps(data))
    with pytest.raises(VerificationError, match=f"tile '{tile['name']}': has weights but is not in the netlist"):
        simulated(out)


def test_an_ideal_device_changes_nothing_and_a_noisy_one_does(tmp_path: Path) -> None:
    out = folder_of("(float[n,7] x) => (float[n,5] y) <float[7,5] w> { y = MatMul (x, w) }", tmp_path)
    ideal = replace(load_target(), wire=replace(load_target().wire, resistance_ohm_per_um=0.0))
    assert simulated(out, 200, target=ideal).figures[0].mean == 100
    noisy = replace(ideal, device=replace(ideal.device, spread_fraction=0.5))
    figure = simulated(out, 200, target=noisy, seeds=4).figures[0]
    assert len(figure.accuracies) == 4
    assert 40 < figure.mean < 100
    assert figure.spread > 0
    again = simulated(out, 200, target=noisy, seeds=4).figures[0]
    assert again.accuracies == figure.accuracies  # a seed is a chip


DEVICE = Device(on_ohm=1.0, off_ohm=2.0, read_v=1.0, read_ns=1.0)


def test_levels_round_the_weights() -> None:
    """Five levels from 0 to 1 are 0, 1/4, 1/2, 3/4, 1."""
    pair = to_pair(np.array([0.3, -0.9, 0.0]), 1.0, replace(DEVICE, levels=5))
    assert pair.weights == pytest.approx([0.25, -1.0, 0.0])
    assert pair.plus == pytest.approx([0.625, 0.5, 0.5])


def test_spread_and_noise_keep_the_mean_and_stuck_devices_are_counted() -> None:
    rng, pair = np.random.default_rng(0), to_pair(np.ones(100_000), 1.0, DEVICE)
    spread = programmed(pair, replace(DEVICE, spread_fraction=0.2), rng)
    assert spread.plus.mean() == pytest.approx(1, abs=0.005)
    assert np.log(spread.plus).std() == pytest.approx(0.2, abs=0.005)
    noisy = read(pair, replace(DEVICE, read_noise_fraction=0.1), rng)
    assert noisy.plus.std() == pytest.approx(0.1, abs=0.005)
    stuck = programmed(pair, replace(DEVICE, stuck_on_fraction=0.1, stuck_off_fraction=0.2), rng)
    assert (stuck.plus == 0.5).mean() == pytest.approx(0.2, abs=0.01)
    assert (stuck.minus == 1.0).mean() == pytest.approx(0.1, abs=0.01)


NOTHING = {"levels": 0, "adc_bits": 0}  # what stands for continuous


@pytest.mark.parametrize("parameter", SWEEP_VALUES)
def test_an_effect_of_nothing_is_ideal_and_more_of_it_is_worse(parameter: str) -> None:
    """A product of 60 x 20 on four tiles, eight chips: its error over the values of a sweep, from none on."""
    rng = np.random.default_rng(0)
    dense, x = rng.standard_normal((60, 20)), rng.standard_normal((50, 60))
    tiles = tuple(cut("w", dense, MapOptions(Crossbar(32, 16))))
    weights = {tile.name: dense[np.ix_(tile.inputs, tile.outputs)] for tile in tiles}
    matrix = Matrix("w", "w", 0, 60, 20, "in", "out", tiles)
    netlist = Netlist("w", Crossbar(32, 16), "full", (), (matrix,), (), ())
    device = load_target().device

    def error(value: float) -> float:
        """Root mean square, relative to the product's."""
        effects = alone(parameter, value, device)
        chips = (on_tiles(netlist, weights, effects, seed)["w"] for seed in range(8))
        products = [np.asarray(chip(x), np.float64) - x @ dense for chip in chips]
        return float(np.sqrt(np.mean(np.square(products)) / np.mean(np.square(x @ dense))))

    assert error(NOTHING.get(parameter, 0)) < 1e-6
    values = SWEEP_VALUES[parameter] if parameter not in NOTHING else SWEEP_VALUES[parameter][::-1]
    errors = [error(value) for value in values]
    assert errors == sorted(errors)
    assert errors[-1] > 3 * errors[0] > 0


def test_a_converter_of_three_bits_has_seven_levels() -> None:
    tile = TileMatrix(np.array([0]), np.array([0]), np.ones((1, 1), np.float32))
    matrix = MatrixOnTiles(1, 1, [tile], adc_bits=3)
    x = np.linspace(-3, 3, 61, dtype=np.float32)[:, None]
    assert np.unique(matrix(x)).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert np.abs(np.asarray(matrix(x), float) - x).max() <= 0.51


def test_read_noise_has_the_spread_of_its_devices() -> None:
    """Two weights of variance 4 and inputs 3 and 4: sigma = sqrt(9 x 4 + 16 x 4) = 10."""
    tile = TileMatrix(np.array([0, 1]), np.array([0]), np.zeros((2, 1), np.float32), np.full((2, 1), 4, np.float32))
    y = MatrixOnTiles(2, 1, [tile], rng=np.random.default_rng(0))(np.tile([[3.0, 4.0]], (50_000, 1)))
    assert y.std() == pytest.approx(10, rel=0.02)


def test_one_cell_behind_two_segments_is_three_resistors_in_series() -> None:
    assert transfer(np.array([[0.5]]), 1.0) == pytest.approx(np.array([[1 / 4]]))
    assert transfer(np.array([[0.5]]), 0.0).tolist() == [[0.5]]


@pytest.mark.parametrize("ohm", [0.4, 20.0])
def test_lines_in_turn_give_what_the_sparse_solution_gives(ohm: float) -> None:
    cells = np.random.default_rng(0).uniform(1 / 1.7e6, 1e-5, (20, 13))
    fast = solve_line_by_line(cells, 1 / ohm, 1 / ohm)
    assert fast is not None
    assert fast == pytest.approx(solve_sparse(cells, 1 / ohm, 1 / ohm), rel=1e-9)


def test_lines_that_dominate_fall_back_to_the_sparse_solution() -> None:
    cells = np.full((30, 30), 1.0)
    assert solve_line_by_line(cells, 1.0, 1.0) is None
    assert transfer(cells, 1.0) == pytest.approx(solve_sparse(cells, 1.0, 1.0))


def test_effects_of_a_target_are_its_numbers() -> None:
    effects = Effects.of(load_target("macro_128"))
    assert effects.adc_bits == 8
    assert effects.segment_ohm == pytest.approx(5.70 * (8**0.5 * 0.032))
