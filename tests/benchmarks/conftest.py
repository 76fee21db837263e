"""What pytest-benchmark measures goes to the same results and the same page as all else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.benchmarks.results import Row, exponent, read, record

SAID = (
    "seconds of the processor by pytest-benchmark, the least of up to three rounds after one that warms up. Square "
    "matrices of falling spectra for decompositions; for the rest chains of 1024 x 1024 on 64x64, half of all groups "
    "deleted; cells are all of them for mapping and those that are left for the steps after it. Required: exponents up to "
    "1.1 in cells for mapping and writing."
)
MOST = 1.1
BOUND = ("mapping", "writing")
SIZES = 4
COLUMNS = 4 + SIZES  # of a row that is whole


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: Any) -> None:
    """As if the command line had asked for it; libraries look up their number of threads when they are imported."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise pytest.UsageError("OMP_NUM_THREADS=1 is to be set: what is measured is one thread")
    config.option.benchmark_timer = "time.process_time"
    config.option.benchmark_json = config.option.benchmark_json or os.devnull


def pytest_benchmark_update_json(output_json: Mapping[str, Any]) -> None:
    """What was measured at all sizes takes the place of what was known of it."""
    found = [row for row in rows(output_json["benchmarks"]) if len(row) == COLUMNS]
    record("steps", SAID, merged(read("steps"), found))
    beyond = [row["step"] for row in found if row["step"].startswith(BOUND) and row["exponent"] > MOST]
    assert not beyond, f"exponents beyond {MOST}: {', '.join(beyond)}"


def merged(known: Iterable[Row], found: Iterable[Row]) -> list[Row]:
    """The rows that are known, in their order, those that were found in their place; new ones at the end."""
    return [*{(row["step"], row["by"]): row for row in [*known, *found]}.values()]


def rows(benchmarks: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A row for each step and who does it: the seconds at every size, and how they grow with the cells."""
    seconds: dict[tuple[str, str], dict[float, float]] = {}
    for one in benchmarks:
        about = one["extra_info"]
        seconds.setdefault((about["step"], about["by"]), {})[about["cells"]] = one["stats"]["min"]
    return [_row(step, by, sorted(found.items())) for (step, by), found in seconds.items()]


def _row(step: str, by: str, found: list[tuple[float, float]]) -> Row:
    cells, took = zip(*found, strict=True)
    columns = {f"s at size {number}": s for number, s in enumerate(took, 1)}
    return {"step": step, "by": by, "M cells": ", ".join(f"{c / 1e6:.3g}" for c in cells), **columns,
            "exponent": exponent(cells, took)}  # fmt: skip
