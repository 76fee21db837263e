"""Weights that stay in their files, and whose pages this process can let go of while it goes on using them.

Pages of mapped files count as memory of the process as long as they are mapped, though the system takes them back when
it wants. They are let go of through the mapping itself, which is there as long as it is asked: an address that was read
somewhere could be another's by then.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

MAX_MAPPED_BYTES = 128 << 20  # bytes of mapped files that may stay in memory
RELEASE_SECONDS = 0.02  # seconds
_LOCK = threading.Lock()
_MAPS: dict[int, weakref.ref[mmap.mmap]] = {}


class MappedTensor(ir.ExternalTensor):
    """A tensor in a file, mapped when it is looked at."""

    @classmethod
    def of(cls, tensor: ir.ExternalTensor, folder: Path | None = None) -> MappedTensor:
        """The same tensor, in `folder` where that is told."""
        return cls(
            tensor.location,
            tensor.offset,
            tensor.length,
            tensor.dtype,
            shape=tensor.shape,
            name=tensor.name,
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
            base_dir=folder or tensor.base_dir,
        )

    def numpy(self) -> NDArray[Any]:
        first = self.raw is None
        array = super().numpy()
        if first and self.raw is not None:
            _remember(self.raw)
        return array


def _remember(pages: mmap.mmap) -> None:
    key = id(pages)
    with _LOCK:
        _MAPS[key] = weakref.ref(pages, lambda gone: _forget(key, gone))


def _forget(key: int, gone: weakref.ref[mmap.mmap]) -> None:
    """Unless its number is another's by now. Without the lock: it may be called in whoever holds that."""
    if _MAPS.get(key) is gone:
        _MAPS.pop(key, None)


def let_go() -> None:
    """Whoever looks at the weights gets their pages back, from the file or from the system's copy of it."""
    with _LOCK:
        alive = [pages for reference in list(_MAPS.values()) if (pages := reference()) is not None]
    for pages in alive:
        with suppress(OSError, ValueError, AttributeError):  # closed by now, or a system that cannot
            pages.madvise(mmap.MADV_DONTNEED)


@contextmanager
def kept_small() -> Iterator[None]:
    """Within, mapped weights do not fill the memory of this process."""
    done = threading.Event()
    keeper = threading.Thread(target=_keep_small, args=(done,), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def _keep_small(done: threading.Event) -> None:
    while not done.wait(RELEASE_SECONDS):
        with suppress(OSError, ValueError):  # this system does not tell
            if _resident_files() > MAX_MAPPED_BYTES:
                let_go()


def _resident_files() -> int:
    text = Path("/proc/self/statm").read_text("ascii")
    return int(text.split()[2]) * os.sysconf("SC_PAGE_SIZE")
