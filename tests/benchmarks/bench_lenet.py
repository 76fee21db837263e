"""LeNet on MNIST at `--effort quick`, beside the figures that are committed: no regression by accident.

Run by name: `python -m tests.benchmarks.bench_lenet`, with the four MNIST files in GSCOMPILE_SHARED/data/mnist
(default ../shared); under three minutes on two cores. `--seed 3` takes another seed than 0, `--record` commits the
figures. Seeds differ by more than most changes do: exit code 1 where cells or wires are more than a tenth above the most
of the committed seeds, or the test accuracy more than 0.05 points below the least.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "samples")]  # samples are scripts beside each other

from data import mnist  # noqa: E402

from tests.benchmarks import searches  # noqa: E402
from tests.checkout import environment  # noqa: E402

SHARED = Path(os.environ.get("GSCOMPILE_SHARED", ROOT.parent / "shared"))
COMMAND = ("--crossbar 64x64 --data train.npz --eval val.npz --test test.npz --max-drop 0.1 --augment crop --effort quick "
           "--time-budget 150s")  # fmt: skip
MORE, LESS = 1.10, 0.05  # cells and wires times, points of accuracy
Figures = dict[str, float]


def run(folder: Path, seed: int) -> dict[str, Any]:
    """The report of one run in `folder`."""
    mnist(SHARED / "data/mnist").save(folder)
    words = [str(ROOT / "samples/lenet.onnx"), *COMMAND.split(), "--seed", str(seed), "-o", "out"]
    subprocess.run([sys.executable, "-m", "gscompile", *words], cwd=folder, env=environment(), check=True)
    found: dict[str, Any] = json.loads((folder / "out/report.json").read_text("utf-8"))
    return found


def figures(row: searches.Row) -> Figures:
    """What is compared, by name."""
    share = 100 * row["after"]["cells"] / row["before"]["cells"]
    return {**row["after"], "% of the cells": share, "% test accuracy": row["accuracy"]["after"], "s": row["seconds"]}


def lines(now: Figures, committed: Mapping[int, Figures], seed: int) -> list[str]:
    """A line a figure, beside it what is committed of this seed, and from the least to the most of all."""
    return [
        f"{value:>12,.2f} {name:16}" + _beside({s: each[name] for s, each in committed.items()}, seed)
        for name, value in now.items()
    ]


def _beside(values: Mapping[int, float], seed: int) -> str:
    """What one seed has, and all of them.

    >>> _beside({0: 8.0, 1: 9.5}, seed=0), _beside({}, seed=0)
    ('        8.00 committed; 8.00 to 9.50 in 2 seeds', ' nothing committed')
    """
    if not values:
        return " nothing committed"
    same = f"{values[seed]:>12,.2f} committed;" if seed in values else ""
    return f"{same} {min(values.values()):,.2f} to {max(values.values()):,.2f} in {len(values)} seeds"


def worse(now: Figures, committed: Collection[Figures]) -> list[str]:
    """The names of the figures that are worse than those of every committed seed, and clearly.

    >>> seeds = [{"cells": 90, "wires": 10, "% test accuracy": 99.1}, {"cells": 100, "wires": 9, "% test accuracy": 99.2}]
    >>> worse({"cells": 111, "wires": 11, "% test accuracy": 99.06}, seeds)
    ['cells']
    """
    if not committed:
        return []
    larger = [name for name in ("cells", "wires") if now[name] > MORE * max(each[name] for each in committed)]
    least = min(each["% test accuracy"] for each in committed)
    return larger + ["% test accuracy"] * (now["% test accuracy"] < least - LESS)


@click.command()
@click.option("--seed", default=0)
@click.option("--record", is_flag=True, help="Commit the figures, in the place of those of the same seed.")
def main(seed: int, record: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = run(Path(folder), seed)
    new = searches.row(report, "today")
    committed = {row["seed"]: figures(row) for row in searches.read() if row["command"] == new["command"]}
    print("\n".join(lines(now := figures(new), committed, seed)))
    if record:
        searches.record([report])
    elif bad := worse(now, committed.values()):
        sys.exit(f"worse than committed: {', '.join(bad)}")


if __name__ == "__main__":
    main()
