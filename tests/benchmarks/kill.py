"""A compile killed at 200 random moments: what is there afterwards verifies and is whole, or nothing is there.

Run by name: `python -m tests.benchmarks.kill [TIMES]`. A compile that replaces an earlier output is started and killed,
again and again; processes are forked, since imports take longer than the compile. The suite does the same at ten places
chosen among all writes.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from gscompile.cli import main as gscompile_main
from gscompile.errors import VerificationError
from gscompile.judging.files_check import sha256
from gscompile.judging.verify import verify_again

SAMPLE = Path(__file__).parents[2] / "samples/digits.onnx"
FILES = ("model.onnx", "netlist.json", "tiles.npz")


def start(work: Callable[[], None]) -> int:
    """A process of its own that does the work."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            print(end.code if isinstance(end.code, str) else "", end="", flush=True)
        finally:
            os._exit(code)  # a fork has none of the threads that libraries would wait for
    return child


def compile_into(out: Path) -> int:
    words = [str(SAMPLE), "--crossbar", "16x16", "--max-error", "0.05", "-q", "--force", "-o", str(out)]
    return start(lambda: gscompile_main(words))


def end_of(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digests(out: Path) -> list[str]:
    return [sha256(out / name) for name in FILES]


def main(times: int) -> None:
    """Exits with 1 at the first folder that is there and not whole."""
    import_module("gscompile.driver")  # once, and not in every fork
    rng, source, began = random.Random(0), sha256(SAMPLE), time.process_time()
    with tempfile.TemporaryDirectory() as name:
        out, there, hit = Path(name) / "out", 0, 0
        takes = time_of(out)
        wanted = digests(out)
        for _ in range(times):
            process = compile_into(out)
            time.sleep(rng.uniform(0, takes))
            os.kill(process, signal.SIGKILL)
            hit += end_of(process) == -signal.SIGKILL
            assert sha256(SAMPLE) == source
            if out.exists():
                there += 1
                check(out, wanted)
        assert end_of(compile_into(out)) == 0
        check(out, wanted)
        left = sorted(path.name for path in Path(name).iterdir())
    spent = time.process_time() - began + sum(os.times()[2:4])
    print(f"{times} kills, {hit} before the compile had ended: the folder was there {there} times, and whole each time")
    print(f"left beside it after one more compile: {left[1:] or 'nothing'}; {spent:.0f} s of the processor")


def time_of(out: Path) -> float:
    """Seconds of the clock that a compile takes which replaces another."""
    assert end_of(compile_into(out)) == 0
    began = time.monotonic()
    assert end_of(compile_into(out)) == 0
    return time.monotonic() - began


def verify(out: Path) -> None:
    try:
        verify_again(out)
    except VerificationError as wrong:
        raise SystemExit(f"after a kill: {wrong}") from wrong


def check(out: Path, wanted: list[str]) -> None:
    if end_of(start(lambda: verify(out))):
        raise SystemExit("after a kill: the folder does not verify")
    if digests(out) != wanted:
        raise SystemExit("after a kill: another network than that of a compile left alone")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
