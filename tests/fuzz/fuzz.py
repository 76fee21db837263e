"""Coverage-guided fuzzing of one harness, with atheris: `python tests/fuzz/fuzz.py NAME [SECONDS]`.

Ten seconds and 2 GB for a case. It begins with the corpus of that name and does not add to it; a case that is found
is written to `tests/fuzz/found/NAME-...`, where the suite tries it from then on. `pip install atheris` first.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gscompile", "zipfile", "tomllib", "json"]):
    from tests.fuzz.harnesses import feed

HERE = Path(__file__).parent


def main(name: str, seconds: str = "600") -> None:
    (HERE / "found").mkdir(exist_ok=True)
    limits = ["-timeout=10", "-rss_limit_mb=2048", f"-max_total_time={seconds}", "-max_len=4096"]
    found = f"-artifact_prefix={HERE}/found/{name}-"
    scratch = Path("/tmp") / f"gscompile-fuzz-{name}"
    scratch.mkdir(exist_ok=True)
    atheris.Setup(
        [sys.argv[0], *limits, found, "-print_final_stats=1", str(scratch), str(HERE / "corpus" / name)],
        lambda data: feed(name, data),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
