"""What is written is read back; what was edited to be wrong is refused with the place named."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.netlist import Block, Bus, Matrix, Netlist, Port, Tile
from gscompile.crossbars.netlist_file import is_plain_tile, netlist_schema, read_netlist, write_netlist
from gscompile.crossbars.tile_file import TileFile, check_tiles, write_tiles
from gscompile.errors import VerificationError

Json = dict[str, Any]


def small() -> Netlist:
    """x -> form -> 3x2 matrix in two tiles -> act -> y."""
    tiles = (
        Tile("fc/0_0", "fc", np.array([0, 1]), np.array([0, 1]), "fc/0_0"),
        Tile("fc/1_0", "fc", np.array([2]), np.array([1]), "shared", (0, 2)),
    )
    return Netlist(
        "small",
        Crossbar(2, 4),
        "full",
        (
            Bus("fc.in", 3, "analog"),
            Bus("fc.out", 2, "analog"),
            Bus("tensor:x", 1, "tensor"),
            Bus("tensor:ü\n", 1, "tensor"),
        ),
        (Matrix("fc", "fc", 0, 3, 2, "fc.in", "fc.out", tiles),),
        (
            Block("form", ("fc:input",), ("tensor:x",), ("fc.in",)),
            Block("act", ("fc:output",), ("fc.out",), ("tensor:ü\n",)),
        ),
        (Port("x", "input", "tensor:x"), Port("ü\n", "output", "tensor:ü\n")),
    )


def test_a_netlist_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "netlist.json"
    write_netlist(small(), path)
    assert json.loads(path.read_text("utf-8")) == small().to_json()
    assert read_netlist(path).to_json() == small().to_json()
    assert '\n  {"name": "fc/0_0", "rows": "0:2", "cols": "0:2"}' in path.read_text("utf-8")


def test_an_empty_netlist_is_one_too(tmp_path: Path) -> None:
    write_netlist(Netlist("", Crossbar(1, 1), "full", (), (), (), ()), tmp_path / "n.json")
    assert read_netlist(tmp_path / "n.json").cells == 0


def _drop(data: Any, *path: str | int) -> None:
    for step in path[:-1]:
        data = data[step]
    del data[path[-1]]


def _set(data: Any, value: Any, *path: str | int) -> None:
    for step in path[:-1]:
        data = data[step]
    data[path[-1]] = value


_TILE = ("matrices", 0, "tiles", 0)
WRONG: dict[str, tuple[Callable[[Json], None], str]] = {
    "missing key": (lambda d: _drop(d, *_TILE, "rows"), "'fc' tiles 'fc/0_0': 'rows' is a required"),
    "unknown key": (lambda d: _set(d, 1, *_TILE, "colour"), "'fc/0_0': Additional properties .*'colour'"),
    "no pins": (lambda d: _set(d, "", *_TILE, "rows"), "'fc/0_0' rows: '' does not match"),
    "pin outside": (lambda d: _set(d, "0:4", *_TILE, "rows"), "tile 'fc/0_0': rows '0:4' of 3"),
    "billions": (lambda d: _set(d, "0:9999999999", *_TILE, "cols"), "tile 'fc/0_0': cols"),
    "pin twice": (lambda d: _set(d, "0:1,0:1", *_TILE, "rows"), "tile 'fc/0_0': row pins are not distinct"),
    "too tall": (
        lambda d: _set(d, "0:3", *_TILE, "rows"),
        "tile 'fc/0_0': 3 row pins; a crossbar has 1 to 2",
    ),
    "two drivers": (lambda d: _set(d, ["fc.in"], "blocks", 1, "outputs"), "bus 'fc.in'.*2 drivers"),
    "no driver": (lambda d: _set(d, [], "blocks", 0, "outputs"), "bus 'fc.in'.*0 drivers"),
    "twins": (lambda d: _set(d, "fc/1_0", *_TILE, "name"), "tile 'fc/1_0': there are two"),
    "version": (lambda d: _set(d, 2, "schema"), "schema version 2; this gscompile reads 1"),
    "corner alone": (lambda d: _set(d, [0, 0], *_TILE, "corner"), "'array' is a dependency of 'corner'"),
    "bool": (lambda d: _set(d, True, "buses", 0, "width"), "buses 'fc.in' width: True is not of type"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_netlist_edited_to_be_wrong_is_refused_with_the_place(mistake: str, tmp_path: Path) -> None:
    data = small().to_json()
    edit, message = WRONG[mistake]
    edit(data)
    (tmp_path / "n.json").write_text(json.dumps(data))
    with pytest.raises(VerificationError, match=message):
        read_netlist(tmp_path / "n.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": NaN}', '{"a": 1, "a": 2}', "[" * 100_000])
def test_what_is_no_netlist_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text(text)
    with pytest.raises(VerificationError) as caught:
        read_netlist(tmp_path / "n.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"none\.json: cannot be read"):
        read_netlist(tmp_path / "none.json")
    with pytest.raises(VerificationError, match=r"none\.npz: cannot be read"):
        TileFile(tmp_path / "none.npz")


def tiles() -> dict[str, Any]:
    return {"fc/0_0": np.array([[1, 2], [0, 3]], np.float32), "fc/1_0": np.array([[4.5]], np.float32)}


def test_equal_tiles_give_equal_bytes_and_numpy_reads_them(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_tiles(iter(tiles().items()), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = TileFile(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as by_numpy:
        assert [*read] == [*by_numpy] == ["fc/0_0", "fc/1_0"]
        for name, array in tiles().items():
            np.testing.assert_array_equal(read[name], array)
            np.testing.assert_array_equal(by_numpy[name], array)


def test_tiles_are_checked_against_the_pins() -> None:
    check_tiles(small(), tiles())
    for name, array, message in (
        ("fc/0_0", np.ones((2, 1)), r"2 row and 2 column pins, weights \(2, 1\)"),
        ("fc/0_0", np.array([[1, np.nan], [1, 1]]), "'fc/0_0': weight nan at row 0, column 1"),
        ("fc/0_0", np.array([[1, 0], [1, 0]]), "'fc/0_0': column 1 has a pin but no weight"),
        ("extra", np.ones((1, 1)), "'extra': has weights but is not in the netlist"),
    ):
        with pytest.raises(VerificationError, match=message):
            check_tiles(small(), {**tiles(), name: array})
    with pytest.raises(VerificationError, match="'fc/1_0': has no weights"):
        check_tiles(small(), {"fc/0_0": tiles()["fc/0_0"]})


def test_pickles_and_broken_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", a=np.array([{}], dtype=object))
    with pytest.raises(VerificationError, match="'a' cannot be read"):
        TileFile(tmp_path / "pickle.npz")["a"]
    (tmp_path / "no.npz").write_bytes(b"PK no")
    with pytest.raises(VerificationError, match=r"not an \.npz file"):
        TileFile(tmp_path / "no.npz")


def test_a_short_file_that_names_billions_of_pins_is_refused(tmp_path: Path) -> None:
    data = small().to_json()
    _set(data, "999999999x999999999", "crossbar")
    for place in (("buses", 0, "width"), ("matrices", 0, "inputs")):
        _set(data, 900_000_000, *place)
    _set(data, "0:900000000", *_TILE, "rows")
    (tmp_path / "n.json").write_text(json.dumps(data))
    with pytest.raises(VerificationError, match=r"netlist: 900,000,00\d wires; this gscompile reads up to"):
        read_netlist(tmp_path / "n.json")


_WORDS = st.sampled_from(["", "t", "0:1", "0:1,3:4", "1:", "0:1,", " 0:1", "0:1\n", "12345678901:1", "٣:٤"])


@given(st.dictionaries(st.sampled_from(["name", "rows", "cols", "array"]), st.one_of(_WORDS, st.integers())))
def test_a_tile_that_is_seen_to_be_plain_is_one_by_the_schema(tile: Json) -> None:
    if is_plain_tile(tile):
        schema = netlist_schema()
        jsonschema.validate(tile, {**schema["$defs"]["tile"], "$defs": schema["$defs"]})


def test_plain_tiles_are_seen_to_be() -> None:
    assert is_plain_tile({"name": "fc/0_0", "rows": "0:2,5:6", "cols": "0:1"})
    assert not is_plain_tile({"name": "fc/0_0", "rows": "0:2,5", "cols": "0:1"})


def test_compressed_tiles_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "t.npz", a=np.zeros(1000))
    with pytest.raises(VerificationError, match=r"'a\.npy' is compressed or encrypted"):
        TileFile(tmp_path / "t.npz")


@given(st.integers(0, 5000), st.integers(1, 255))
def test_a_byte_that_changed_is_noticed_or_changes_nothing(where: int, by: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.npz"
        write_tiles(iter(tiles().items()), path)
        data = bytearray(path.read_bytes())
        data[where % len(data)] ^= by
        path.write_bytes(data)
        with suppress(VerificationError):
            found = TileFile(path)
            check_tiles(small(), found)
            for name, wanted in tiles().items():
                np.testing.assert_array_equal(found[name], wanted)
