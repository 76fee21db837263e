"""What a program takes: seconds of the processor, and the most memory it ever held."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """`cpu_s` of user and system together; `anonymous` and `resident` are peaks in bytes.

    Resident counts mapped files, which the system takes back when it wants; anonymous is memory proper.
    """

    cpu_s: float
    wall_s: float
    anonymous: int
    resident: int


def run(*command: str) -> Taken:
    """Run a program to its end; exits when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], env=os.environ | {"OMP_NUM_THREADS": "1"})
    anonymous = resident = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if command[-1] in _read(process.pid, "cmdline"):  # before that it is a copy of this process
            status = _read(process.pid, "status")
            anonymous, resident = max(anonymous, _field(status, "RssAnon")), max(resident, _field(status, "VmHWM"))
        time.sleep(0.02)
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"{' '.join(command)}: status {code}")
    return Taken(usage.ru_utime + usage.ru_stime, time.perf_counter() - start, anonymous, resident)


def _read(process: int, name: str) -> str:
    try:
        return Path(f"/proc/{process}/{name}").read_text("utf-8", "replace")
    except OSError:
        return ""


def _field(status: str, name: str) -> int:
    """A figure of /proc/PID/status in bytes; 0 where it is not there."""
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name)), 0)
