"""What strangers' files meet: each harness takes the bytes of a file and may raise nothing but our own errors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import onnx_ir as ir

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.crossbars.netlist import rebuild
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.tile_file import TileFile, check_tiles
from gscompile.data.dataset import load_data
from gscompile.data.inputs import input_specs
from gscompile.errors import GscompileError
from gscompile.graph.fold import fold
from gscompile.graph.network import Network
from gscompile.graph.weights import check_weights
from gscompile.hardware.target import load_target
from gscompile.judging.verify import verify_folder
from gscompile.onnx_files.bounds import check_constants
from gscompile.options import Options, read_config
from gscompile.reporting.inspection import inspect_network
from gscompile.reporting.report_file import read_report
from gscompile.write import write_model
from tests.small_networks import model as model_of_text

Harness = Callable[[Path, bytes], None]
OPTIONS = MapOptions(Crossbar(8, 8))


def model(folder: Path, data: bytes) -> None:
    """An ONNX file, read, folded, mapped and written again; there is a data file beside it, and a secret above it."""
    (folder / "w.bin").write_bytes(bytes(256))
    (folder / "m.onnx").write_bytes(data)
    network = Network.load(folder / "m.onnx")
    if sum(layer.layout.rows * layer.layout.cols * layer.layout.parts for layer in network.layers) < 1 << 20:
        inspect_network(network, OPTIONS)
        check_weights(network)
        check_constants(network.graph, network.constants, network.opset)
        folded = network.copy()
        fold(folded)
        map_network(folded, OPTIONS)
        write_model(folded, folder / "model.onnx")


def samples(folder: Path, data: bytes) -> None:
    """An .npz of samples for a network with one input."""
    (folder / "d.npz").write_bytes(data)
    x = ir.val("x", ir.DataType.FLOAT, ["n", 3])
    specs = input_specs(ir.Model(ir.Graph([x], [], nodes=[], opset_imports={"": 17}), ir_version=8))
    dataset = load_data(str(folder / "d.npz"), specs)
    next(dataset.batches(2), None)


@cache
def chain() -> bytes:
    """Two matrices with an activation between."""
    proto = model_of_text(
        """g (float[n,9] x) => (float[n,3] y) <float[9,10] a, float[10,3] b>
        { h = MatMul (x, a)  i = Relu (h)  y = MatMul (i, b) }"""
    )
    return bytes(proto.SerializeToString())


def target(folder: Path, data: bytes) -> None:
    """A hardware description."""
    (folder / "t.toml").write_bytes(data)
    load_target(folder / "t.toml")


def config(folder: Path, data: bytes) -> None:
    """A file of options."""
    (folder / "c.toml").write_bytes(data)
    Options(**read_config(folder / "c.toml"))


def netlist(folder: Path, data: bytes) -> None:
    """netlist.json, and the matrices that it asks for with no tile of them there."""
    (folder / "netlist.json").write_bytes(data)
    found = read_netlist(folder / "netlist.json")
    for matrix in found.matrices:
        if not matrix.tiles and matrix.inputs * matrix.outputs < 1 << 20:
            rebuild(matrix, {})


def tiles(folder: Path, data: bytes) -> None:
    """tiles.npz."""
    (folder / "tiles.npz").write_bytes(data)
    found = TileFile(folder / "tiles.npz")
    for name in found:
        found[name]


def pair(folder: Path, data: bytes) -> None:
    """netlist.json and tiles.npz of the chain, cut at the first empty line: verified, then the tiles by themselves."""
    text, _, rest = data.partition(b"\n\n")
    (folder / "model.onnx").write_bytes(chain())
    (folder / "netlist.json").write_bytes(text)
    (folder / "tiles.npz").write_bytes(rest)
    with suppress(GscompileError):
        verify_folder(folder, runs=False)
    check_tiles(read_netlist(folder / "netlist.json"), TileFile(folder / "tiles.npz"))


def report(folder: Path, data: bytes) -> None:
    """report.json, as `verify` reads it."""
    (folder / "report.json").write_bytes(data)
    read_report(folder)


HARNESSES: dict[str, Harness] = {h.__name__: h for h in (model, samples, target, config, netlist, tiles, pair, report)}


def feed(name: str, data: bytes) -> None:
    """Give the bytes to a harness, in a folder of its own. Raises what is neither right nor an error of ours."""
    with tempfile.TemporaryDirectory() as folder, suppress(GscompileError):
        HARNESSES[name](Path(folder), data)
