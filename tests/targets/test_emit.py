"""`--emit`: a folder's netlist in every format that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gscompile.crossbars.netlist_file import write_netlist
from gscompile.crossbars.tile_file import write_tiles
from gscompile.emit import emit_folder
from gscompile.errors import OutputError, UsageError
from gscompile.formats import parse_formats
from gscompile.hardware.target import Design, load_target
from gscompile.placement.place import PlaceOptions
from gscompile.targets import FORMATS
from gscompile.targets.dot import Dot
from gscompile.targets.spice import Spice


@pytest.fixture
def out(lenet: Design, tmp_path: Path) -> Path:
    write_netlist(lenet.netlist, tmp_path / "netlist.json")
    write_tiles(lenet.weights.items(), tmp_path / "tiles.npz")
    return tmp_path


def test_every_format_is_written(out: Path) -> None:
    files = emit_folder(out, parse_formats(",".join(FORMATS)), load_target(), PlaceOptions(engine="shelves"))
    assert {path.suffix for path in files} == {".v", ".json", ".sp", ".lef", ".def", ".dot"}
    assert all(path.stat().st_size for path in files)


def test_options_follow_a_name() -> None:
    assert list(parse_formats("spice:input_v=0.2,dot:tiles=yes")) == [Spice(input_v=0.2), Dot(tiles=True)]
    assert list(parse_formats("dot, spice")) == [Dot(), Spice()]
    for text, message in (("verlog", "did you mean 'verilog'"), ("dot:tile=1", "write one of tiles")):
        with pytest.raises(UsageError, match=message):
            parse_formats(text)


def test_an_unwritable_file_is_one_line(out: Path) -> None:
    (out / "lenet.v").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        emit_folder(out, parse_formats("verilog"), load_target())
