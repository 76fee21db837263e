"""Pages of mapped weights are let go of, and nothing else is."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from gscompile.onnx_files import mapped_tensor as mapped
from gscompile.onnx_files.mapped_tensor import MappedTensor, kept_small, let_go

SIZE = 1 << 20
LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux how much is resident")


def tensor(path: Path) -> MappedTensor:
    return MappedTensor(
        path.name, 0, 4 * SIZE, ir.DataType.FLOAT, shape=ir.Shape([SIZE]), name="w", base_dir=path.parent
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.arange(SIZE, dtype=np.float32).tofile(tmp_path / "w")
    return tmp_path / "w"


@LINUX
def test_pages_that_were_let_go_of_come_back_when_they_are_looked_at(path: Path) -> None:
    array = tensor(path).numpy()  # which outlives the tensor
    assert array.sum(dtype=np.float64) == SIZE * (SIZE - 1) / 2
    before = mapped._resident_files()
    let_go()
    assert mapped._resident_files() <= before - 3 * SIZE
    assert array.sum(dtype=np.float64) == SIZE * (SIZE - 1) / 2


def test_memory_that_comes_where_a_file_was_mapped_stays_as_it_is(path: Path) -> None:
    """What is mapped comes and goes while pages are let go of: the system gives its addresses to arrays."""
    done = threading.Event()

    def keep_letting_go() -> None:
        while not done.is_set():
            let_go()

    keeper = threading.Thread(target=keep_letting_go)
    keeper.start()
    try:
        for _ in range(300):
            assert tensor(path).numpy()[-1] == SIZE - 1
            held: list[NDArray[np.float32]] = [np.ones(SIZE, np.float32) for _ in range(2)]
            assert all(array.all() for array in held)
    finally:
        done.set()
        keeper.join()


@LINUX
def test_pages_are_let_go_of_as_soon_as_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()
    monkeypatch.setattr(mapped, "MAX_MAPPED_BYTES", 0)
    monkeypatch.setattr(mapped, "let_go", seen.set)
    with kept_small():
        assert seen.wait(60)


def test_what_is_unmapped_is_forgotten(path: Path) -> None:
    known = len(mapped._MAPS)
    first = tensor(path)
    first.numpy()
    first.numpy()
    assert len(mapped._MAPS) == known + 1
    first.release()
    let_go()
    del first
    assert len(mapped._MAPS) == known
