"""Models of 6 GB with external data, compiled in less than half of that memory.

Run by name: `python -m tests.benchmarks.bench_larger_than_memory [MATRICES [KIND]]`, 24 of 256 MiB unless told otherwise. The
data files have holes. `clipped`: a block of low rank in each matrix, all passes. `streamed`: nothing can be made
smaller, and all of it goes to the output.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from gscompile.onnx_files.protobuf_stream import point_to
from gscompile.reporting.report_file import read_report
from tests.benchmarks.measured import run
from tests.benchmarks.results import record

SIDE, BLOCK, RANK = 8192, 512, 16
SIZE = 4 * SIDE * SIDE
MOST = 3 << 30
SAID = (
    "data-free compiles. Required: less than 3 GB of memory for 6 GB of weights (`resident` counts pages of mapped "
    "files, which the system takes back when it wants)."
)


def write(folder: Path, matrices: int, diagonal: bool) -> Path:
    """A chain of layers; every matrix has a block of rank 16, or a diagonal."""
    graph = onnx.GraphProto(name="large")
    for i in range(matrices):
        tensor = graph.initializer.add(name=f"w{i}", data_type=onnx.TensorProto.FLOAT, dims=[SIDE, SIDE])
        point_to(tensor, "large.data", i * SIZE, SIZE)
        graph.node.append(onnx.helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"h{i}"], f"n{i}"))
        graph.node.append(onnx.helper.make_node("Relu", [f"h{i}"], [f"x{i + 1}"], f"r{i}"))
    for name, ends in (("x0", graph.input), (f"x{matrices}", graph.output)):
        ends.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, SIDE]))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "large.onnx")
    data = np.memmap(folder / "large.data", np.float32, "w+", shape=(matrices, SIDE, SIDE))
    rng = np.random.default_rng(0)
    for matrix in data:
        if diagonal:
            np.fill_diagonal(matrix, 1)
        else:
            u, v = rng.standard_normal((BLOCK, RANK)), rng.standard_normal((RANK, BLOCK))
            matrix[:BLOCK, :BLOCK] = u @ v / BLOCK
    data.flush()
    return folder / "large.onnx"


def main(matrices: int, kinds: Sequence[str]) -> None:
    """Exits with 1 when a limit is passed."""
    rows: list[dict[str, Any]] = []
    for kind in kinds:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
            path, out = write(Path(name), matrices, kind == "streamed"), Path(name) / "out"
            passes = ["--pass", "drop-dead-units"] if kind == "streamed" else []
            taken = run("-m", "gscompile", str(path), "-o", str(out), "--quiet", *passes)
            report = read_report(out)
        rows.append(
            {
                "model": kind,
                "GB": matrices * SIZE / 1e9,
                "memory GB": taken.anonymous / 1e9,
                "resident GB": taken.resident / 1e9,
                "processor s": taken.cpu_s,
                "cells": f"{report.before.cells:,} -> {report.after.cells:,}",
            }
        )
        print(rows[-1], flush=True)
    record("larger_than_memory", SAID, rows)
    raise SystemExit(any(row["memory GB"] * 1e9 > MOST for row in rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 24, sys.argv[2:] or ("clipped", "streamed"))
