"""Costs one can check in the head."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.netlist import Block, Bus, Matrix, Netlist, Port, Tile
from gscompile.hardware.cost import (
    array_area_um2,
    cost,
    interconnect_um2,
    matrix_energy_pj,
    matrix_latency_ns,
    pulses,
    write_costs,
)
from gscompile.hardware.target import load_target

PAPER, RRAM, MACRO = load_target("group_scissor"), load_target("rram_45nm"), load_target("macro_128")


def one(rows: int = 10, cols: int = 20) -> Netlist:
    tile = Tile("m/0_0", "m", np.arange(rows), np.arange(cols), "m/0_0")
    return Netlist(
        "one",
        Crossbar(64, 64),
        "full",
        (
            Bus("m.in", rows, "analog"),
            Bus("m.out", cols, "analog"),
            Bus("tensor:x", 1, "tensor"),
            Bus("tensor:y", 1, "tensor"),
        ),
        (Matrix("m", "m", 0, rows, cols, "m.in", "m.out", (tile,)),),
        (Block("a", ("a",), ("tensor:x",), ("m.in",)), Block("b", ("b",), ("m.out",), ("tensor:y",))),
        (Port("x", "input", "tensor:x"), Port("y", "output", "tensor:y")),
    )


def test_a_thousand_passive_cells_are_25_6_square_microns() -> None:
    """4 x (80 nm)^2 = 0.0256 um2 a cell."""
    assert array_area_um2(10, 100, PAPER) == pytest.approx(25.6)


def test_wires_take_their_pitch_over_the_layers() -> None:
    assert interconnect_um2(1000, PAPER) == pytest.approx(1000 * 0.16 / 2)


def test_a_fixed_macro_costs_the_same_however_little_it_holds() -> None:
    small, large = (cost(one(*size), MACRO).total for size in ((1, 1), (60, 60)))
    assert small.array_um2 == large.array_um2 == pytest.approx(128 * 128 * 2 * 4 * 0.032**2)
    assert small.periphery_um2 == large.periphery_um2


def test_periphery_is_a_converter_an_array_and_a_driver_a_line() -> None:
    total = cost(one(), RRAM).total
    assert total.periphery_um2 == pytest.approx(1200 + 60 + 10 * 0.166 + 20 * 0.039)
    assert total.chip_um2 == pytest.approx(total.array_um2 + total.periphery_um2 + total.block_um2)
    assert total.periphery_um2 > 5 * total.array_um2  # cell area alone oversells
    assert cost(one(), PAPER).total.periphery_um2 == 0


def test_two_converters_halve_the_turns() -> None:
    shared = replace(RRAM, periphery=replace(RRAM.periphery, columns_per_adc=10))  # type: ignore[type-var]
    assert pulses(RRAM) == 8
    (matrix,) = one().matrices
    assert matrix_latency_ns(matrix, PAPER) == 10
    assert matrix_latency_ns(matrix, RRAM) == pytest.approx(8 * (10 + 20 / 1.2))
    assert matrix_latency_ns(matrix, shared) == pytest.approx(8 * (10 + 10 / 1.2))
    assert cost(one(), shared).total.periphery_um2 > cost(one(), RRAM).total.periphery_um2 + 1200


def test_energy_of_a_passive_read() -> None:
    """200 cells: V^2 G t = 0.25 x 5.294 uS x 10 ns = 13.2 fJ each, and 64 um of line at 0.2 fF."""
    (matrix,) = one().matrices
    cells = 200 * 0.25 * (1e-5 + 1 / 1.7e6) / 2 * 10e-9 * 1e12
    lines = 2 * 200 * 0.16 * 0.2e-15 * 0.25 * 1e12
    assert cells == pytest.approx(200 * 0.01324, rel=1e-3)
    assert matrix_energy_pj(matrix, PAPER) == pytest.approx(cells + lines)


def test_a_convolution_pays_for_every_position() -> None:
    once, often = cost(one(), RRAM).total, cost(one(), RRAM, uses={"m": 576}).total
    assert often.energy_pj == pytest.approx(576 * once.energy_pj)
    assert often.latency_ns == pytest.approx(576 * once.latency_ns)
    assert often.chip_um2 == once.chip_um2


def test_rows_add_up_and_are_written(tmp_path: Path) -> None:
    report = cost(one(), RRAM, lengths_um={"m.out": 100.0, "m.in": 50.0})
    assert report.total.interconnect_um2 == pytest.approx(150 * 0.16 / 4)
    write_costs({"before": report, "after": report}, tmp_path / "cost.csv")
    rows = list(csv.DictReader((tmp_path / "cost.csv").read_text().splitlines()))
    assert [row["name"] for row in rows[:4]] == ["m", "block a", "block b", "total"]
    assert float(rows[3]["chip_um2"]) == pytest.approx(report.total.chip_um2, rel=1e-5)
    assert len(rows) == 8
