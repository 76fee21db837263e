"""What benchmarks found: kept as JSON, one entry a benchmark, and shown as tables in the guide."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.plots import scaling_svg

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs/results/costs.md"
PICTURE = PAGE.with_name("scaling.svg")
Row = Mapping[str, Any]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The p of cost = c size^p, by least squares on logarithms.

    >>> round(exponent([1, 2, 4], [3, 6, 12]), 3)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def read(name: str) -> list[Row]:
    """The rows that are kept of a benchmark."""
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    return list(known[name]["rows"]) if name in known else []


def record(name: str, limits: str, rows: Sequence[Row]) -> None:
    """Keep the rows of a benchmark, replacing those of an earlier run, and bring the page up to date."""
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}
    known[name] = {"limits": limits, "python": platform.python_version(), "numpy": np.__version__, "rows": [*rows]}
    RESULTS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
    PAGE.write_text(page(known), "utf-8")
    if name == "steps":
        PICTURE.write_text(scaling_svg(rows), "utf-8")


def page(known: Mapping[str, Any]) -> str:
    """The page of the guide, made of nothing but the results."""
    parts = ["# Costs\n", *(_section(name, known[name]) for name in sorted(known))]
    made = (
        "Measured by the programs in `tests/benchmarks`, which write this page; seconds are of one core. "
        "`python -m tests.benchmarks` runs them all.\n"
    )
    return "\n".join([parts[0], made, *parts[1:]])


def _section(name: str, found: Mapping[str, Any]) -> str:
    rows = found["rows"]
    heads = [*rows[0]]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    lines += [" | ".join(_shown(row.get(head, "")) for head in heads) for row in rows]
    table = "\n".join(f"| {line} |" for line in lines)
    start, picture = f"python -m tests.benchmarks.bench_{name}", ""
    if name == "steps":
        start = "OMP_NUM_THREADS=1 python -m pytest tests/benchmarks/bench_steps.py"
        picture = f"\n![Seconds over cells, step by step, both axes logarithmic]({PICTURE.name})\n"
    return f"## {name}\n\n`{start}`: {found['limits']}\n\n{table}\n{picture}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
