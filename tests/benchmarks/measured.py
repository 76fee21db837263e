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
    anonymous = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        anonymous = max(anonymous, _anonymous(process.pid))
        time.sleep(0.02)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    seconds = usage.ru_utime + usage.ru_stime
    return Taken(seconds, time.perf_counter() - start, anonymous, usage.ru_maxrss * 1024)


def _anonymous(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)
