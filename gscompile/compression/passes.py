"""Passes: values that turn a network into a smaller one and report their changes."""

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

if TYPE_CHECKING:  # torch is handed to passes, never imported by them
    from gscompile.compression.moments import Moments
    from gscompile.compression.trainer import Trainer


UNITS = "units"  # what changes where dead units go
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
    """The network a pass returns, what it changed on the way, and the networks that earlier passes left."""

    network: Network
    changes: tuple[Change, ...] = ()
    stages: tuple[Stage, ...] = ()

    def after(self, earlier: PassResult) -> PassResult:
        """Return this result with the changes and stages of an earlier result before its own."""
        return replace(self, changes=(*earlier.changes, *self.changes), stages=(*earlier.stages, *self.stages))


def without_dead_units(network: Network) -> PassResult:
    """The network, changed in place, without channels, neurons and ranks that carry nothing or that nothing reads."""
    dropped = drop_dead_units(network)
    changes = tuple(Change(layer, UNITS, str(before), str(after)) for layer, before, after in dropped)
    stage = Stage("drop-dead-units", network, bool(changes), "every unit that is left carries a value that is read")
    return PassResult(network, changes, (stage,))


@dataclass(frozen=True)
class Context:
    """The state that passes share: how matrices are cut, the budget, and the trainer where there is data.

    `trainer` and `floor`, the lowest validation score within the budget in percent, are there with data;
    `moments` measures what the data does to each layer. Without data,
    `refit` solves for the weights of a compressed network without gradients, where nothing else is to tune them; `loss`
    then tells how far outputs are from the original's on samples that were held out.
    `drift` tells the output error of a candidate, relative to the outputs' range, and `max_error` bounds it;
    `drift_replacing` tells it for one network with other matrices in the place of a layer's, at the cost of a run.
    `blur` is the standard error of a score, in points: less than that is no difference.
    `effort` scales the epochs that may be spent; `price` tells what the search is paid for. `later` names the passes
    that run afterwards. `untouchable` has the origins of layers whose weights stay as they are. `longest` is how many
    seconds one recovery may plan for, where others may come. `size` is what the network may take at most, where that is
    asked for; `note` takes a sentence for the report. `stopped` takes the reason why a pass ends its search: the last
    one that a pass gives is reported.
    """

    mapping: MapOptions
    max_error: float = 0.01
    drift: Callable[[Network], float] | None = None
    drift_replacing: Callable[[Network], Callable[[Layer, Matrices], float]] | None = None
    trainer: Trainer | None = None
    moments: Callable[[Network], Mapping[str, Moments]] | None = None
    refit: Callable[[Network], Network] | None = None
    loss: Callable[[Network], float] | None = None
    floor: float = 0.0
    effort: float = 1.0
    price: Pricing = field(default_factory=Pricing)
    time_left: Callable[[], float] = field(default=lambda: math.inf)
    longest: float = math.inf
    blur: float = 0.0
    seed: int = 0
    later: tuple[str, ...] = ()
    untouchable: frozenset[str] = frozenset()
    progress: Progress = field(default_factory=Progress)
    size: SizeBudget | None = None
    note: Callable[[str], None] = field(default=lambda _: None)
    stopped: Callable[[str], None] = field(default=lambda _: None)

    @property
    def bar(self) -> float:
        """Return the score above which a full recovery is expected to reach `floor`."""
        return self.floor - (self.trainer.toll if self.trainer else 0.0)

    def priced(self, network: Network) -> Price:
        """Return the price of cells, wires and tiles for this network."""
        return self.price(footprint(network, self.mapping))

    def saving(self, network: Network) -> Callable[[Network], float]:
        """Tells how much less than this network another one takes, as a share of the worth of this one."""
        now = footprint(network, self.mapping)
        price = self.price(now)
        return lambda smaller: price.saved(now, footprint(smaller, self.mapping))

    def told(self, network: Network, score: float) -> Footprint:
        """Return the footprint of a network and report it, with its score, to the progress display."""
        now = footprint(network, self.mapping)
        self.progress.figures(accuracy=score, cells=now.cells, wires=now.wires)
        return now

    def out_of_time(self) -> bool:
        """Return whether the search must end with the best so far; `time_left` is in seconds."""
        return self.time_left() <= 0


class Pass(Protocol):
    """A frozen dataclass whose fields are its options, on the command line too."""

    @property
    def name(self) -> str: ...

    def run(self, network: Network, context: Context) -> PassResult:
        """Compress `network`, which is the pass's own and may be changed."""


def pass_results(network: Network, passes: Iterable[Pass], context: Context) -> Iterator[PassResult]:
    """Run passes in order, each on a copy; yield after each of them its network and what was changed so far."""
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
    """Run passes in order, each on a copy, and gather what they changed."""
    last = PassResult(network)
    for result in pass_results(network, passes, context):
        last = result
    return last
