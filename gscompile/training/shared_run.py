"""Training runs that several processes train together: the first sends each run, the workers train along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from gscompile.graph.network import Network
from gscompile.training.checkpoint import NamedArrays
from gscompile.training.run_spec import RunSpec
from gscompile.training.training_run import TrainingRun, TrainingSetup
from gscompile.training.world import World


@dataclass(frozen=True)
class SharedRun:
    """The message that starts a training run in workers: ONNX bytes, specification, and the state to resume from."""

    model: bytes
    spec: RunSpec
    state: NamedArrays | None


def share_run(run: TrainingRun, state: NamedArrays | None, world: World) -> None:
    """Send a run to the workers, if there are any."""
    if world.size > 1:
        world.share(SharedRun(run.network.to_proto().SerializeToString(), run.spec, state))


def run_worker(setup: TrainingSetup) -> Any:
    """Train the runs that the first process sends, until it sends anything else; return that message."""
    while isinstance(message := setup.feeder.world.share(), SharedRun):
        network = Network.from_proto(onnx.ModelProto.FromString(message.model))
        run = TrainingRun(setup, network, message.spec)
        if message.state is not None:
            run.restore(message.state)
        run.train()
    return message
