"""How long `gscompile --help` takes, and `gscompile inspect` of a ResNet-50.

Run by name: `python -m tests.benchmarks.bench_start`. Seconds of the processor, the least of several runs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.measured import run
from tests.benchmarks.networks import resnet50
from tests.benchmarks.results import record

MOST, TIMES = {"--help": 0.3, "inspect": 2.0}, 3


def main() -> None:
    """Exits with 1 when a limit is passed."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "resnet50.onnx"
        resnet50(path)
        commands = {"--help": ["--help"], "inspect": ["inspect", str(path)]}
        least = {
            what: min(run("-m", "gscompile", *words).cpu_s for _ in range(TIMES)) for what, words in commands.items()
        }
        size = path.stat().st_size
    rows = [{"command": what, "s": took, "limit s": MOST[what]} for what, took in least.items()]
    print(*rows, sep="\n")
    record("start", f"the least of {TIMES} runs; the ResNet-50 has {size // 4:,} weights in one file.", rows)
    raise SystemExit(any(took > MOST[what] for what, took in least.items()))


if __name__ == "__main__":
    main()
