"""Two thousand compiles in one process: memory is flat within 5 % once the first are over.

Run by name: `python -m tests.benchmarks.bench_long_run [COMPILES]`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import gscompile
from tests.benchmarks.results import record
from tests.small_networks import model

TEXT = """g (float[n,12] x) => (float[n,8] y) <float[12,10] a, float[10] b, float[10,8] c>
    { h = Gemm (x, a, b)  i = Relu (h)  y = MatMul (i, c) }"""
WARM, MOST = 100, 1.05  # by then the allocator and the caches of libraries have filled


def memory() -> int:
    """Anonymous memory of this process in bytes."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def growth(folder: Path, compiles: int) -> float:
    """Memory after so many compiles, relative to that after the first few."""
    before, rng = 0, np.random.default_rng(0)
    for number in range(compiles):
        if number == WARM:
            before = memory()
        proto = model(TEXT, a=rng.standard_normal((12, 2)) @ rng.standard_normal((2, 10)))
        gscompile.compile(proto, out=folder / "out", crossbar="8x8", max_output_error=0.1)
        shutil.rmtree(folder / "out")
    return memory() / before


def main(compiles: int) -> None:
    """Exits with 1 when memory has grown by more than 5 %."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        grown = growth(Path(name), compiles)
    seconds = time.process_time() - start
    row = {"compiles": compiles, "memory": f"{grown:.3f}x", "processor s": seconds, "s a compile": seconds / compiles}
    print(row)
    record("long_run", f"after {WARM} compiles and after all. Required: at most {MOST}x.", [row])
    raise SystemExit(grown > MOST)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
