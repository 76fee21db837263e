"""Small networks as ONNX text, their netlists, and the tools that read what is emitted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

import gscompile
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist import Block, Bus, Matrix, Netlist, Port, Tile
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.tile_file import TileFile
from gscompile.graph.network import Network
from gscompile.hardware.target import Design

LENET = """
<ir_version: 8, opset_import: ["" : 17]>
lenet (float[n,1,28,28] image) => (float[n,10] logits)
<float[8,1,5,5] w1, float[8] b1, float[12,8,5,5] w2, float[192,40] w3, float[40] b3, float[40,10] w4> {
  c1 = Conv (image, w1, b1)
  p1 = MaxPool <kernel_shape = [2,2], strides = [2,2]> (c1)
  c2 = Conv (p1, w2)
  p2 = MaxPool <kernel_shape = [2,2], strides = [2,2]> (c2)
  f = Flatten (p2)
  g = Gemm (f, w3, b3)
  r = Relu (g)
  logits = MatMul (r, w4)
}
"""
FACTORED = """
<ir_version: 8, opset_import: ["" : 17]>
factored (float[n,6] x) => (float[n,5] y) <float[6,2] u, float[2,5] v> {
  h = MatMul (x, u)
  y = MatMul (h, v)
}
"""
RESIDUAL = """
<ir_version: 8, opset_import: ["" : 17]>
residual (float[n,4] x, float[n,4] wire) => (float[n,4] module, float[n,4] y)
<float[4,4] a, float[4,4] b> {
  h = MatMul (x, a)
  module = Relu (h)
  m = MatMul (module, b)
  s = Add (m, x)
  y = Add (s, wire)
}
"""
GROUPED = """
<ir_version: 8, opset_import: ["" : 17]>
grouped (float[n,4,6,6] x) => (float[n,4,4,4] y) <float[4,1,3,3] w> {
  y = Conv <group = 4> (x, w)
}
"""
LSTM = """
<ir_version: 8, opset_import: ["" : 17]>
recurrent (float[5,n,3] x) => (float[5,1,n,2] y) <float[1,8,3] w, float[1,8,2] r> {
  y, last, cell = LSTM <hidden_size = 2> (x, w, r)
}
"""
SHARED = """
<ir_version: 8, opset_import: ["" : 17]>
shared (float[n,4] x) => (float[n,4] y) <float[4,4] w, float[4,4] v> {
  h = MatMul (x, w)
  r = Relu (h)
  s = MatMul (r, w)
  y = MatMul (s, v)
}
"""
BRANCHED = """
<ir_version: 8, opset_import: ["" : 17]>
branched (bool q, float[n,3] x) => (float[n,2] y) <float[3,2] a, float[3,2] b> {
  h = Relu (x)
  y = If (q) <then_branch = t () => (float[n,2] p) { p = MatMul (h, a) },
              else_branch = e () => (float[n,2] o) { m = MatMul (x, b)  o = Tanh (m) }>
}
"""
TOWERS = """
<ir_version: 8, opset_import: ["" : 17]>
towers (float[n,1,6,6] image, float[n,5] facts) => (float[n,3] class, float[n,1] value)
<float[4,1,3,3] k, float[64,8] a, float[5,8] b, float[8,3] c, float[8,1] d> {
  i = Conv (image, k)
  f = Flatten (i)
  l = MatMul (f, a)
  r = MatMul (facts, b)
  s = Add (l, r)
  t = Tanh (s)
  class = MatMul (t, c)
  value = MatMul (t, d)
}
"""
GRU = """
<ir_version: 8, opset_import: ["" : 17]>
gated (float[5,n,3] x, float[2,n,2] start) => (float[5,n,2] y, float[2,n,2] last)
<float[2,6,3] w, float[2,6,2] r, float[2,12] b, float[4,2] v, int64[3] shape> {
  seq, last = GRU <hidden_size = 2, direction = "bidirectional"> (x, w, r, b, , start)
  turned = Transpose <perm = [0,2,1,3]> (seq)
  flat = Reshape (turned, shape)
  y = MatMul (flat, v)
}
"""
LOOPED = """
<ir_version: 8, opset_import: ["" : 17]>
looped (float[n,3] x) => (float[n,3] y) <float[3,3] w> {
  count = Constant <value = int64 {4}> ()
  go = Constant <value = bool {1}> ()
  y = Loop (count, go, x) <body = b (int64 i, bool c, float[n,3] h) => (bool d, float[n,3] k) {
    d = Identity (c)
    m = MatMul (h, w)
    k = Tanh (m)
  }>
}
"""
NETWORKS = {
    "lenet": LENET,
    "factored": FACTORED,
    "residual": RESIDUAL,
    "grouped": GROUPED,
    "lstm": LSTM,
    "shared": SHARED,
    "branched": BRANCHED,
    "towers": TOWERS,
    "gru": GRU,
    "looped": LOOPED,
}


def filled(text: str, seed: int = 0) -> onnx.ModelProto:
    """The model of an ONNX text, its initializers filled at random, about a third of the weights zero."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(seed)
    for info in model.graph.value_info:
        shape = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
        array = rng.standard_normal(shape).astype(np.float32)
        if array.ndim > 1:
            array *= rng.random(array.shape) > 0.3
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
    model.graph.ClearField("value_info")
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type.lower()}{number}"
    return model


def design_of(model: onnx.ModelProto, crossbar: str = "16x16") -> Design:
    network = Network.from_proto(model)
    netlist = map_network(network, MapOptions(Crossbar.parse(crossbar)), model.graph.name)
    return Design(netlist, dict(tile_weights(network, netlist)))


SAMPLE = Path(__file__).parents[2] / "samples" / "lenet.onnx"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Design:
    """The trained LeNet as the compiler leaves it without data: 39 tiles of factors, read from the folder."""
    out = tmp_path_factory.mktemp("compiled") / "lenet.gscompile"
    gscompile.compile(SAMPLE, crossbar="64x64", max_output_error=0.3, out=out)
    return Design(read_netlist(out / "netlist.json"), TileFile(out / "tiles.npz"))


@pytest.fixture(params=[*NETWORKS, "dense LeNet", "compiled LeNet"])
def design(request: pytest.FixtureRequest, compiled: Design) -> Design:
    """Each small network, and the trained LeNet before and after compilation: 121 tiles and 39."""
    if request.param in NETWORKS:
        return design_of(filled(NETWORKS[request.param]))
    return compiled if request.param == "compiled LeNet" else design_of(onnx.load(SAMPLE), "64x64")


@pytest.fixture(scope="session")
def lenet() -> Design:
    return design_of(filled(LENET))


def make_chain(u_outputs: list[int], v_inputs: list[int]) -> Netlist:
    """x -> form -> u [2, 2] -> v [2, 1] -> act -> y, a tile each."""
    u = Tile("u/0_0", "u", np.array([0, 1]), np.array(u_outputs), "u/0_0")
    v = Tile("v/0_0", "v", np.array(v_inputs), np.array([0]), "v/0_0")
    return Netlist(
        "top",
        Crossbar(4, 4),
        "full",
        (
            Bus("u.in", 2, "analog"),
            Bus("u.out", 2, "analog"),
            Bus("v.out", 1, "analog"),
            Bus("tensor:x", 1, "tensor"),
            Bus("tensor:y", 1, "tensor"),
        ),
        (
            Matrix("u", "u", 0, 2, 2, "u.in", "u.out", (u,)),
            Matrix("v", "v", 0, 2, 1, "u.out", "v.out", (v,)),
        ),
        (Block("form", ("a",), ("tensor:x",), ("u.in",)), Block("act", ("b",), ("v.out",), ("tensor:y",))),
        (Port("x", "input", "tensor:x"), Port("y", "output", "tensor:y")),
    )


@pytest.fixture
def chain() -> Callable[[list[int], list[int]], Netlist]:
    return make_chain


@pytest.fixture
def tool(tmp_path: Path) -> Callable[..., str]:
    """Run a program in the test's folder; what it printed. Skips, with the package, where it is absent."""

    def run(program: str, *arguments: str) -> str:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian package {program})")
        done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
        return done.stdout + done.stderr

    return run
