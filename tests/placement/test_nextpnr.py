"""nextpnr-generic finds the width of a channel one can count."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from gscompile.errors import UsageError
from gscompile.hardware.target import load_target
from gscompile.placement.congestion import Squares, net_squares
from gscompile.placement.nextpnr import channel_width, leads_to, routes, routing_steps
from gscompile.placement.place import PlaceOptions, place
from tests.placement.test_place import dense

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


@needs_nextpnr
def test_the_channel_width_of_a_placed_netlist_is_searched_for() -> None:
    """Eight arrays on a few squares: some width routes, and one that is half of it or one less does not."""
    netlist, said = dense(16, 16, 16, crossbar=8), list[str]()
    plan = place(netlist, load_target(), PlaceOptions(engine="shelves"))
    found = channel_width(netlist, plan, seconds=8, start=32, close=0.5, say=said.append)
    assert found.nets == sum(len(squares) > 1 for squares in net_squares(netlist, plan).nets) > 16
    assert 0 < found.routed - found.failed <= max(found.routed / 2, 1)
    assert said[0] == f"routing {found.nets} nets on 32 tracks a channel"


def test_a_route_is_followed_back_to_its_driver() -> None:
    routing = "X0/Y0/b0;;1;X0/Y0/h3;X0/Y0/X0.Y0.b0>X0.Y0.h3;1;X1/Y0/b1;X1/Y0/X0.Y0.h3>X1.Y0.b1;1"
    before = dict(routing_steps(routing))
    assert before["X1/Y0/b1"] == "X0/Y0/h3"
    assert leads_to("X1/Y0/b1", "X0/Y0/b0", before)
    assert not leads_to("X1/Y0/b1", "X0/Y0/b9", before)


def test_without_it_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from gscompile.crossbars.crossbar import Crossbar
    from gscompile.crossbars.netlist import Netlist

    monkeypatch.setattr(shutil, "which", lambda _: None)
    netlist = Netlist("n", Crossbar(4, 4), "full", (), (), (), ())
    with pytest.raises(UsageError, match="nextpnr-generic is not installed; apt-get install nextpnr-generic"):
        channel_width(netlist, place(netlist, load_target()))


def test_the_search_ends_in_time_where_the_router_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A router that never answers: of the 1 s asked for, its first try gets 0.5 s."""
    router = tmp_path / "nextpnr-generic"
    router.write_text("#!/bin/sh\nexec sleep 60\n")
    router.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    netlist = dense(16, 16, 16, crossbar=8)
    plan = place(netlist, load_target(), PlaceOptions(engine="shelves"))
    began = time.monotonic()
    with pytest.raises(UsageError) as refused:
        channel_width(netlist, plan, seconds=1, start=8)
    assert time.monotonic() - began < 2
    assert str(refused.value) == (
        "routing: no channel of up to 8 tracks was routed within 1 s; expected one: give more --route-seconds"
    )
