"""The whole suite, or the parts that are named: `python -m tests.benchmarks [NAME...]`, as in `netlists start`.

Each benchmark is a process of its own, writes what it found to `results.json` and the page, and ends with 1 where a limit
is passed. `steps` is pytest-benchmark's: `pip install '.[bench]'`. Needs 14 GB of disk and half an hour of one core.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.checkout import environment

HERE = Path(__file__).parent
NAMES = ("start", "netlists", "steps", "execute", "encoder", "larger_than_memory", "long_run")


def command(name: str) -> list[str]:
    return [sys.executable, *(["-m", "pytest"] if name == "steps" else []), str(HERE / f"bench_{name}.py")]


def main(names: Sequence[str]) -> None:
    """Exits with 1 when a limit is passed, or there is no such benchmark."""
    if unknown := set(names) - {*NAMES}:
        raise SystemExit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    env = environment(OMP_NUM_THREADS="1")
    failed = [name for name in names or NAMES if subprocess.run(command(name), env=env, check=False).returncode]
    if failed:
        raise SystemExit(f"beyond their limits, or ended early: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
