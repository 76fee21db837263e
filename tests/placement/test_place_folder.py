"""An output folder placed and simulated leaves figures, tables and pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import write_tiles
from gscompile.data.dataset import load_data
from gscompile.data.inputs import input_specs
from gscompile.graph.network import Network
from gscompile.hardware.target import load_target
from gscompile.placement.place import PlaceOptions
from gscompile.placement.place_folder import place_folder, uses_per_inference
from gscompile.simulation.simulate import SimulationOptions, simulate_folder
from gscompile.simulation.simulation_files import write_simulation

CONV = """<ir_version: 8, opset_import: ["" : 17]> net (float[n,1,8,8] x) => (float[n,6] y)
{ c = Conv <kernel_shape=[3,3]> (x, w)
  r = Relu (c)
  f = Flatten (r)
  y = MatMul (f, v) }"""


def network(channels: int) -> Network:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(CONV)
    for name, shape in (("w", (channels, 1, 3, 3)), ("v", (36 * channels, 6))):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        )
    return Network.from_proto(model)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A compiled network of 2 channels beside the original of 8."""
    small = network(2)
    netlist = map_network(small, MapOptions(Crossbar(16, 16)), "net")
    network(8).save(tmp_path / "original.onnx")
    small.save(tmp_path / "model.onnx")
    write_netlist(netlist, tmp_path / "netlist.json")
    write_tiles(tile_weights(small, netlist), tmp_path / "tiles.npz")
    return tmp_path


def test_before_and_after_stand_side_by_side(out: Path) -> None:
    target = load_target("rram_45nm").with_crossbar(Crossbar(16, 16))
    report = place_folder(out, target, PlaceOptions(engine="shelves"), original=out / "original.onnx")
    data = json.loads((out / "place" / "place.json").read_text())
    assert data == json.loads(json.dumps(report.to_json()))
    assert 0 < data["ratios"]["chip"] < 1
    wires = {"after": 9 + 2 + 72 + 5 * 6, "before": 9 + 8 + 288 + 18 * 6}
    assert {k: data[k]["wires"] for k in wires} == wires
    assert data["ratios"]["wires_squared"] == pytest.approx((wires["after"] / wires["before"]) ** 2)
    rows = [*csv.DictReader((out / "place" / "cost.csv").read_text().splitlines())]
    total = next(r for r in rows if (r["network"], r["name"]) == ("after", "total"))
    assert float(total["chip_um2"]) == pytest.approx(data["after"]["chip_um2"], rel=1e-5)
    assert len(report.files) == 2 + 2 * 4
    assert all(path.stat().st_size for path in report.files)


def test_uses_are_counted_by_running_one_sample() -> None:
    small = network(2)
    netlist = map_network(small, MapOptions(Crossbar(16, 16)), "net")
    assert uses_per_inference(small, netlist) == {"c": 36, "y": 1}


def test_a_simulation_leaves_figures_and_a_picture_for_each_effect(out: Path) -> None:
    specs = input_specs(network(2).model)
    x = np.random.default_rng(0).standard_normal((20, 1, 8, 8)).astype(np.float32)
    data = load_data({"x": x}, specs)
    report = simulate_folder(out, data, SimulationOptions(batch=10, seeds=1))
    assert report.agrees
    files = write_simulation(report, out / "simulate")
    assert {path.name for path in files} >= {"simulation.json", "accuracy.csv", "accuracy.svg", "accuracy_adc_bits.svg"}
    rows = [*csv.DictReader((out / "simulate" / "accuracy.csv").read_text().splitlines())]
    assert len(rows) == len(report.figures) > 30
    for path in files[2:]:
        ElementTree.parse(path)
        assert "var(" not in path.read_text()  # librsvg and others draw what they do not know in black
    best = {f.parameter: f.mean for f in report.figures if f.parameter == "adc_bits" and f.value == 8}
    assert best["adc_bits"] >= 90
