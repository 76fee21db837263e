"""ngspice solves what is written, and its voltages are the products."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest
from numpy.typing import NDArray

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist import rebuild
from gscompile.crossbars.nets import Nets
from gscompile.graph.network import Network
from gscompile.hardware.conductance import to_pair
from gscompile.hardware.target import Design, load_target
from gscompile.simulation.nodal import transfer
from gscompile.simulation.tile_product import Effects
from gscompile.targets.names import Names
from gscompile.targets.spice import Spice

Tool = Callable[..., str]
Cells = NDArray[np.float64]


def solved(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"v\((\S+)\) = (\S+)", text)}


@pytest.mark.parametrize("network", ["lenet", "compiled"])
def test_every_matrix_gives_its_product_in_volts(
    network: str, request: pytest.FixtureRequest, tmp_path: Path, tool: Tool
) -> None:
    design: Design = request.getfixturevalue(network)
    Spice(input_v=0.5).emit(design, tmp_path)
    names = Names(design.netlist)
    for matrix in design.netlist.matrices:
        volts = solved(tool("ngspice", "-b", f"{names.matrix(matrix.name)}_read.sp"))
        product = 0.5 * rebuild(matrix, design.weights).sum(axis=0, dtype=np.float64)
        outputs = Nets(design.netlist).outputs(matrix)
        wanted = {names.net(matrix.output_bus, j).lower(): product[j] for j in outputs}
        assert volts == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_the_whole_analog_part_is_one_circuit(tmp_path: Path, tool: Tool) -> None:
    """Factored: y = x u v; the output nets of u are the input nets of v, as voltages."""
    design = factored()
    Spice().emit(design, tmp_path)
    names, netlist = Names(design.netlist), design.netlist
    u, v = netlist.matrices
    sources = [f"V{i} {names.net(u.input_bus, i)} 0 {0.1 * (i + 1)}\n" for i in range(6)]
    prints = [f"print v({names.net(v.output_bus, j)})\n" for j in range(5)]
    deck = ["* all\n.include factored.sp\n", *sources]
    deck += [".control\nset numdgt=15\nop\n", *prints, "quit\n.endc\n.end\n"]
    (tmp_path / "all.sp").write_text("".join(deck))
    volts = solved(tool("ngspice", "-b", "all.sp"))
    x = 0.1 * np.arange(1, 7)
    product = x @ rebuild(u, design.weights).astype(float) @ rebuild(v, design.weights).astype(float)
    assert [volts[names.net(v.output_bus, j).lower()] for j in range(5)] == pytest.approx(product, rel=1e-6)


@pytest.mark.parametrize(("inputs", "outputs", "crossbar"), [(1300, 3, 64), (410, 2, 512), (3, 310, 512)])
def test_a_matrix_of_more_lines_than_a_call_may_have(
    inputs: int, outputs: int, crossbar: int, tmp_path: Path, tool: Tool
) -> None:
    """ngspice takes 1,005 nodes in a call of a subcircuit: neither a matrix nor a tile needs as many."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]> wide (float[n,{inputs}] x) => (float[n,{outputs}] y)
    {{ y = MatMul (x, w) }}"""
    model = onnx.parser.parse_model(text)
    weights = np.random.default_rng(0).standard_normal((inputs, outputs)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    network = Network.from_proto(model)
    netlist = map_network(network, MapOptions(Crossbar(crossbar, crossbar)), "wide")
    Spice().emit(Design(netlist, dict(tile_weights(network, netlist))), tmp_path)
    volts = solved(tool("ngspice", "-b", f"{Names(netlist).matrix(netlist.matrices[0].name)}_read.sp"))
    wanted = 0.1 * weights.sum(axis=0, dtype=np.float64)
    assert [volts[f"y_out__{j}"] for j in range(outputs)] == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def factored() -> Design:
    rng = np.random.default_rng(0)
    weights = [
        onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("u", (6, 2)), ("v", (2, 5)))
    ]
    text = """<ir_version: 8, opset_import: ["" : 17]> factored (float[n,6] x) => (float[n,5] y)
    { h = MatMul (x, u)
      y = MatMul (h, v) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(weights)
    network = Network.from_proto(model)
    netlist = map_network(network, MapOptions(Crossbar(4, 4)), "factored")
    return Design(netlist, dict(tile_weights(network, netlist)))


def test_resistive_lines_agree_with_ngspice(tmp_path: Path, tool: Tool) -> None:
    """A 6x5 tile with 100 ohm segments: the nodal solution equals ngspice to 1e-6."""
    rng = np.random.default_rng(1)
    cells, volts = rng.uniform(1 / 1.7e6, 1e-5, (6, 5)), rng.uniform(0, 0.5, 6)
    wanted = volts @ transfer(cells, 100.0)
    assert sensed(cells, volts, 100.0, tmp_path, tool) == pytest.approx(wanted, rel=1e-6)
    assert abs(wanted / (volts @ cells) - 1).max() > 1e-3  # the lines matter here


@pytest.mark.slow
@pytest.mark.parametrize("target", ["rram_45nm", "macro_128"])
def test_sampled_tiles_with_the_lines_of_a_target_agree_with_ngspice(
    target: str, compiled: Design, tmp_path: Path, tool: Tool
) -> None:
    """Three tiles of the compiled LeNet, both devices of a weight, with the target's line resistance: to 1e-6."""
    hardware, rng = load_target(target), np.random.default_rng(2)
    ohm = Effects.of(hardware).segment_ohm
    tiles = [tile for tile in compiled.netlist.tiles if tile.cells <= 700]  # ngspice takes long for more
    assert len(tiles) >= 6
    for tile in rng.choice(np.array(tiles), 3, replace=False):
        weights = compiled.weights[tile.name]
        pair = to_pair(weights, float(np.abs(weights).max()), hardware.device)
        volts = rng.uniform(0, hardware.device.read_v, len(weights))
        for cells in (pair.plus, pair.minus):
            wanted = volts @ transfer(cells, ohm)
            assert sensed(cells, volts, ohm, tmp_path, tool) == pytest.approx(wanted, rel=1e-6)
            assert abs(wanted / (volts @ cells) - 1).max() > 1e-4  # the lines matter here


def sensed(cells: Cells, volts: Cells, ohm: float, folder: Path, tool: Tool) -> list[float]:
    """Currents out of the columns, from ngspice."""
    (folder / "tile.sp").write_text(deck(cells, volts, ohm))
    found = {k: float(x) for k, x in re.findall(r"i\((vs\d+)\) = (\S+)", tool("ngspice", "-b", "tile.sp"))}
    return [found[f"vs{c}"] for c in range(cells.shape[1])]


def deck(cells: Cells, volts: Cells, ohm: float) -> str:
    rows, cols = cells.shape
    lines = ["* a tile with resistive lines"]
    for r in range(rows):
        lines += [f"Vd{r} d{r} 0 {float(volts[r])!r}", f"Rd{r} d{r} w{r}_0 {ohm}"]
        lines += [f"Rw{r}_{c} w{r}_{c} w{r}_{c + 1} {ohm}" for c in range(cols - 1)]
        lines += [f"Rc{r}_{c} w{r}_{c} b{r}_{c} {float(1 / cells[r, c])!r}" for c in range(cols)]
    for c in range(cols):
        lines += [f"Rb{r}_{c} b{r}_{c} b{r + 1}_{c} {ohm}" for r in range(rows - 1)]
        lines += [f"Rs{c} b{rows - 1}_{c} s{c} {ohm}", f"Vs{c} s{c} 0 0"]
    lines += [".control", "set numdgt=15", "op", *(f"print i(vs{c})" for c in range(cols)), "quit", ".endc"]
    return "\n".join([*lines, ".end"]) + "\n"
