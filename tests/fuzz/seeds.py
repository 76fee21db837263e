"""Writes the corpora: one small right file a kind, and those that tried to get out. `python -m tests.fuzz.seeds`."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx

import gscompile
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import write_tiles
from gscompile.graph.network import Network
from gscompile.hardware.target import shipped_targets
from gscompile.write import write_design
from tests.crossbars.test_netlist_file import small, tiles
from tests.fuzz.harnesses import chain
from tests.small_networks import model

CORPUS = Path(__file__).parent / "corpus"
NETS = {
    "gemm": "g (float[n,3] x) => (float[n,2] y) <float[3,2] w, float[2] b> { y = Gemm (x, w, b) }",
    "conv": "g (float[n,2,5,5] x) => (float[n,3,3,3] y) <float[3,2,3,3] w> { y = Conv (x, w) }",
    "if": """g (bool c) => (float[2] y) <float[2] w>
        { y = If (c) <then_branch = t () => (float[2] z) { z = Identity (w) }, else_branch = e () => (float[2] z) { z = Neg (w) }> }""",
    "lstm": "g (float[4,1,2] x) => (float[4,1,1,3] y) <float[1,12,2] w, float[1,12,3] r> { y = LSTM <hidden_size = 3> (x, w, r) }",
    "quantised": """g (float[n,3] x) => (float[n,2] y) <int8[3,2] w, float s, int8 z>
        { d = DequantizeLinear (w, s, z)  y = MatMul (x, d) }""",
    "norm": """g (float[n,2,5,5] x) => (float[n,12] y) <float[2,1,3,3] w, float[2] s, float[2] b, float[2] m, float[2] v, float[12] t, int64[2] k>
        { c = Conv <group = 2, pads = [0, 0, 0, 1]> (x, w)  d = BatchNormalization (c, s, b, m, v)  e = MaxPool <kernel_shape = [2, 2], ceil_mode = 1> (d)
          f = Concat <axis = 3> (e, e)  i = Slice (f, k, k)  j = Reshape (f, k)  y = Add (j, t) }""",
    "tied": """g (int64[n] i) => (float[n,4] y) <float[4,3] w>
        { e = Gather (w, i)  t = Transpose <perm = [1, 0]> (w)  y = MatMul (e, t) }""",
    "einsum": """g (float[n,3] x) => (float[n,2,2] y) <float[3,2,2] w>
        { y = Einsum <equation = "ab,bcd->acd"> (x, w) }""",
    "transposed": """g (float[n,2,4] x) => (float[n,3,9] y) <float[2,3,3] w, float[3] b>
        { y = ConvTranspose <strides = [2]> (x, w, b) }""",
    "gru": 'g (float[4,1,2] x) => (float[4,2,1,3] y) <float[2,9,2] w, float[2,9,3] r, float[2,18] b> { y = GRU <hidden_size = 3, direction = "bidirectional"> (x, w, r, b) }',
    "loop": """g (int64 k, bool c, float[2] s) => (float[2] y) <float[2,2] w>
        { y = Loop (k, c, s) <body = t (int64 i, bool d, float[2] u) => (bool e, float[2] v) { e = Identity (d)  v = MatMul (u, w) }> }""",
    "computed": """g (float[n,3] x) => (float[n,4] y) <int64[2] k, float o>
        { w = ConstantOfShape (k)  v = Expand (o, k)  u = Add (w, v)  t = Cast <to = 1> (u)  y = MatMul (x, t) }""",
}


FUSED = """g (float[n,6] x, float[n,2,5,5] i, float[1,2,4] s) => (float[n,2] y, float[n,3,3,3] z, float[1,2,6] t)
    <float[3,6] a, float[3,2] b, float[2] c, float[3,2,3,3] k, float[4,18] q, float[18] r>
    { h = ms.FusedMatMul <transB = 1, alpha = 0.5> (x, a)  y = ms.FusedGemm <activation = "Relu"> (h, b, c)
      z = ms.FusedConv <activation = "Relu"> (i, k)  t = ms.Attention <num_heads = 2> (s, q, r) }"""


def fused() -> bytes:
    """Ops of onnxruntime's own, whose attributes nobody has checked."""
    proto = model(FUSED.replace("ms.", "com.microsoft."), imports=', "com.microsoft" : 1')
    return bytes(proto.SerializeToString())


def with_function() -> bytes:
    """A network whose product is within a function, its weight given from outside, another sparse."""
    proto = model("g (float[n,3] x) => (float[n,2] y) <float[3,2] w> { y = f.linear (x, w) }", imports=', "f" : 1')
    product = onnx.helper.make_node("MatMul", ["a", "b"], ["c"])
    imports = [onnx.helper.make_opsetid("", 17)]
    proto.functions.append(onnx.helper.make_function("f", "linear", ["a", "b"], ["c"], [product], imports))
    return bytes(proto.SerializeToString())


def with_sparse_weight() -> bytes:
    proto = model("g (float[n,3] x) => (float[n,2] y) { y = MatMul (x, w) }")
    values = onnx.numpy_helper.from_array(np.ones(2, np.float32), "w")
    places = onnx.numpy_helper.from_array(np.array([1, 4], np.int64), "w_indices")
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [3, 2]))
    return bytes(proto.SerializeToString())


def compiled_chain() -> bytes:
    """netlist.json and tiles.npz of the chain that the harness verifies."""
    network = Network.from_proto(onnx.ModelProto.FromString(chain()))
    found = map_network(network, MapOptions(Crossbar(8, 8)))
    with tempfile.TemporaryDirectory() as name:
        write_design(network, found, Path(name))
        parts = [(Path(name) / file).read_bytes() for file in ("netlist.json", "tiles.npz")]
    return json.dumps(json.loads(parts[0])).encode() + b"\n\n" + parts[1]


def put(kind: str, name: str, data: bytes) -> None:
    (CORPUS / kind).mkdir(parents=True, exist_ok=True)
    (CORPUS / kind / name).write_bytes(data)


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def outside(location: str) -> bytes:
    """A network whose weight is elsewhere."""
    proto = model(NETS["gemm"])
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        tensor.external_data.add(key=key, value=value)
    return bytes(proto.SerializeToString())


class Runs:
    """Pickled, it would write a file when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("open('escaped', 'w')",))


def zipped(names: list[str], data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def report() -> bytes:
    """report.json of the chain, compiled without data."""
    with tempfile.TemporaryDirectory() as name:
        gscompile.compile(onnx.ModelProto.FromString(chain()), out=Path(name) / "out", crossbar="8x8")
        return (Path(name) / "out/report.json").read_bytes()


def main() -> None:
    for name, text in NETS.items():
        put("model", name, bytes(model(text).SerializeToString()))
    put("model", "fused", fused())
    put("model", "function", with_function())
    put("model", "sparse", with_sparse_weight())
    for name, location in (("beside", "w.bin"), ("above", "../secret"), ("root", "/etc/passwd")):
        put("model", name, outside(location))
    x, labels = np.ones((5, 3), np.float32), np.arange(5)
    header = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }".ljust(127) + b"\n"
    )
    for kind in ("samples", "tiles"):
        put(kind, "right", npz(x=x, labels=labels))
        put(kind, "pickled", npz(x=np.array([Runs()], object)))
        put(kind, "above", zipped(["../x.npy", "/tmp/x.npy"], pickle.dumps(Runs())))
        put(kind, "bomb", zipped(["x.npy"], header + bytes(1 << 16)))
    for name in shipped_targets():
        put("target", name, (Path(__file__).parents[2] / "targets" / f"{name}.toml").read_bytes())
    put("config", "right", b'crossbar = "8x8"\nmax-drop = 0.5\npasses = ["rank-clip"]\ntime-budget = "5m"\n')
    file = CORPUS / "file"
    write_netlist(small(), file)
    put("netlist", "right", file.read_bytes())
    joined = json.dumps(small().to_json()).encode()
    write_tiles(tiles().items(), file)
    put("tiles", "small", file.read_bytes())
    put("pair", "right", joined + b"\n\n" + file.read_bytes())
    put("pair", "chain", compiled_chain())
    put("report", "right", report())
    file.unlink()


if __name__ == "__main__":
    main()
