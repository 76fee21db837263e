"""A training run that resumes from its checkpoint, shares its steps with other processes and is timed."""

from __future__ import annotations

import time

from gscompile.training.checkpoint import Checkpoints, NamedArrays
from gscompile.training.shared_run import share_run
from gscompile.training.training_run import TrainingRun, TrainingSetup


def train_from_checkpoint(run: TrainingRun, name: str, setup: TrainingSetup) -> float | None:
    """Train a run to its end, from the checkpoint of that name if there is one.

    Returns the measured seconds per step, without those of running the teacher on augmented samples; None if the
    checkpoint was the end of the run.
    """
    checkpoints, teacher = setup.run_context.checkpoints, setup.step.teacher
    state = _fitting_state(run, name, setup)
    if state is not None:
        run.restore(state)
    if run.over:
        return None
    share_run(run, state, setup.feeder.world)
    start, first, teacher_before = time.monotonic(), run.done, teacher.seconds
    run.train(lambda: _save_if_due(run, name, checkpoints))
    seconds = time.monotonic() - start - (teacher.seconds - teacher_before)
    if not run.cut_short:
        checkpoints.save(name, run.result())
    return seconds / max(run.done - first, 1)


def _fitting_state(run: TrainingRun, name: str, setup: TrainingSetup) -> NamedArrays | None:
    """Return the state that an interrupted compile has saved; None, with a message, if it is not one of this run."""
    state = setup.run_context.checkpoints.load(name)
    if state is not None and not run.fits(state):
        setup.progress.say(f"checkpoint {name} does not fit this training run: trained again")
        return None
    return state


def _save_if_due(run: TrainingRun, name: str, checkpoints: Checkpoints) -> None:
    if checkpoints.due:
        checkpoints.save(name, run.state())
