"""Writes the corpora: one small right file a kind, and those that tried to get out. `python tests/fuzz/seeds.py`."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx

from gscompile.netlist_file import write_netlist
from gscompile.target import shipped_targets
from gscompile.tile_file import write_tiles
from tests.small_networks import model
from tests.test_netlist_file import small, tiles

CORPUS = Path(__file__).parent / "corpus"
NETS = {
    "gemm": "g (float[n,3] x) => (float[n,2] y) <float[3,2] w, float[2] b> { y = Gemm (x, w, b) }",
    "conv": "g (float[n,2,5,5] x) => (float[n,3,3,3] y) <float[3,2,3,3] w> { y = Conv (x, w) }",
    "if": """g (bool c) => (float[2] y) <float[2] w>
        { y = If (c) <then_branch = t () => (float[2] z) { z = Identity (w) }, else_branch = e () => (float[2] z) { z = Neg (w) }> }""",
    "lstm": "g (float[4,1,2] x) => (float[4,1,1,3] y) <float[1,12,2] w, float[1,12,3] r> { y = LSTM <hidden_size = 3> (x, w, r) }",
    "quantised": """g (float[n,3] x) => (float[n,2] y) <int8[3,2] w, float s, int8 z>
        { d = DequantizeLinear (w, s, z)  y = MatMul (x, d) }""",
}


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
            archive.writestr(name, data)
    return file.getvalue()


def main() -> None:
    for name, text in NETS.items():
        put("model", name, bytes(model(text).SerializeToString()))
    for name, location in (("beside", "w.bin"), ("above", "../secret"), ("root", "/etc/passwd")):
        put("model", name, outside(location))
    x, labels = np.ones((5, 3), np.float32), np.arange(5)
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }".ljust(127) + b"\n"
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
    put("report", "right", b'{"model": "m", "files": {"a": "b"}, "before": {"tiles": 1}, "layers": []}')
    file.unlink()


if __name__ == "__main__":
    main()
