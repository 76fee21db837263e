"""A data-free compile of a BERT-base-sized encoder beside `numpy.linalg.svd` of the same matrices.

Run by name: `python -m tests.benchmarks.bench_encoder [LAYERS]`, 12 layers unless told otherwise. One thread each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from gscompile.graph.network import Network
from gscompile.reporting.report_file import read_report
from tests.benchmarks.measured import run
from tests.benchmarks.networks import encoder
from tests.benchmarks.results import record

MOST_TIME, MOST_MEMORY = 0.5, 1.5


def svd_seconds(path: Path, half: int) -> float:
    """Of the processor, for every other matrix one after the other."""
    matrices = [matrix for layer in Network.load(path).layers for matrix in layer.matrices][half::2]
    start = time.process_time()
    for matrix in matrices:
        np.linalg.svd(np.ascontiguousarray(matrix), full_matrices=False)
    return time.process_time() - start


def main(layers: int) -> None:
    """Exits with 1 when a limit is passed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        path, out = Path(name) / "encoder.onnx", Path(name) / "out"
        encoder(path, layers)
        size = path.stat().st_size
        svd = svd_seconds(path, 0)  # the other half afterwards: a machine that others use may be slower by then
        taken = run("-m", "gscompile", str(path), "-o", str(out), "--quiet")
        svd, report = svd + svd_seconds(path, 1), read_report(out)
    row = {
        "layers": layers,
        "weights": size // 4,
        "svd s": svd,
        "compile s": taken.cpu_s,
        "time": f"{taken.cpu_s / svd:.2f}x",
        "memory": f"{taken.anonymous / size:.2f}x",
        "resident": f"{taken.resident / size:.2f}x",
        "cells": f"{report.before.cells:,} -> {report.after.cells:,}",
        "output error": report.drift,
    }
    print(row)
    said = (
        "one compile against `numpy.linalg.svd(full_matrices=False)` of the same matrices in single precision, seconds "
        "of the processor. Required: at most 0.5x the time and 1.5x the model's size in memory (`resident` counts "
        "pages of mapped files, which the system takes back when it wants)."
    )
    record("encoder", said, [row])
    raise SystemExit(taken.cpu_s > MOST_TIME * svd or taken.anonymous > MOST_MEMORY * size)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
