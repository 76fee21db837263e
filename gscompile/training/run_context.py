"""The circumstances of a run: its processes, its checkpoints and its deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gscompile.errors import UsageError
from gscompile.files.staging import check_free
from gscompile.options import Options
from gscompile.progress import Progress
from gscompile.training.checkpoint import Checkpoints, bring_back, checkpoints_of
from gscompile.training.parallel import joined, world_size
from gscompile.training.world import World


@dataclass(frozen=True, eq=False)
class RunContext:
    """The processes, checkpoints and deadline of a run. The default is one process, no checkpoints and no deadline."""

    world: World = field(default_factory=World)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    time_left: Callable[[], float] = lambda: math.inf

    def out_of_time(self) -> bool:
        """Return True if the run must end with the best result so far."""
        return self.time_left() <= 0


@contextmanager
def open_run(out: Path, options: Options, force: bool, resume: bool, progress: Progress) -> Iterator[RunContext]:
    """Open the run that `options` ask for. Raises OutputError if `out` cannot be made or another process makes it."""
    if options.nproc > 1 and world_size() == 1:
        raise UsageError("nproc: the command line starts processes; from Python, run the script by torchrun instead")
    until = deadline(options.seconds)
    with joined(options.device) as world:
        if world.rank:
            yield RunContext(world)
            return
        bring_back(out)
        check_free(out, force)
        with checkpoints_of(out, resume, progress) as checkpoints:
            yield RunContext(world, checkpoints, until)


def deadline(seconds: float | None) -> Callable[[], float]:
    """Return a function that returns how many of these seconds are left, counted from now; infinity for None."""
    end = math.inf if seconds is None else time.monotonic() + seconds
    return lambda: end - time.monotonic()
