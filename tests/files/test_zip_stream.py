"""What is written front to back, Python's own zip reader and numpy's take."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gscompile.files import zip_stream
from gscompile.files.zip_stream import write_zip

MEMBERS = {"a.npy": b"abc", "dir/ü\n.npy": b"", "z": bytes(range(256))}


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_members_are_read_back_and_bytes_are_equal(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        write_zip(MEMBERS.items(), tmp_path / name)
    assert read(tmp_path / "one.zip") == MEMBERS
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.parametrize("large", [2, 150])
def test_numbers_too_large_for_their_fields_are_read_back(
    large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 32 bits taken to end at 2, or 150, sizes or offsets alone go to the 64-bit fields."""
    data = {name: bytes(5) for name in ("a", "b", "c")}
    monkeypatch.setattr(zip_stream, "_LARGE", large)
    local, central = zip_stream.local_header, zip_stream.central_header
    monkeypatch.setattr(zip_stream, "local_header", lambda *a: _all_ones(local(*a), large))
    monkeypatch.setattr(zip_stream, "central_header", lambda *a: _all_ones(central(*a), large))
    write_zip(data.items(), tmp_path / "large.zip")
    assert read(tmp_path / "large.zip") == data


def _all_ones(header: bytes, large: int) -> bytes:
    """What the writer says for too large, as readers know it."""
    return header.replace(large.to_bytes(4, "little"), b"\xff" * 4)


def test_more_members_than_two_bytes_count(tmp_path: Path) -> None:
    write_zip(((f"{k}", b"") for k in range(70_000)), tmp_path / "many.zip")
    assert len(read(tmp_path / "many.zip")) == 70_000


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.arange(6).reshape(2, 3))
    write_zip([("x.npy", file.getvalue())], tmp_path / "x.npz")
    assert np.load(tmp_path / "x.npz")["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
