"""Graphviz draws a netlist: an edge a bus between a driver and a reader."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gscompile.hardware.target import Design
from gscompile.targets.dot import Dot


def test_every_bus_is_an_edge(lenet: Design, tmp_path: Path) -> None:
    (path,) = Dot().emit(lenet, tmp_path)
    lines = path.read_text().splitlines()
    assert sum(" -> " in line for line in lines) == len(lenet.netlist.buses)
    assert '  matrix_conv0 -> block_conv0_output [label="8"];' in lines


def test_graphviz_takes_it(design: Design, tmp_path: Path) -> None:
    if shutil.which("dot") is None:
        pytest.skip("dot is not installed (Debian package graphviz)")
    (path,) = Dot(tiles=True).emit(design, tmp_path)
    subprocess.run(["dot", "-Tsvg", "-o", str(tmp_path / "n.svg"), str(path)], check=True)
