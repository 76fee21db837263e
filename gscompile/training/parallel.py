"""Start several processes that train together, and find out which of them this one is.

The first process does all the work except for the training steps, which are shared. It sends each training run to the
others; every process computes its share of each batch, and gradients are averaged. All decisions are made in the first
process, whatever machines the others run on.

`launch` starts processes on this machine, which communicate over the loopback interface only; torchrun starts them on
any machines. Both number the processes in environment variables.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from gscompile.training.installed import check_torch
from gscompile.training.world import AGAIN, LostError, World

_GRACE = 30.0  # seconds for the first process to print its error


@contextmanager
def joined(device: str = "cpu") -> Iterator[World]:
    """Join the processes that were started together; the result is a world of one process if there are no others."""
    if world_size() == 1:
        yield World()
        return
    check_torch()
    from gscompile.training.process_group import group

    _end_with_launcher()
    with group(device) as world:
        yield world


def world_size() -> int:
    """Return the number of processes that were started together."""
    return _number("WORLD_SIZE", 1) if "RANK" in os.environ else 1


def is_first() -> bool:
    """Return True if this process prints and writes."""
    return world_size() == 1 or _number("RANK", 0) == 0


def is_launched() -> bool:
    """Return True if `launch` started this process and reports the loss of another one."""
    return "GSCOMPILE_LIFELINE" in os.environ


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


# -- starting ---------------------------------------------------------------------------------------------------


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run `gscompile ARGUMENTS` in `count` processes that train together; return the exit code of the first one.

    When a process is lost, the others are ended. Raises KeyboardInterrupt after all have ended.
    """
    read, write = os.pipe()  # the processes end when this one does: then the pipe closes
    with tempfile.TemporaryDirectory(prefix="gscompile-", ignore_cleanup_errors=True) as folder:
        shared = worker_environment(count, Path(folder) / "rendezvous", read)
        try:
            children = [_start(rank, arguments, shared, read) for rank in range(count)]
            return _watch(children)
        finally:
            os.close(read)
            os.close(write)


def _start(rank: int, arguments: Sequence[str], shared: Mapping[str, str], lifeline: int) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own: Ctrl-C reaches the launcher alone, which passes it on once."""
    return subprocess.Popen(
        [sys.executable, "-m", "gscompile", *arguments],
        env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        stdin=subprocess.DEVNULL,
        pass_fds=(lifeline,),
        start_new_session=True,
    )


def worker_environment(count: int, rendezvous: Path, lifeline: int) -> dict[str, str]:
    """Return the environment variables by which `count` processes of this machine find each other."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "OMP_NUM_THREADS": str(max(1, cores // count)),  # unless the user has set it
        **os.environ,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GSCOMPILE_RENDEZVOUS": str(rendezvous),
        "GSCOMPILE_LIFELINE": str(lifeline),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }


def _watch(children: Sequence[subprocess.Popen[bytes]]) -> int:
    try:
        return common_exit_code(_codes(children))
    except KeyboardInterrupt as problem:
        for child in children:
            child.send_signal(getattr(problem, "signal", signal.SIGINT))
        _wait(children, _GRACE)
        raise
    finally:
        for child in children:
            child.kill()
            child.wait()


def _codes(children: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """Wait until all processes have succeeded or one has failed; return exit codes, None for a running process."""
    while all(child.poll() in (None, 0) for child in children):
        if all(child.returncode == 0 for child in children):
            break
        time.sleep(0.05)
    if all((child.returncode or 0) >= 0 for child in children):  # an error, which the first process prints
        _wait(children[:1], _GRACE)
    return [child.poll() for child in children]


def _wait(children: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(child.poll() is None for child in children) and time.monotonic() < end:
        time.sleep(0.05)


def common_exit_code(codes: Sequence[int | None]) -> int:
    """Return the exit code of the first process. Raises LostError if it was ended without one of its own."""
    first = codes[0]
    if first is not None and first >= 0 and first != LostError.exit_code:
        return first
    rank, code = next(
        ((rank, code) for rank, code in enumerate(codes) if code is not None and code not in (0, LostError.exit_code)),
        (0, LostError.exit_code),
    )
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    raise LostError(f"process {rank + 1} of {len(codes)} {how}; {AGAIN}")


def _end_with_launcher() -> None:
    """Exit as soon as the launcher is gone, so that no process is left behind."""
    lifeline = _number("GSCOMPILE_LIFELINE", -1)
    if lifeline >= 0:
        threading.Thread(target=_leave_after, args=(lifeline,), daemon=True).start()


def _leave_after(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written; the call returns when the other end is closed
    os._exit(LostError.exit_code)
