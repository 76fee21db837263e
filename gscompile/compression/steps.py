"""The steps of a compilation: the figures of every matrix after each of them, as the report records them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gscompile.compression.passes import Context, Stage
from gscompile.crossbars.mapping import MapOptions, footprint_of
from gscompile.crossbars.netlist import Matrix
from gscompile.graph.network import Layer, Network

INPUT, FOLD, MAPPING = "input", "fold", "mapping"  # steps beside the passes: first, perhaps second, and last


@dataclass(frozen=True)
class Factor:
    """The `parts` matrices [inputs, outputs] of one weighted layer, and the tiles, cells and wires of them all."""

    parts: int
    inputs: int
    outputs: int
    tiles: int
    cells: int
    wires: int


@dataclass(frozen=True)
class FactoredLayer:
    """A layer of the original network as a step left it: one factor, two after rank clipping, none if it is gone."""

    layer: str
    factors: tuple[Factor, ...]


@dataclass(frozen=True)
class CompileStep:
    """One step of a compilation.

    `layers` are the layers whose figures the step changed; the first step lists all layers. `score` is the validation
    score after the step in percent, where there is data. `error` is the output error after the step, relative to the
    output range, on the synthetic samples that the search used. `stopped` says why the step ended where it did.
    """

    name: str
    layers: tuple[FactoredLayer, ...]
    score: float | None = None
    error: float | None = None
    stopped: str = ""


State = Mapping[str, tuple[Factor, ...]]  # factors by layer of the original network


def state_of_network(network: Network, options: MapOptions) -> State:
    """Return the factors of every layer, with `options` for the cut into tiles."""
    found: dict[str, tuple[Factor, ...]] = {}
    for layer in network.layers:
        found[layer.origin] = (*found.get(layer.origin, ()), _factor(layer, options))
    return found


def _factor(layer: Layer, options: MapOptions) -> Factor:
    taken, layout = footprint_of([layer], options), layer.layout
    return Factor(layout.parts, layout.inputs, layout.outputs, taken.tiles, taken.cells, taken.wires)


def state_of_matrices(matrices: Iterable[Matrix], origins: Mapping[str, str]) -> State:
    """Return the factors that the matrices of a netlist are; `origins` maps layers to those of the original network."""
    by_layer: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        by_layer.setdefault(matrix.layer, []).append(matrix)
    found: dict[str, tuple[Factor, ...]] = {}
    for layer, parts in by_layer.items():
        tiles = sum(len(part.tiles) for part in parts)
        cells, wires = sum(part.cells for part in parts), sum(part.wires for part in parts)
        factor = Factor(len(parts), parts[0].inputs, parts[0].outputs, tiles, cells, wires)
        origin = origins.get(layer, layer)
        found[origin] = (*found.get(origin, ()), factor)
    return found


def states_after(steps: Iterable[CompileStep]) -> Iterator[State]:
    """Yield the factors of all layers after each step."""
    state: dict[str, tuple[Factor, ...]] = {}
    for step in steps:
        state = state | {each.layer: each.factors for each in step.layers}
        yield state


def recorded_steps(
    original: State, stages: Sequence[Stage], written: State, context: Context
) -> tuple[CompileStep, ...]:
    """Return the steps from the original network, by the stages that the passes left, to the written netlist.

    A stage that changed no layer is not measured again: its score and output error are those of the stage before it.
    """
    score = context.budget.base if context.trainer else None
    error = 0.0 if context.trainer is None and context.drift is not None else None
    steps = [CompileStep(INPUT, _changed({}, original), score, error)]
    state = original
    for stage in stages:
        now = state_of_network(stage.network, context.mapping) if stage.is_changed else state
        if stage.is_changed:
            score, error = _measured(stage.network, context)
        steps.append(CompileStep(stage.name, _changed(state, now), score, error, stage.stopped))
        state = now
    return (*steps, CompileStep(MAPPING, _changed(state, written), score, error))


def _measured(network: Network, context: Context) -> tuple[float | None, float | None]:
    """Return the validation score in percent, or the output error where there is no data."""
    if context.trainer is not None:
        return context.trainer.score(network), None
    error = context.drift(network) if context.drift is not None else math.inf
    return None, error if math.isfinite(error) else None


def _changed(before: State, after: State) -> tuple[FactoredLayer, ...]:
    names = dict.fromkeys([*after, *before])
    changed = (name for name in names if before.get(name, ()) != after.get(name, ()))
    return tuple(FactoredLayer(name, after.get(name, ())) for name in changed)
