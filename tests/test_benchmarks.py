"""What benchmarks found becomes rows, exponents and a picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks.__main__ import NAMES
from tests.benchmarks.conftest import merged, rows
from tests.benchmarks.plots import Line, scaling_svg

HERE = Path(__file__).parent / "benchmarks"


def measured(step: str, by: str, cells: int, seconds: float) -> dict[str, Any]:
    return {"extra_info": {"step": step, "by": by, "cells": cells}, "stats": {"min": seconds}}


def found() -> list[dict[str, Any]]:
    """Mapping grows as the cells do, numpy's decomposition with their power of 1.5."""
    return [
        *(measured("mapping", "gscompile", n * 10**6, 2.0 * n) for n in (4, 1, 2)),
        *(measured("decomposition", "numpy", n * 10**6, n**1.5) for n in (1, 4, 16)),
    ]


def test_a_row_has_the_seconds_by_size_and_their_exponent() -> None:
    mapping, decomposition = rows(found())
    assert mapping == {
        "step": "mapping", "by": "gscompile", "M cells": "1, 2, 4",
        "s at size 1": 2.0, "s at size 2": 4.0, "s at size 3": 8.0, "exponent": pytest.approx(1.0),
    }  # fmt: skip
    assert decomposition["exponent"] == pytest.approx(1.5)
    assert Line.of(decomposition) == Line(
        "decomposition, numpy", (1.0, 4.0, 16.0), (1.0, 8.0, 64.0), decomposition["exponent"]
    )


def test_what_is_measured_again_takes_the_place_of_what_was_known() -> None:
    known = [{"step": "mapping", "by": "gscompile", "s": 1}, {"step": "simulation", "by": "gscompile", "s": 2}]
    found = [{"step": "mapping", "by": "gscompile", "s": 3}, {"step": "simulation", "by": "onnxruntime", "s": 4}]
    assert [row["s"] for row in merged(known, found)] == [3, 2, 4]


def test_the_picture_has_a_line_and_a_name_for_every_row() -> None:
    picture = ElementTree.fromstring(scaling_svg(rows(found())))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"mapping: 1.00", "decomposition, numpy: 1.50"} <= {*texts}
    assert len([*picture.iter("{http://www.w3.org/2000/svg}polyline")]) == 2 * 2


def test_the_suite_is_run_by_names_that_are_there() -> None:
    assert all((HERE / f"bench_{name}.py").is_file() for name in NAMES)
    command = [sys.executable, "-m", "tests.benchmarks", "no such"]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no such benchmark: no such; there are start, netlists" in done.stderr
