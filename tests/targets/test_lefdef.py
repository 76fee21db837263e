"""KLayout reads LEF and DEF and finds, in the geometry, the netlist's own components, pins and nets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.nets import Nets
from gscompile.graph.network import Network
from gscompile.hardware.target import Design, load_target
from gscompile.placement.place import PlaceOptions, place
from gscompile.targets.lefdef import LefDef
from gscompile.targets.names import Names
from tests.targets.conftest import GROUPED, filled


def klayout() -> Any:
    return pytest.importorskip("klayout.db", reason="klayout is not installed (PyPI package klayout)")


def read_def(lef: Path, placed: Path) -> Any:
    options = klayout().LoadLayoutOptions()
    config = options.lefdef_config
    config.dbu = 0.001
    config.lef_files = [str(lef)]
    config.read_lef_with_def = False
    config.net_property_name, config.instance_property_name = "net", "inst"
    config.pin_property_name = "pin"
    layout = klayout().Layout()
    layout.read(str(placed), options)
    return layout


def connectivity(layout: Any) -> dict[tuple[str, str], str]:
    """(component, pin) -> the net whose wire lies on the pin; ports are pins of no component."""
    top, wires, pins = layout.top_cell(), layout.find_layer(1, 0), layout.find_layer(1, 2)
    nets = {shape.bbox().center(): shape.property("net") for shape in top.shapes(wires).each()}
    found = {("", shape.property("pin")): shape.property("net") for shape in top.shapes(pins).each()}
    for instance in top.each_inst():
        for shape in instance.cell.shapes(pins).each():
            at = instance.trans * shape.bbox().center()
            found[instance.property("inst"), shape.property("pin")] = nets[at]
    return found


def expected(netlist: Netlist) -> dict[tuple[str, str], str]:
    """The same from the netlist: rows and columns of tiles, signals of blocks, ports."""
    names, nets = Names(netlist), Nets(netlist)
    found = {("", names.port(p.name, p.direction)): names.net(p.bus, 0) for p in netlist.ports}
    for tile in netlist.tiles:
        alone = f"{names.matrix(tile.matrix)}/{names.tile(tile.name)}"
        instance = alone if tile.array == tile.name else names.array(tile.array)
        down, across = tile.corner
        found |= {(instance, f"row[{r}]"): net for r, net in enumerate(names.row_nets(tile), down)}
        found |= {(instance, f"col[{c}]"): net for c, net in enumerate(names.col_nets(tile), across)}
    for block in netlist.blocks:
        signals = [names.net(b, i) for b in (*block.inputs, *block.outputs) for i in nets.live(b).tolist()]
        found |= {(names.block(block.name), net): net for net in signals}
    return found


def test_tiles_that_share_an_array_are_one_component(tmp_path: Path) -> None:
    """Four 3x3 filters on one array of 64 rows: each has rows and a column of its own."""
    klayout()
    network = Network.from_proto(filled(GROUPED))
    netlist = map_network(network, MapOptions(Crossbar(64, 64), pack=True), "grouped")
    assert (len([*netlist.tiles]), netlist.arrays) == (4, 1)
    plan = place(netlist, load_target(), PlaceOptions(engine="shelves"))
    files = LefDef().emit(Design(netlist, dict(tile_weights(network, netlist)), floorplan=plan), tmp_path)
    assert connectivity(read_def(*files)) == expected(netlist)


@pytest.mark.parametrize("target", ["group_scissor", "macro_128"])
def test_klayout_finds_the_connectivity_of_the_netlist(design: Design, target: str, tmp_path: Path) -> None:
    klayout()
    hardware = load_target(target)
    plan = place(design.netlist, hardware, PlaceOptions(engine="shelves"))
    files = LefDef().emit(replace(design, target=hardware, floorplan=plan), tmp_path)
    assert connectivity(read_def(*files)) == expected(design.netlist)


def test_klayout_finds_components_where_they_were_placed(lenet: Design, tmp_path: Path) -> None:
    klayout()
    plan = place(lenet.netlist, lenet.target, PlaceOptions(engine="shelves"))
    layout = read_def(*LefDef().emit(replace(lenet, floorplan=plan), tmp_path))
    boxes = sorted((i.trans.disp.x, i.trans.disp.y) for i in layout.top_cell().each_inst())
    assert boxes == sorted((c.x, c.y) for c in plan.components)
