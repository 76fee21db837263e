"""Passes: frozen dataclasses that turn a network into a smaller one and report their changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from gscompile.channels.dead_units import drop_dead_units
from gscompile.compression.pricing import Pricing
from gscompile.compression.size_budget import SizeBudget
from gscompile.crossbars.groups import Price
from gscompile.crossbars.mapping import Footprint, MapOptions, footprint
from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices
from gscompile.progress import Progress
from gscompile.scoring.score_budget import ScoreBudget

if TYPE_CHECKING:  # torch is handed to passes, never imported by them
    from gscompile.compression.moments import Moments
    from gscompile.compression.trainer import Trainer


UNITS = "units"  # `Change.what` of the removal of dead units
OUT_OF_TIME = "the time budget was over"  # a reason why a pass stopped


@dataclass(frozen=True)
class Change:
    """One thing a pass did to one layer, in words a report can print."""

    layer: str
    what: str
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class Stage:
    """The network after one pass, if the pass changed it, and the reason why the pass stopped there."""

    name: str
    network: Network
    is_changed: bool
    stopped: str = ""


@dataclass(frozen=True)
class PassResult:
    """The network that a pass returns, its changes, and the networks that earlier passes left."""

    network: Network
    changes: tuple[Change, ...] = ()
    stages: tuple[Stage, ...] = ()

    def after(self, earlier: PassResult) -> PassResult:
        """Return this result with the changes and stages of an earlier result before its own."""
        return replace(self, changes=(*earlier.changes, *self.changes), stages=(*earlier.stages, *self.stages))


def without_dead_units(network: Network) -> PassResult:
    """Remove dead units from a network, in place: channels, neurons and ranks that are zero or that nothing reads."""
    dropped = drop_dead_units(network)
    changes = tuple(Change(layer, UNITS, str(before), str(after)) for layer, before, after in dropped)
    stage = Stage("drop-dead-units", network, bool(changes), "every unit that is left carries a value that is read")
    return PassResult(network, changes, (stage,))


@dataclass(frozen=True)
class Context:
    """The state that passes share: the mapping, the budget, and the trainer if there is data.

    Args:
        mapping: Rules by which matrices are cut into tiles.
        max_error: Largest output error within the budget, relative to the range of the outputs; without data.
        drift: Function that returns the output error of a network; without data.
        drift_replacing: Function of a network that returns a function of a layer and other matrices for it, which
            returns the output error with these matrices, at the cost of one run; without data.
        trainer: Scores and fine-tunes networks; with data.
        moments: Function that returns the second moments of inputs and gradients of each layer; with data.
        refit: Function that solves for the weights of a compressed network without gradients; if there is no
            fine-tuning.
        loss: Function that returns the distance of a network's outputs from the original's on held-out samples; with
            `refit` and data.
        retrain: Function that trains what was solved for; with `refit` and fine-tuning.
        budget: Validation scores that are allowed; with data.
        effort: Factor of the epochs that may be spent.
        price: Prices of cells, wires and tiles, by `--minimize`.
        time_left: Function that returns the seconds until the search must end.
        max_recovery_seconds: Seconds that one recovery may plan for.
        seed: Seed of all that is random.
        later: Names of the passes that run after this one.
        untouchable: Origins of layers whose weights must stay as they are.
        progress: Display of the progress.
        size: Largest size that is asked for, if any.
        note: Function that takes a sentence for the report.
        stopped: Function that takes the reason why a pass ends its search; the last one is reported.
    """

    mapping: MapOptions
    max_error: float = 0.01
    drift: Callable[[Network], float] | None = None
    drift_replacing: Callable[[Network], Callable[[Layer, Matrices], float]] | None = None
    trainer: Trainer | None = None
    moments: Callable[[Network], Mapping[str, Moments]] | None = None
    refit: Callable[[Network], Network] | None = None
    loss: Callable[[Network], float] | None = None
    retrain: Callable[[Network], Network] | None = None
    budget: ScoreBudget = field(default=ScoreBudget(base=0.0, max_drop=0.0))
    effort: float = 1.0
    price: Pricing = field(default_factory=Pricing)
    time_left: Callable[[], float] = field(default=lambda: math.inf)
    max_recovery_seconds: float = math.inf
    seed: int = 0
    later: tuple[str, ...] = ()
    untouchable: frozenset[str] = frozenset()
    progress: Progress = field(default_factory=Progress)
    size: SizeBudget | None = None
    note: Callable[[str], None] = field(default=lambda _: None)
    stopped: Callable[[str], None] = field(default=lambda _: None)

    def required_trainer(self) -> Trainer:
        """Return the trainer, in code that runs only if there is data."""
        assert self.trainer is not None, "a pass trains without data"
        return self.trainer

    def ready_for_training(self) -> Context:
        """Return this context with the tuning loss in its budget, for a pass that compares scores with it.

        The learning rate is chosen for that, by short trials at the first call; the tuning loss comes from them.
        """
        chosen = self.required_trainer().choose_learning_rate()
        return replace(self, budget=replace(self.budget, tuning_loss=chosen.tuning_loss))

    def priced(self, network: Network) -> Price:
        """Return the price of cells, wires and tiles for this network."""
        return self.price(footprint(network, self.mapping))

    def saving(self, network: Network) -> Callable[[Network], float]:
        """Return a function of a smaller network that returns its saving, as a share of the price of `network`."""
        now = footprint(network, self.mapping)
        price = self.price(now)
        return lambda smaller: price.saved(now, footprint(smaller, self.mapping))

    def show(self, network: Network, score: float) -> Footprint:
        """Return the footprint of a network, after the progress display has shown it with its score."""
        now = footprint(network, self.mapping)
        self.progress.figures(accuracy=score, cells=now.cells, wires=now.wires)
        return now

    def out_of_time(self) -> bool:
        """Return True if the search must end with the best network so far."""
        return self.time_left() <= 0


class Pass(Protocol):
    """A frozen dataclass whose fields are its options, on the command line too."""

    @property
    def name(self) -> str: ...

    def run(self, network: Network, context: Context) -> PassResult:
        """Compress `network` and return the result. The pass owns `network` and may change it."""


def pass_results(network: Network, passes: Iterable[Pass], context: Context) -> Iterator[PassResult]:
    """Run passes in order, each on a copy; yield the network after each, with all changes so far."""
    total = PassResult(network)
    steps = [*passes]
    for number, step in enumerate(steps, 1):
        later = (*(each.name for each in steps[number:]), *context.later)
        reasons, start = list[str](), total.network.copy()
        with context.progress.stage(step.name):
            result = step.run(start, replace(context, later=later, stopped=reasons.append))
        is_changed = bool(result.changes) or result.network is not start
        stages = result.stages or (Stage(step.name, result.network, is_changed, reasons[-1] if reasons else ""),)
        total = replace(result, stages=stages).after(total)
        yield total


def run_passes(network: Network, passes: Iterable[Pass], context: Context) -> PassResult:
    """Run passes in order, each on a copy; return the last network with all changes."""
    last = PassResult(network)
    for result in pass_results(network, passes, context):
        last = result
    return last
