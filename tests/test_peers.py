"""The counter that peers are compared by counts what gscompile counts, and the page shows what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.graph.network import Network
from tests.benchmarks.peers import count, table
from tests.small_networks import model

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("sample", "wanted"),
    [("lenet", (430_500, 121, 14_425)), ("convnet", (89_440, 44, 4_171)), ("digits", (22_416, 10, 925))],
)
def test_the_counter_finds_what_the_tables_say(sample: str, wanted: tuple[int, int, int]) -> None:
    assert tuple(count.count(ROOT / f"samples/{sample}.onnx").values()) == wanted


def test_dead_rows_and_columns_are_not_counted(tmp_path: Path) -> None:
    # 70 x 3, a tile of 64 rows and one of 6: 10 rows of the first and a column of the second are dead
    weight = np.ones((70, 3))
    weight[:10], weight[64:, 0] = 0, 0
    onnx.save(
        model("g (float[n,70] x) => (float[n,3] y) <float[70,3] w> { y = MatMul (x, w) }", w=weight),
        tmp_path / "m.onnx",
    )
    assert count.count(tmp_path / "m.onnx") == {"cells": 54 * 3 + 6 * 2, "tiles": 2, "wires": 57 + 8}


def test_the_counter_and_gscompile_agree_on_groups_and_transposed_weights(tmp_path: Path) -> None:
    text = """g (float[n,4,8,8] x) => (float[n,5] y) <float[6,2,3,3] k, float[5,216] w, float[5] b>
        { h = Conv <group = 2> (x, k)  f = Flatten (h)  y = Gemm <transB = 1> (f, w, b) }"""
    rng = np.random.default_rng(0)
    proto = model(text, k=rng.integers(0, 2, (6, 2, 3, 3)), w=rng.integers(0, 2, (5, 216)))
    onnx.save(proto, tmp_path / "m.onnx")
    mapped = map_network(Network.load(tmp_path / "m.onnx"), MapOptions(Crossbar(64, 64)))
    found = count.count(tmp_path / "m.onnx")
    assert found == {"cells": mapped.cells, "tiles": len([*mapped.tiles]), "wires": mapped.wires}


def test_the_page_is_that_of_the_results() -> None:
    rows = json.loads((ROOT / "tests/benchmarks/peers/results.json").read_text("utf-8"))
    assert table.PAGE.read_text("utf-8") == table.page(rows)
