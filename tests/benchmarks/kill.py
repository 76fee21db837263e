"""A compile killed at 200 random moments: what is there afterwards verifies and is whole, or nothing is there.

Run by name: `python tests/benchmarks/kill.py [TIMES]`. The suite does the same at ten places chosen among all writes.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gscompile.errors import VerificationError
from gscompile.verify import sha256, verify_again

SAMPLE = Path(__file__).parents[2] / "samples/digits.onnx"
FILES = ("model.onnx", "netlist.json", "tiles.npz")


def compile_into(out: Path) -> subprocess.Popen[bytes]:
    command = ["-m", "gscompile", str(SAMPLE), "--crossbar", "16x16", "--max-error", "0.05", "-q", "--force"]
    return subprocess.Popen([sys.executable, *command, "-o", str(out)])


def digests(out: Path) -> list[str]:
    return [sha256(out / name) for name in FILES]


def main(times: int) -> None:
    """Exits with 1 at the first folder that is there and not whole."""
    rng, source = random.Random(0), sha256(SAMPLE)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        began = time.monotonic()
        assert compile_into(out).wait() == 0
        takes, wanted, there = time.monotonic() - began, digests(out), 0
        for _ in range(times):
            process = compile_into(out)
            time.sleep(rng.uniform(0, takes))
            process.kill()
            process.wait()
            assert sha256(SAMPLE) == source
            if out.exists():
                there += 1
                verify(out, wanted)
        assert compile_into(out).wait() == 0
        verify(out, wanted)
    print(f"{times} kills: the folder was there {there} times, and whole each time")


def verify(out: Path, wanted: list[str]) -> None:
    try:
        verify_again(out)
    except VerificationError as wrong:
        raise SystemExit(f"after a kill: {wrong}") from wrong
    if digests(out) != wanted:
        raise SystemExit("after a kill: another network than that of a compile left alone")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
