"""Coverage-guided fuzzing of harnesses, one after the other, with atheris: `python -m tests.fuzz.fuzz NAME=SECONDS...`.

Seconds are of the processor, for machines are shared; a case has ten of them and 2 GB. A harness begins with the corpus of
its name and does not add to it; a case that is found ends it and is written to `tests/fuzz/found/NAME-...`, where the suite
tries it from then on. A line that begins with == says what a harness took. `pip install atheris` first.
"""

from __future__ import annotations

import logging
import os
import resource
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
LARGE_MB, STEP_MB = 400, 100  # a case that takes the process there, and further, is kept in the temporary folder
STUCK_S = 900  # of the clock, where code that is not Python never comes back


def scratch(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"gscompile-fuzz-{name}"


def too_slow(*_: object) -> None:
    raise RuntimeError(f"a case took more than {MOST_S} s")


class Meter:
    """Feeds a harness until its time is over; then the process ends, for atheris cannot end well in a fork."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.end, self.cases, self.peak = name, time.process_time() + seconds, 0, 0

    def __call__(self, data: bytes) -> None:
        signal.setitimer(signal.ITIMER_PROF, MOST_S)
        try:
            feed(self.name, data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.cases += 1
        if (peak := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10) > max(LARGE_MB, self.peak):
            (scratch(self.name).with_suffix(f".{peak}MB")).write_bytes(data)  # to be looked at
            self.peak = peak + STEP_MB
        if time.process_time() > self.end:
            self.tell()
            os._exit(0)

    def tell(self) -> None:
        taken = resource.getrusage(resource.RUSAGE_SELF)
        spent, memory = taken.ru_utime + taken.ru_stime, taken.ru_maxrss >> 10
        print(f"== {self.name}: {self.cases} cases in {spent:.0f} s of the processor, {memory} MB at most")
        sys.stdout.flush()


def fuzz(name: str, seconds: float) -> None:
    """Fuzz one harness; does not return."""
    limits = [f"-timeout={STUCK_S}", "-rss_limit_mb=2048", "-max_len=4096"]
    found = f"-artifact_prefix={HERE}/found/{name}-"
    scratch(name).mkdir(exist_ok=True)
    atheris.Setup(
        [sys.argv[0], *limits, found, str(scratch(name)), str(HERE / "corpus" / name)],
        Meter(name, seconds),
        custom_mutator=lambda data, most, seed: mutated(name, data, most, seed, atheris.Mutate),
    )
    atheris.Fuzz()


def main(tasks: list[str]) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    signal.signal(signal.SIGPROF, too_slow)
    (HERE / "found").mkdir(exist_ok=True)
    for name, _, seconds in (task.partition("=") for task in tasks):
        child = os.fork()  # atheris fuzzes once in a process, and instrumenting takes a while
        if not child:
            fuzz(name, float(seconds or 600))
        if os.waitpid(child, 0)[1]:
            print(f"== {name}: ended before its time", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
