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
    """Alone, keeping nothing, without an end, unless told otherwise."""

    world: World = field(default_factory=World)
    journal: Checkpoints = field(default_factory=Checkpoints)
    time_left: Callable[[], float] = lambda: math.inf

    def out_of_time(self) -> bool:
        """Return whether the run must end with the best so far."""
        return self.time_left() <= 0


@contextmanager
def open_run(out: Path, options: Options, force: bool, resume: bool, progress: Progress) -> Iterator[RunContext]:
    """What `options` ask for. Raises OutputError where `out` cannot be made, or another process is making it."""
    if options.nproc > 1 and world_size() == 1:
        raise UsageError("nproc: the command line starts processes; from Python, run the script by torchrun instead")
    until = deadline(options.seconds)
    with joined(options.device) as world:
        if world.rank:
            yield RunContext(world)
            return
        bring_back(out)
        check_free(out, force)
        with checkpoints_of(out, resume, progress) as journal:
            yield RunContext(world, journal, until)


def deadline(seconds: float | None) -> Callable[[], float]:
    """Tells how many of these seconds are left, counted from now; without an end where there is none."""
    end = math.inf if seconds is None else time.monotonic() + seconds
    return lambda: end - time.monotonic()
