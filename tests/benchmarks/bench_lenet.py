"""LeNet on MNIST at `--effort quick`, beside the figures that are committed: no regression by accident.

Run by name: `python -m tests.benchmarks.bench_lenet`, with the four MNIST files in GSCOMPILE_SHARED/data/mnist
(default ../shared); under three minutes on two cores. `--record` commits the new figures. Exit code 1 where cells or
wires are more than a tenth above the committed ones, or the test accuracy more than 0.15 points below.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "samples")]  # samples are scripts beside each other

from data import mnist  # noqa: E402

from tests.benchmarks import searches  # noqa: E402
from tests.checkout import environment  # noqa: E402

SHARED = Path(os.environ.get("GSCOMPILE_SHARED", ROOT.parent / "shared"))
COMMAND = ("--crossbar 64x64 --data train.npz --eval val.npz --test test.npz --max-drop 0.1 --augment crop --effort quick "
           "--time-budget 150s")  # fmt: skip
MORE, LESS = 1.10, 0.15  # cells and wires times, points of accuracy


def run(folder: Path) -> dict[str, Any]:
    """The report of one run in `folder`."""
    mnist(SHARED / "data/mnist").save(folder)
    command = [sys.executable, "-m", "gscompile", str(ROOT / "samples/lenet.onnx"), *COMMAND.split(), "-o", "out"]
    subprocess.run(command, cwd=folder, env=environment(), check=True)
    found: dict[str, Any] = json.loads((folder / "out/report.json").read_text("utf-8"))
    return found


def figures(row: searches.Row) -> dict[str, float]:
    """What is compared, by name."""
    share = 100 * row["after"]["cells"] / row["before"]["cells"]
    return {**row["after"], "% of the cells": share, "% test accuracy": row["accuracy"]["after"], "s": row["seconds"]}


def lines(now: dict[str, float], then: dict[str, float] | None) -> list[str]:
    """A line a figure, the committed one beside it."""
    beside = then or {}
    return [
        f"{value:>12,.2f} {name:16} {beside.get(name, float('nan')):>12,.2f} committed" for name, value in now.items()
    ]


def worse(now: dict[str, float], then: dict[str, float]) -> list[str]:
    """The names of the figures that are clearly worse."""
    larger = [name for name in ("cells", "wires") if now[name] > MORE * then[name]]
    return larger + ["% test accuracy"] * (now["% test accuracy"] < then["% test accuracy"] - LESS)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = run(Path(folder))
    new = searches.row(report, "today")
    old = next((r for r in searches.read() if (r["command"], r["seed"]) == (new["command"], new["seed"])), None)
    now, then = figures(new), figures(old) if old else None
    print("\n".join(lines(now, then)))
    if "--record" in sys.argv:
        searches.record([report])
        return 0
    bad = worse(now, then) if then else []
    print(
        f"worse than committed: {', '.join(bad)}" if bad else "no worse than committed" if then else "nothing committed"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
