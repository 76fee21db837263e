"""The paper's tables come out to the unit from shapes alone.

Where a number comes from: [P] the paper states it, [C] read in the authors' training code, [R] reconstructed
by arithmetic that gives the paper's headline figures.
"""

from __future__ import annotations

import pytest

from gscompile.reporting.paper import (
    CONVNET,
    LENET,
    SIXTY_FOUR,
    Shape,
    cells,
    clip_shapes,
    routing_area,
    routing_ratio,
    routing_table,
    several_crossbars,
)

LENET_RANKS = {"conv1": 5, "conv2": 12, "fc1": 36}  # [P,R] no loss of accuracy
CONVNET_RANKS = {"conv1": 12, "conv2": 19, "conv3": 22}  # [P,R] no loss of accuracy


def test_the_uncompressed_networks_have_430500_and_89440_cells() -> None:
    assert cells(LENET) == 430_500  # [C]
    assert cells(CONVNET) == 89_440  # [C,R]


@pytest.mark.parametrize(
    ("network", "ranks", "area", "percent"),
    [
        (LENET, LENET_RANKS, 58_625, 13.62),  # [P] percent, [R] cells
        (LENET, {"conv1": 4, "conv2": 6, "fc1": 6}, 16_280, 3.78),  # [P,R] at 1 % loss
        (CONVNET, CONVNET_RANKS, 46_340, 51.81),  # [P,R]
        (CONVNET, {"conv1": 9, "conv2": 13, "conv3": 14}, 34_115, 38.14),  # [P,R] at 1 % loss
    ],
)
def test_rank_clipping_leaves_the_area_of_the_paper(
    network: dict[str, Shape], ranks: dict[str, int], area: int, percent: float
) -> None:
    clipped = cells(clip_shapes(network, ranks))
    assert clipped == area
    assert round(100 * clipped / cells(network), 2) == percent


def test_crossbars_and_dense_wires_of_the_clipped_lenet() -> None:  # [C,R]
    rows = several_crossbars(routing_table(clip_shapes(LENET, LENET_RANKS)))
    assert [(r.name, r.inputs, r.outputs, r.tile, r.crossbars, r.wires) for r in rows] == [
        ("conv2 U", 500, 12, (50, 12), 10, 620),
        ("fc1 U", 800, 36, (50, 36), 16, 1376),
        ("fc1 V", 36, 500, (36, 50), 10, 860),
        ("fc2", 500, 10, (50, 10), 10, 600),
    ]
    assert sum(row.wires for row in rows) == 3456


def test_crossbars_and_dense_wires_of_the_clipped_convnet() -> None:  # [C,R]
    rows = several_crossbars(routing_table(clip_shapes(CONVNET, CONVNET_RANKS)))
    assert [(r.name, r.inputs, r.outputs, r.tile, r.crossbars, r.wires) for r in rows] == [
        ("conv1 U", 75, 12, (25, 12), 3, 111),
        ("conv2 U", 800, 19, (50, 19), 16, 1104),
        ("conv3 U", 800, 22, (50, 22), 16, 1152),
        ("fc", 1024, 10, (64, 10), 16, 1184),
    ]
    assert sum(row.wires for row in rows) == 3551


@pytest.mark.parametrize(
    ("network", "wires"),
    [(LENET, [1000, 16_000, 600]), (CONVNET, [171, 1312, 1824, 1184])],  # [R] 17,600 and 4,491
)
def test_wires_of_the_uncompressed_networks(network: dict[str, Shape], wires: list[int]) -> None:
    assert [row.wires for row in several_crossbars(routing_table(network))] == wires


@pytest.mark.parametrize(("network", "tiles", "wires"), [(LENET, 121, 14_425), (CONVNET, 44, 4_171)])  # [R]
def test_full_tiling_of_the_uncompressed_networks(network: dict[str, Shape], tiles: int, wires: int) -> None:
    table = routing_table(network, SIXTY_FOUR, "full")
    assert sum(row.crossbars for row in table) == tiles
    assert sum(row.wires for row in table) == wires


def test_a_remainder_is_smaller_in_full_tiling() -> None:
    [row] = routing_table({"fc": (100, 10)}, SIXTY_FOUR, "full")
    assert row.tile == (64, 10)
    assert row.wires == 100 + 2 * 10


def test_routing_area_is_the_mean_of_the_squares() -> None:
    assert routing_ratio(62, 620) == pytest.approx(0.01)
    assert routing_area([(62, 620), (0, 600)]) == pytest.approx(0.005)
    assert routing_area([]) is None


def test_deleting_about_two_and_a_half_thousand_of_convnets_wires_is_52_percent() -> None:
    remaining, dense = 2560, 3551  # [R] from [P] 52.06 %, were all matrices cut alike
    assert routing_ratio(remaining, dense) == pytest.approx(0.5206, abs=0.002)
