"""nextpnr-generic finds the width of a channel one can count."""

from __future__ import annotations

import shutil

import pytest

from gscompile.congestion import Squares
from gscompile.errors import UsageError
from gscompile.nextpnr import _leads, _steps, channel_width, routes
from gscompile.target import load_target

needs_nextpnr = pytest.mark.skipif(
    shutil.which("nextpnr-generic") is None,
    reason="nextpnr-generic is not installed (Debian package nextpnr-generic)",
)


@needs_nextpnr
def test_five_nets_between_two_squares_need_five_tracks() -> None:
    grid = Squares(side=1, rows=1, cols=2, nets=[(0, 1)] * 5)
    assert routes(grid, grid.nets, 5, seconds=5)
    assert not routes(grid, grid.nets, 4, seconds=1)


@needs_nextpnr
def test_nets_go_round_a_square_where_the_straight_way_is_taken() -> None:
    """Two squares side by side of a 2 x 2 grid: one track straight on, one round the other two squares."""
    grid = Squares(side=1, rows=2, cols=2, nets=[(0, 1)] * 2)
    assert routes(grid, grid.nets, 1, seconds=5)
    assert not routes(grid, [(0, 1)] * 3, 1, seconds=1)


def test_a_route_is_followed_back_to_its_driver() -> None:
    routing = "X0/Y0/b0;;1;X0/Y0/h3;X0/Y0/X0.Y0.b0>X0.Y0.h3;1;X1/Y0/b1;X1/Y0/X0.Y0.h3>X1.Y0.b1;1"
    before = dict(_steps(routing))
    assert before["X1/Y0/b1"] == "X0/Y0/h3"
    assert _leads("X1/Y0/b1", "X0/Y0/b0", before)
    assert not _leads("X1/Y0/b1", "X0/Y0/b9", before)


def test_without_it_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from gscompile.crossbar import Crossbar
    from gscompile.netlist import Netlist
    from gscompile.place import place

    monkeypatch.setattr(shutil, "which", lambda _: None)
    netlist = Netlist("n", Crossbar(4, 4), "full", (), (), (), ())
    with pytest.raises(UsageError, match="nextpnr-generic is not installed; apt-get install nextpnr-generic"):
        channel_width(netlist, place(netlist, load_target()))
