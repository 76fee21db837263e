"""The output folder is there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from gscompile.errors import OutputError
from gscompile.files import staging as output
from gscompile.files.exchange import exchange
from gscompile.files.staging import check_apart, check_free, renewed, staged, write_file


def earlier(out: Path) -> Path:
    """An earlier output."""
    out.mkdir()
    (out / "netlist.json").write_text("old")
    return out


def test_a_folder_appears_when_all_is_written(tmp_path: Path) -> None:
    out = tmp_path / "net.gscompile"
    with staged(out, force=False) as folder:
        (folder / "a").write_text("new")
        assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert (out / "a").read_text() == "new"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError), staged(tmp_path / "out", force=False) as folder:
        (folder / "a").write_text(None)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="out: cannot be written: No space left on device"),
        staged(tmp_path / "out", False),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_refused_and_an_earlier_output_replaced_by_force(tmp_path: Path) -> None:
    out = earlier(tmp_path / "out")
    with pytest.raises(OutputError, match="exists; choose another with -o, or replace it with --force"):
        check_free(out, force=False)
    with staged(out, force=True) as folder:
        (folder / "a").write_text("new")
    assert [path.name for path in out.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_an_earlier_output_as_it_was(tmp_path: Path) -> None:
    out = earlier(tmp_path / "out")
    with pytest.raises(ZeroDivisionError), staged(out, force=True):
        raise ZeroDivisionError
    assert (out / "netlist.json").read_text() == "old"


def test_where_folders_cannot_change_places_the_earlier_one_moves_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "exchange", lambda *_: False)
    out = earlier(tmp_path / "out")
    with staged(out, force=True) as folder:
        (folder / "a").write_text("new")
    assert [path.name for path in out.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_two_folders_change_places(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"was {name}").touch()
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "was b").exists()
    assert (tmp_path / "b" / "was a").exists()
    assert not exchange(tmp_path / "a", tmp_path / "c")


def test_a_failing_rename_puts_the_earlier_output_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = earlier(tmp_path / "out")
    rename = Path.rename
    monkeypatch.setattr(output, "exchange", lambda *_: False)

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "broken disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="broken disk"), staged(out, force=True):
        pass
    assert (out / "netlist.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def renew(folder: Path, text: str) -> None:
    with renewed(folder, "place.json") as stage:
        (stage / "place.json").write_text(text)


def test_a_folder_within_an_output_is_replaced_as_a_whole(tmp_path: Path) -> None:
    place = tmp_path / "out" / "place"
    renew(place, "one")
    (place / "floorplan_before.svg").touch()
    renew(place, "two")
    assert [path.read_text() for path in place.iterdir()] == ["two"]
    assert [path.name for path in place.parent.iterdir()] == ["place"]


def test_what_others_put_where_it_would_be_stays(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "notes").write_text("mine")
    with pytest.raises(OutputError, match=r"place: cannot be written: it is there without a place\.json"):
        renew(tmp_path / "place", "new")
    assert (tmp_path / "place" / "notes").read_text() == "mine"


def test_what_killed_processes_left_is_removed_or_comes_back(tmp_path: Path) -> None:
    for name in (".place.7.partial", ".place.8.old", ".other.7.partial"):
        (tmp_path / name).mkdir()
    (tmp_path / ".place.8.old" / "place.json").write_text("old")
    with pytest.raises(ZeroDivisionError), renewed(tmp_path / "place", "place.json"):
        raise ZeroDivisionError
    assert (tmp_path / "place" / "place.json").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"place", ".other.7.partial"}


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not locked")
def test_two_that_write_at_once_wait_for_each_other(tmp_path: Path) -> None:
    place, second = tmp_path / "place", threading.Thread(target=renew, args=(tmp_path / "place", "second"))
    with renewed(place, "place.json") as stage:
        (stage / "place.json").write_text("first")
        second.start()
    second.join()
    assert (place / "place.json").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_force_replaces_nothing_but_an_earlier_output(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "file").write_text("precious")
    for name in ("precious", "file", "."):
        with pytest.raises(OutputError, match="not an output folder of gscompile; --force replaces nothing else"):
            check_free(tmp_path / name, force=True)


def test_a_parent_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for parent in ("file", "none"):
        with pytest.raises(OutputError, match=f"{parent}: no such folder to write out in"):
            check_free(tmp_path / parent / "out", force=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_parent_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        check_free(tmp_path / "out", force=False)


def test_force_leaves_an_output_that_holds_somebodys_notes(tmp_path: Path) -> None:
    out = earlier(tmp_path / "out")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"out: holds notes\.txt, which gscompile did not write"):
        check_free(out, force=True)
    (out / "report.json").write_text('{"files": {"notes.txt": ""}}')
    with pytest.raises(OutputError, match=r"holds notes\.txt"):  # a report that lists it does not tell what it is
        check_free(out, force=True)
    digest = hashlib.sha256(b"mine").hexdigest()
    (out / "report.json").write_text(json.dumps({"files": {"notes.txt": digest}}))
    check_free(out, force=True)


@pytest.mark.parametrize("place", ["simulate", "place", "point-1", "point-1/place"])
def test_force_leaves_an_output_whose_folders_hold_somebodys_notes(place: str, tmp_path: Path) -> None:
    out = earlier(tmp_path / "out")
    (out / place).mkdir(parents=True)
    (out / place / "cost.csv").write_text("ours")
    check_free(out, force=True)
    (out / place / "notes.txt").write_text("mine")
    with pytest.raises(OutputError) as refused:
        check_free(out, force=True)
    assert (
        str(refused.value) == f"{out}: holds {place}/notes.txt, which gscompile did not write; move it elsewhere first"
    )


def test_a_folder_with_the_name_of_a_file_is_somebodys(tmp_path: Path) -> None:
    out = earlier(tmp_path / "out")
    (out / "model.onnx").mkdir()
    with pytest.raises(OutputError, match=r"holds model\.onnx, which gscompile did not write"):
        check_free(out, force=True)


def test_notes_within_a_placement_stay(tmp_path: Path) -> None:
    renew(tmp_path / "place", "one")
    (tmp_path / "place" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"place: holds notes\.txt, which gscompile did not write"):
        renew(tmp_path / "place", "two")
    assert (tmp_path / "place" / "notes.txt").read_text() == "mine"


def test_a_folder_of_others_in_the_place_of_the_stage_stays(tmp_path: Path) -> None:
    theirs = tmp_path / f".out.{os.getpid()}.partial"
    theirs.mkdir()
    (theirs / "notes").touch()
    with pytest.raises(OutputError, match="out: cannot be written"), staged(tmp_path / "out", force=False):
        pass
    assert (theirs / "notes").exists()


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / f".small.onnx.{os.getpid()}.partial").symlink_to("theirs")
    write_file(tmp_path / "small.onnx", b"ours")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "small.onnx").read_bytes() == b"ours"


def test_a_linked_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(earlier(tmp_path / "out"))
    with pytest.raises(OutputError, match="link: is a symbolic link; expected a folder, or nothing"):
        check_free(tmp_path / "link", force=True)


def test_an_output_that_is_read_is_not_replaced(tmp_path: Path) -> None:
    out = earlier(tmp_path / "out")
    check_apart(out, [None, {"x": 1}, tmp_path / "model.onnx", "module:function"])
    with pytest.raises(OutputError, match=r"netlist\.json, which is read; choose another with -o"):
        check_apart(out, [out / "netlist.json"])


def test_links_with_the_names_of_leftovers_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / ".out.1.partial").symlink_to(tmp_path / "mine")
    output.tidy(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", ".out.1.partial"}
