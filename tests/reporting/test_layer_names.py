"""Long names are short in tables, and different names stay different."""

from __future__ import annotations

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions
from gscompile.graph.network import Network
from gscompile.reporting.inspection import inspect_network, table
from gscompile.reporting.names import short, shortened
from tests.small_networks import network


def test_the_middle_goes() -> None:
    assert short("a" * 10 + "b" * 10, 11) == "aa...bbbbbb"
    assert short("conv1", 11) == "conv1"


def test_names_that_differ_in_the_middle_only_are_told_apart() -> None:
    names = ["x" * 8 + f"block{n}" + "y" * 30 for n in range(3)]
    found = shortened(names, 20)
    assert len({*found.values()}) == 3
    assert all(len(name) <= 20 for name in found.values())
    deep = ["x" * 40 + str(n) + "y" * 40 for n in range(3)]
    assert [*shortened(deep, 20).values()] == [f"xxxxx...yyyyyyyyyy#{n}" for n in (1, 2, 3)]


def test_inspect_shows_figures_within_80_columns_whatever_the_names() -> None:
    weighted = network("net (float[n,8] x) => (float[n,6] y) <float[8,6] w> { y = MatMul (x, w) }").to_proto()
    weighted.graph.node[0].name = "StatefulPartitionedCall/" + "model/" * 25 + "dense/MatMul"
    rows = inspect_network(Network.from_proto(weighted), MapOptions(Crossbar(64, 64)))
    lines = table(rows).splitlines()
    assert max(map(len, lines)) <= 80
    assert "StatefulP...l/model/dense/MatMul MatMul 8 x 6 48 1 14" in [" ".join(line.split()) for line in lines]
