"""Coverage-guided fuzzing of harnesses, one after the other, with atheris: `python tests/fuzz/fuzz.py NAME=SECONDS...`.

Ten seconds of the processor and 2 GB for a case. It begins with the corpus of that name and does not add to it; a case
that is found ends the harness and is written to `tests/fuzz/found/NAME-...`, where the suite tries it from then on. At
the end a line a harness says what it took. `pip install atheris` first.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gscompile", "onnx_ir", "zipfile", "tomllib", "json"]):
    from tests.fuzz.harnesses import feed
from tests.fuzz.mutators import mutated

HERE = Path(__file__).parent
MOST_S = 10  # of the processor, for one case; libFuzzer's own limit is of the clock, and machines are shared
STUCK_S = 900  # of the clock, where code that is not Python never comes back


def too_slow(*_: object) -> None:
    raise RuntimeError(f"a case took more than {MOST_S} s")


def within_time(name: str, data: bytes) -> None:
    signal.setitimer(signal.ITIMER_PROF, MOST_S)
    try:
        feed(name, data)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def fuzz(name: str, seconds: str) -> None:
    """Fuzz one harness; does not return."""
    limits = [f"-timeout={STUCK_S}", "-rss_limit_mb=2048", f"-max_total_time={seconds}", "-max_len=4096"]
    found = f"-artifact_prefix={HERE}/found/{name}-"
    scratch = Path(tempfile.gettempdir()) / f"gscompile-fuzz-{name}"
    scratch.mkdir(exist_ok=True)
    atheris.Setup(
        [sys.argv[0], *limits, found, "-print_final_stats=1", str(scratch), str(HERE / "corpus" / name)],
        lambda data: within_time(name, data),
        custom_mutator=lambda data, most, seed: mutated(name, data, most, seed, atheris.Mutate),
    )
    atheris.Fuzz()


def in_a_process(name: str, seconds: str) -> str:
    """What fuzzing one harness took. A process of its own: atheris fuzzes once, instrumenting takes a while."""
    began = time.perf_counter()
    child = os.fork()
    if not child:
        fuzz(name, seconds)
    _, status, taken = os.wait4(child, 0)
    spent, wall = taken.ru_utime + taken.ru_stime, time.perf_counter() - began
    ended = "clean" if not status else f"ENDED BY {os.waitstatus_to_exitcode(status)}"
    return f"{name}: {ended}, {wall:.0f} s, {spent:.0f} s of the processor, at most {taken.ru_maxrss >> 10} MB"


def main(tasks: list[str]) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    signal.signal(signal.SIGPROF, too_slow)
    (HERE / "found").mkdir(exist_ok=True)
    lines = [in_a_process(*task.split("=", 1)) for task in tasks]
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
