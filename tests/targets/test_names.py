"""Names are legal, unique where case does not count, and lead back to what they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.crossbar import Crossbar
from gscompile.errors import UsageError
from gscompile.netlist import Bus, Netlist, Port
from gscompile.nets import Nets
from gscompile.target import Design
from gscompile.targets.names import KEYWORDS, LONGEST, Names, legal

Chain = Callable[[list[int], list[int]], Netlist]


@given(st.text())
def test_a_legal_name_is_legal(text: str) -> None:
    name = legal(text)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", name)
    assert len(name) <= LONGEST


def test_names_that_would_collide_are_numbered() -> None:
    names = ("a.b", "a/b", "A_B", "wire", "x" * 99 + "1", "x" * 99 + "2")
    ports = tuple(Port(name, "input", f"tensor:{name}") for name in names)
    buses = tuple(Bus(port.bus, 1, "tensor") for port in ports)
    found = Names(Netlist("module", Crossbar(1, 1), "full", buses, (), (), ports))
    given_names = [found.port(name, "input") for name in names]
    assert given_names[:4] == ["a_b", "a_b_2", "A_B_3", "wire_2"]
    assert found.top == "module_2"
    assert len({name.lower() for name in given_names}) == 6
    assert not {name.lower() for name in given_names} & KEYWORDS


def test_tile_and_row_lead_to_a_net_and_back(lenet: Design) -> None:
    names = Names(lenet.netlist)
    for tile in lenet.netlist.tiles:
        net = names.row_nets(tile)[0]
        bus, index = names.bus_of(net)
        assert (bus, index) == (lenet.netlist.matrix(tile.matrix).input_bus, int(tile.inputs[0]))
        assert any(p.tile is tile and p.side == "row" and p.index == 0 for p in names.pins(net))
        last = len(tile.outputs) - 1
        pins = names.pins(names.col_nets(tile)[last])
        assert any(p.tile is tile and p.side == "col" and p.index == last for p in pins)


def test_a_name_that_is_none_is_refused(lenet: Design) -> None:
    names = Names(lenet.netlist)
    for wrong in ("nothing__0", "image__0", names.net("conv0.in", 0).partition("__")[0], "image__x"):
        with pytest.raises(UsageError, match="there is no such net"):
            names.bus_of(wrong)


def test_pins_of_all_nets_are_the_wires(design: Design) -> None:
    nets = Nets(design.netlist)
    pins = [pin for bus in design.netlist.buses for _, found in nets.pins(bus.name) for pin in found]
    assert len(pins) == design.netlist.wires


def test_only_nets_with_pins_exist(chain: Chain) -> None:
    nets = Nets(chain([0], [0, 1]))
    assert nets.live("u.out").tolist() == [0, 1]
    assert nets.tied("u.out").tolist() == [1]
    assert Nets(chain([1], [1])).live("u.out").tolist() == [1]
    assert Nets(chain([0, 1], [0, 1])).count == 2 + 2 + 1 + 2
