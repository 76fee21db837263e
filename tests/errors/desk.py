"""A folder with the files that the commands of the golden errors read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.small_networks import model

NET = "net (float[n,4] x) => (float[n,2] y) <float[4,3] w, float[3,2] v> { h = MatMul (x, w)  r = Relu (h)  y = MatMul (r, v) }"


def lay(folder: Path) -> None:
    """Write the files of the desk into `folder`."""
    rng = np.random.default_rng(0)
    w, v = rng.standard_normal((4, 3)).astype(np.float32), rng.standard_normal((3, 2)).astype(np.float32)
    net = model(NET, w=w, v=v)
    onnx.save(net, folder / "net.onnx")
    _models(folder, net)
    _data(folder, rng)
    _texts(folder)


def _models(folder: Path, net: onnx.ModelProto) -> None:
    whole = net.SerializeToString()
    (folder / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_text("not a model")
    (folder / "folder.onnx").mkdir()
    onnx.save(model("open (float[n,n2,m] x) => (float[n,n2,m] y) { y = Relu (x) }"), folder / "plain.onnx")
    onnx.save(model("g (float[n,4] x) => (float[n,4] y) { y = Invented (x) }"), folder / "unknown_op.onnx")
    old = onnx.ModelProto.FromString(whole)
    old.opset_import[0].version = 5
    onnx.save(old, folder / "old.onnx")
    new = onnx.ModelProto.FromString(whole)
    new.opset_import[0].version = 99
    onnx.save(new, folder / "new.onnx")
    away = onnx.ModelProto.FromString(whole)
    tensor = away.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "48")):
        tensor.external_data.add(key=key, value=value)
    (folder / "away.onnx").write_bytes(away.SerializeToString())
    infinite = onnx.ModelProto.FromString(whole)
    infinite.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((4, 3), np.nan, np.float32), "w"))
    onnx.save(infinite, folder / "nan.onnx")
    cyclic = helper.make_graph(
        [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])],
        "cycle",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n", 4])],
    )
    (folder / "cycle.onnx").write_bytes(
        helper.make_model(cyclic, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    ragged = model(
        "g (float[n,4] x) => (float[n,2] y) <float[5,2] w> { y = MatMul (x, w) }", w=np.ones((5, 2), np.float32)
    )
    onnx.save(ragged, folder / "ragged.onnx")


def _data(folder: Path, rng: np.random.Generator) -> None:
    x, labels = rng.standard_normal((80, 4)).astype(np.float32), np.arange(80) % 2
    np.savez(folder / "x.npz", x=x, labels=labels)
    np.savez(folder / "few.npz", x=x[:1])
    np.savez(folder / "wrong_name.npz", z=x)
    np.savez(folder / "wrong_shape.npz", x=x[:, :3])
    np.savez(folder / "wrong_type.npz", x=x.astype("U8"))
    np.savez(folder / "uneven.npz", x=x, labels=labels[:7])
    np.savez(folder / "high_label.npz", x=x, labels=labels + 7)
    np.savez(folder / "negative_label.npz", x=x, labels=labels - 1)
    np.savez(folder / "real_label.npz", x=x, labels=labels + 0.5)
    np.savez(folder / "nan.npz", x=np.where(x > 2, np.nan, x).astype(np.float32), labels=labels)
    np.savez(folder / "none.npz", x=x[:0], labels=labels[:0])
    np.savez(folder / "pickled.npz", x=np.array([{}], object))
    (folder / "text.npz").write_text("not an archive")
    (folder / "no_parts").mkdir()
    (folder / "helpers.py").write_text(
        "def nothing():\n    return None\n\n\ndef fails():\n    raise ValueError('no such table')\n\n\n"
        "def ends():\n    raise SystemExit(0)\n\n\nnumber = 3\n\n\ndef loss(outputs):\n    return 0\n"
    )
    (folder / "broken.py").write_text("def (:\n")


def _texts(folder: Path) -> None:
    texts = {
        "unknown.toml": "crosbar = '8x8'\n",
        "type.toml": "max-drop = 'half'\n",
        "list.toml": "passes = 'rank-clip'\n",
        "broken.toml": "max-drop = = 1\n",
        "digits.toml": f"seed = {'9' * 5000}\n",
        "chip_key.toml": "name = 'chip'\ndescription = 'd'\n\n[crossbar]\nrows = 8\ncols = 8\ndepth = 3\n",
        "chip_negative.toml": "name = 'chip'\ndescription = 'd'\n\n[crossbar]\nrows = -8\ncols = 8\n",
        "chip_text.toml": "name = 'chip'\ndescription = 'd'\n\n[crossbar]\nrows = 'many'\ncols = 8\n",
        "chip_empty.toml": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "somebody").mkdir()
    (folder / "somebody" / "notes.txt").write_text("mine")
    (folder / "file.gscompile").write_text("a file")


def compiled(folder: Path, source: Path) -> None:
    """Lay copies of a compiled folder, whole and broken, on the desk."""
    shutil.copytree(source, folder / "done")
    breaks = {
        "no_model": lambda out: (out / "model.onnx").unlink(),
        "no_report": lambda out: (out / "report.json").unlink(),
        "no_tiles": lambda out: (out / "tiles.npz").unlink(),
        "no_netlist": lambda out: (out / "netlist.json").unlink(),
        "text_report": lambda out: (out / "report.json").write_text("{"),
        "list_report": lambda out: (out / "report.json").write_text("[]"),
        "text_netlist": lambda out: (out / "netlist.json").write_text("{"),
        "other_model": lambda out: (out / "model.onnx").write_bytes((folder / "plain.onnx").read_bytes()),
        "lying_report": _lie,
        "lying_steps": _lie_of_a_step,
        "lying_error": _lie_about_the_error,
        "noted": _note,
    }
    for name, change in breaks.items():
        shutil.copytree(source, folder / name)
        change(folder / name)


def _lie(out: Path) -> None:
    report = json.loads((out / "report.json").read_text("utf-8"))
    report["after"]["cells"] = 1
    (out / "report.json").write_text(json.dumps(report))


def _lie_of_a_step(out: Path) -> None:
    report = json.loads((out / "report.json").read_text("utf-8"))
    report["steps"][0]["layers"][0]["factors"][0]["wires"] -= 1
    (out / "report.json").write_text(json.dumps(report))


def _lie_about_the_error(out: Path) -> None:
    report = json.loads((out / "report.json").read_text("utf-8"))
    report["drift"] = 0.5
    (out / "report.json").write_text(json.dumps(report))


def _note(out: Path) -> None:
    (out / "simulate").mkdir()
    (out / "simulate" / "notes.txt").write_text("mine")
