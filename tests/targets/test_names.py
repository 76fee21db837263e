"""Names are legal, unique where case does not count, and lead back to what they stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.netlist import Bus, Netlist, Port
from gscompile.crossbars.nets import Nets
from gscompile.errors import UsageError
from gscompile.hardware.target import Design
from gscompile.targets.names import KEYWORDS, LONGEST, Names, legal
from gscompile.targets.verilog import Verilog
from gscompile.targets.yosys import Yosys
from tests.targets.conftest import FACTORED, design_of, filled

Chain = Callable[[list[int], list[int]], Netlist]


@given(st.text())
def test_a_legal_name_is_legal(text: str) -> None:
    name = legal(text)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", name)
    assert len(name) <= LONGEST


def with_inputs(*names: str, network: str = "module") -> Names:
    """Names of a chip that is inputs and nothing else."""
    ports = tuple(Port(name, "input", f"tensor:{name}") for name in names)
    buses = tuple(Bus(port.bus, 1, "tensor") for port in ports)
    return Names(Netlist(network, Crossbar(1, 1), "full", buses, (), (), ports))


def test_names_that_would_be_alike_end_in_digests_of_their_texts() -> None:
    alike, others = ("a.b", "a/b", "A_B"), ("wire", "x" * 99 + "1", "x" * 99 + "2", "a_c")
    found = with_inputs(*alike, *others)
    told = {text: found.port(text, "input") for text in (*alike, *others)}
    assert all(re.fullmatch("a_b_[0-9a-f]{8}", told[text].lower()) for text in alike)
    assert (told["a_c"], told["wire"], found.top) == ("a_c", "nwire", "nmodule")
    assert len({name.lower() for name in told.values()}) == 7
    assert not {name.lower() for name in told.values()} & KEYWORDS
    alone = with_inputs("A_B", "a/b")  # a name does not depend on what else is there, but for whether it is alone
    assert (alone.port("a/b", "input"), alone.port("A_B", "input")) == (told["a/b"], told["A_B"])


def test_a_name_that_looks_like_one_with_a_digest_is_told_apart_too() -> None:
    taken = with_inputs("a.b", "a/b").port("a.b", "input")
    found = with_inputs("a.b", "a/b", taken)
    told = [found.port(text, "input") for text in ("a.b", "a/b", taken)]
    assert len(set(told)) == 3
    assert all(re.fullmatch("a_b(_[0-9a-f]{8})?_[0-9a-f]{16}", name) for name in told)


def test_ports_are_not_spelt_like_the_chip_or_its_modules() -> None:
    found = with_inputs("net", "tile_a", "Matrix.a", "crossbar_4x4", "n_et", network="net")
    assert [found.port(text, "input") for text in ("net", "tile_a", "Matrix.a", "crossbar_4x4", "n_et")] == [
        "nnet",
        "ntile_a",
        "nMatrix_a",
        "ncrossbar_4x4",
        "n_et",
    ]


def test_a_network_may_be_called_like_a_crossbar(tmp_path: Path) -> None:
    design = design_of(filled(FACTORED.replace("factored", "crossbar_net")))
    assert [path.name for path in Verilog().emit(design, tmp_path)] == ["ncrossbar_net.v"]
    (path,) = Yosys().emit(design, tmp_path)
    assert json.loads(path.read_text())["modules"]["ncrossbar_net"]["ports"].keys() == {"x", "y"}


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
