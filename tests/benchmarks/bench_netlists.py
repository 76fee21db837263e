"""Mapping, writing, reading and verifying netlists of four sizes: seconds, wires a second, and how costs grow.

Run by name: `python -m tests.benchmarks.bench_netlists`. Half of the row and column groups are deleted, at random,
which is what makes pins many and ranges short. Time is the processor's, not the wall's.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist import Netlist, rebuild
from gscompile.crossbars.netlist_file import read_netlist, write_netlist
from gscompile.crossbars.tile_file import TileFile, check_tiles, write_tiles
from gscompile.graph.network import Network
from gscompile.hardware.target import Design, load_target
from gscompile.targets.verilog import Verilog
from tests.benchmarks.results import exponent, record

SIDE, TILE = 1024, 64
MATRICES = (2, 8, 32, 96)  # the largest has 100 million cells
OPTIONS = MapOptions(Crossbar(TILE, TILE))
LEAST = {"JSON": 1e6, "Verilog": 0.3e6, "read": 1e6}  # wires a second
MOST_EXPONENT, MOST_SECONDS, MOST_MEMORY = 1.1, 30.0, 4.0


def pruned(rng: np.random.Generator) -> NDArray[np.float32]:
    """A matrix [1024, 1024] without half of its row groups and half of its column groups."""
    blocks = SIDE // TILE
    rows, cols = rng.random((SIDE, blocks)) < 0.5, rng.random((blocks, SIDE)) < 0.5
    dense = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    return np.asarray(dense * np.repeat(rows, TILE, 1) * np.repeat(cols, TILE, 0), np.float32)


def chain(matrices: int) -> Network:
    """That many products in a row."""
    base = pruned(np.random.default_rng(0))
    weights = [numpy_helper.from_array(np.roll(base, 7 * i, 0), f"w{i}") for i in range(matrices)]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"], f"n{i}") for i in range(matrices)]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", SIDE]) for n in ("x0", f"x{matrices}"))
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    network = Network.from_proto(onnx.ModelProto.FromString(model.SerializeToString()))
    assert len(network.layers) == matrices
    return network


def seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def check_matrices(network: Network, netlist: Netlist, weights: TileFile) -> None:
    """What `verify` does with netlist and tiles."""
    check_tiles(netlist, weights)
    for matrix in netlist.matrices:
        assert np.array_equal(rebuild(matrix, weights), network.layer(matrix.layer).matrix)


def measure(matrices: int, folder: Path) -> tuple[int, int, dict[str, float]]:
    """Cells of the dense matrices, wires, and the seconds of every step."""
    network, took = chain(matrices), {}
    netlist, took["map"] = seconds(lambda: map_network(network, OPTIONS, "chain"))
    _, took["JSON"] = seconds(lambda: write_netlist(netlist, folder / "netlist.json"))
    _, took["tiles"] = seconds(lambda: write_tiles(tile_weights(network, netlist), folder / "tiles.npz"))
    weights = TileFile(folder / "tiles.npz")
    design = Design(netlist, weights, load_target("group_scissor"))
    _, took["Verilog"] = seconds(lambda: Verilog().emit(design, folder))
    again, took["read"] = seconds(lambda: read_netlist(folder / "netlist.json"))
    _, took["verify"] = seconds(lambda: check_matrices(network, again, weights))
    return matrices * SIDE * SIDE, netlist.wires, took


def peak(matrices: int, folder: Path) -> float:
    """Most memory that mapping and writing take beside the netlist, in matrices of float32."""
    network = chain(matrices)
    tracemalloc.start()
    netlist = map_network(network, OPTIONS, "chain")
    held = tracemalloc.get_traced_memory()[0]
    write_netlist(netlist, folder / "netlist.json")
    write_tiles(tile_weights(network, netlist), folder / "tiles.npz")
    most = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    return most / (4 * SIDE * SIDE)


def main() -> None:
    """All four sizes; exits with 1 when a limit is passed."""
    with tempfile.TemporaryDirectory() as name:
        found = [measure(matrices, Path(name)) for matrices in MATRICES]
        memory = peak(16, Path(name))
    rows: list[dict[str, Any]] = []
    good = found[-1][2]["map"] <= MOST_SECONDS and memory <= MOST_MEMORY
    for step in found[0][2]:
        power = exponent([f[0] for f in found], [f[2][step] for f in found])
        rate = found[-1][1] / found[-1][2][step]
        good = good and power <= MOST_EXPONENT and rate >= LEAST.get(step, 0)
        sizes = {f"s at {cells / 1e6:.0f} M cells": took[step] for cells, _, took in found}
        rows.append({"step": step, **sizes, "wires/s": rate, "exponent": power})
        print("  ".join(f"{key} {value:.4g}" if isinstance(value, float) else value for key, value in rows[-1].items()))
    print(f"most memory beside the netlist: {memory:.2f} matrices")
    limits = (
        f"{found[-1][1]:,} wires on {TILE}x{TILE} at the largest size, half of all groups deleted. Required: "
        "1,000,000 wires/s for JSON, 300,000 for Verilog, exponents up to 1.1. Mapping and writing took "
        f"{memory:.1f} times one matrix of memory beside the netlist."
    )
    record("netlists", limits, rows)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
