"""The plan of time: how long a recovery may take, and how much time a round needs before it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gscompile.compression.passes import Context
from gscompile.compression.throughput import Throughput
from gscompile.search.settings import BATCH_NORM_STEP_TIME, SearchSettings


def sharing_time(context: Context, settings: SearchSettings) -> Context:
    """Return a context whose recoveries leave time for those of smaller networks: each plans for a third at most."""
    return replace(context, max_recovery_seconds=context.time_left() / settings.max_recovery_share)


@dataclass(frozen=True)
class TimePlan:
    """Convert between epochs and seconds by the trainer's last measurement, and share the time that is left.

    Without a time budget there is always time. Before the first training run its duration is unknown and taken as 0.
    """

    context: Context
    settings: SearchSettings

    @property
    def reinserts_batch_norm(self) -> bool:
        """Return True if recoveries train with batch normalization reinserted."""
        return self.settings.reinsert_batch_norm and self.context.required_trainer().can_reinsert_batch_norm

    @property
    def throughput(self) -> Throughput:
        """Return the speed of a recovery, as measured in the last training run."""
        measured = self.context.required_trainer().throughput
        return replace(measured, epoch=BATCH_NORM_STEP_TIME * measured.epoch) if self.reinserts_batch_norm else measured

    @property
    def planned_epochs(self) -> float:
        """Return the epochs of a recovery: as the options say, in at most `max_recovery_seconds`."""
        epochs = self.settings.recovery_epochs * self.context.effort
        return min(epochs, self.throughput.epochs(self.context.max_recovery_seconds))

    @property
    def recovery_seconds(self) -> float:
        """Return the duration of a recovery of `planned_epochs`."""
        return self.throughput.seconds(self.planned_epochs)

    @property
    def round_seconds(self) -> float:
        """Return the seconds that must be left for a round and the recovery after it."""
        return min(self.settings.round_time * self.recovery_seconds, self.context.max_recovery_seconds)

    @property
    def first_round_seconds(self) -> float:
        """Return the seconds that must be left for the first round of a trajectory and the shortest recovery."""
        return self.settings.first_round_time * self.recovery_seconds

    def reserved_seconds(self, is_last: bool) -> float:
        """Return the seconds that are kept for the shortest recovery of a larger candidate, unless there is none."""
        return 0.0 if is_last else self.settings.min_recovery_time * self.recovery_seconds

    def epochs_in(self, seconds: float) -> float:
        """Return the epochs that fit into so many seconds, with a tenth to spare."""
        return self.throughput.epochs(self.settings.usable_time * seconds)

    def affordable_epochs(self, is_last: bool) -> float:
        """Return the epochs of the next recovery: as planned, or all that fit if no round could follow it."""
        is_measured = self.recovery_seconds > 0
        left = self.context.time_left()
        if not is_measured or left - self.recovery_seconds > self.round_seconds:
            return self.planned_epochs
        with_reserve = self.epochs_in(left - self.reserved_seconds(is_last))
        return max(min(self.planned_epochs, self.epochs_in(left)), with_reserve)
