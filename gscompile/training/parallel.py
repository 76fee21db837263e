"""More than one process: starting them, and what they have in common. One process alone is the simplest case.

The first process does all the work but for the steps of training, which are shared: for each run the others are
told the network and what to do, every process takes its part of each batch, and gradients are averaged. So the
search decides once, whatever machines the others run on.

`launch` starts processes on this machine, which talk over the loopback interface only; torchrun starts them
anywhere. Either says in the environment who is who.
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

_GRACE = 30.0  # seconds in which the first process may say what is wrong


@contextmanager
def joined(device: str = "cpu") -> Iterator[World]:
    """The processes that were started together; a world of one where none were."""
    if world_size() == 1:
        yield World()
        return
    check_torch()
    from gscompile.training.process_group import group

    _end_with_launcher()
    with group(device) as world:
        yield world


def world_size() -> int:
    """How many processes were started together."""
    return _number("WORLD_SIZE", 1) if "RANK" in os.environ else 1


def is_first() -> bool:
    """Return whether this process prints and writes."""
    return world_size() == 1 or _number("RANK", 0) == 0


def is_launched() -> bool:
    """Return whether `launch` started this process and reports the loss of another."""
    return "GSCOMPILE_LIFELINE" in os.environ


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


# -- starting ---------------------------------------------------------------------------------------------------


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run `gscompile ARGUMENTS` in `count` processes that train together; returns the exit code.

    The first one speaks for all. When one is lost the others end. Raises KeyboardInterrupt once they have ended.
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
    """In a session of its own: Ctrl-C reaches the launcher alone, which passes it on once."""
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
        "OMP_NUM_THREADS": str(max(1, cores // count)),  # unless the user says otherwise
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
    """Exit codes, once all have ended well or one has not; None for those still at work."""
    while all(child.poll() in (None, 0) for child in children):
        if all(child.returncode == 0 for child in children):
            break
        time.sleep(0.05)
    if all((child.returncode or 0) >= 0 for child in children):  # an error: the first process says which
        _wait(children[:1], _GRACE)
    return [child.poll() for child in children]


def _wait(children: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(child.poll() is None for child in children) and time.monotonic() < end:
        time.sleep(0.05)


def common_exit_code(codes: Sequence[int | None]) -> int:
    """Return the exit code of all processes. Raises LostError unless the first ended well or said what is wrong."""
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
    """Leave at once when the launcher is gone, so that nothing works on unseen."""
    lifeline = _number("GSCOMPILE_LIFELINE", -1)
    if lifeline >= 0:
        threading.Thread(target=_leave_after, args=(lifeline,), daemon=True).start()


def _leave_after(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: it returns when the other end is closed
    os._exit(LostError.exit_code)
