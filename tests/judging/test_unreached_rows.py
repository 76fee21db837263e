"""Layers of which some rows belong to inputs that are zero on all samples: left as they are, but for rectified units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gscompile.graph.network import Network
from gscompile.judging.samples import Draw
from gscompile.judging.unreached_rows import with_unreached_rows
from tests.judging.test_samples import compiled, weighted

WORDS = """g (int64[2] ids) => (float[2,16] y) <int64 depth = {1000}, float[2] values = {0, 1}, float[1000,16] w>
    { a = OneHot (ids, depth, values)  y = MatMul (a, w) }"""


def test_a_table_of_words_that_were_not_all_drawn_stays_bit_for_bit(tmp_path: Path) -> None:
    """Some 80 samples of 2 words draw fewer than 1,000; of rank 1, the table would be clipped at once."""
    table = np.outer(np.arange(1.0, 1001), np.arange(1.0, 17))
    report, weights = compiled(weighted(WORDS, w=table), tmp_path / "out", max_error=0.5)
    np.testing.assert_array_equal(weights["w"], table.astype(np.float32))
    assert [line for line in report.messages if "no sample moves an output through all weights of" in line]


CHANNELS = """g (float[1,2,4,4] x, float[1,1,1] gate) => (float[1,3,2,2] y) <float[3,4,3,3] w>
    { MADE  both = Concat <axis = 1> (x, a)  y = Conv (both, w) }"""
SHUT = Draw({"x": np.ones((1, 2, 4, 4), np.float32), "gate": np.zeros((1, 1, 1), np.float32)}, {}, "")


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ("a = Mul (x, gate)", True),  # the gate is shut on the sample
        ("b = Mul (x, gate)  a = Relu (b)", False),  # units that no sample wakes
        ("a = Add (x, gate)", False),
    ],
)
def test_channels_that_are_zero_on_all_samples_are_found(made: str, found: bool) -> None:
    network = Network.from_proto(weighted(CHANNELS.replace("MADE", made), w=np.ones((3, 4, 3, 3))))
    assert bool([*with_unreached_rows(network, network.layers, [SHUT])]) == found


def test_rows_of_zeros_have_nothing_to_lose() -> None:
    w = np.ones((3, 4, 3, 3))
    w[:, 2:] = 0
    network = Network.from_proto(weighted(CHANNELS.replace("MADE", "a = Mul (x, gate)"), w=w))
    assert not [*with_unreached_rows(network, network.layers, [SHUT])]
