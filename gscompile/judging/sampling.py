"""The choice of synthetic samples: of shapes that exercise as many weights as possible."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import prod

from gscompile.data.synthetic import Filler, Shapes, accepted_shapes, parse_input_shape, values_may_be_refused
from gscompile.errors import ModelError
from gscompile.graph.network import Network
from gscompile.judging.exercised import exercised, to_try
from gscompile.judging.samples import Draw, Sampler, Samples
from gscompile.judging.unreached_rows import with_unreached_rows
from gscompile.options import Options
from gscompile.scoring.runner import Runner

DECIDING, CONFIRMING = 12, 64  # samples
MANY_WEIGHTS = 1 << 25  # of a network that is run on fewer samples
FEW_DECIDING, FEW_CONFIRMING = 4, 16
MAX_SHAPES = 6  # shapes that are tried while a weight moves no output
ROWS = ((4096, 8), (1 << 14, 4))  # values of a sample up to which so many make a batch; else samples come one by one
APART = 500_000  # from the numbers of deciding draws to those of confirming ones


@dataclass(frozen=True, eq=False)
class ChosenSamples:
    """Samples to decide on and others to confirm on, and the layers that move no output on those that decide.

    `sampler` draws more of the same kind.
    """

    deciding: Samples
    confirming: Samples
    unmoved: tuple[str, ...]
    sampler: Sampler


def choose_samples(original: Network, folded: Network, run: Runner, options: Options) -> ChosenSamples | str:
    """Return samples for which the original's outputs are finite; where there are none, a line that says why.

    Raises ModelError where onnxruntime runs the network on no sample, DataError where no size of an open axis fits.
    """
    given = dict(parse_input_shape(text) for text in options.input_shape)
    filler = Filler.of(original.model)
    for rows in dict.fromkeys((_rows(original, given, options.seed), 1)):  # one by one where most are not finite
        chosen = _choose(original, folded, run, filler, given, rows, options.seed)
        if chosen is not None:
            return chosen
    return _why_none(run, filler, original, given, options.seed)


def _rows(original: Network, given: Shapes, seed: int) -> int:
    """How many samples make a batch, where the network takes several."""
    shapes = next(accepted_shapes(original.model, given, 1, seed))
    values = sum(map(prod, shapes.values()))
    return next((rows for most, rows in ROWS if values <= most), 1)


def _choose(
    original: Network, folded: Network, run: Runner, filler: Filler, given: Shapes, rows: int, seed: int
) -> ChosenSamples | None:
    waiting = to_try(folded)
    is_large = sum(layer.layout.rows * layer.layout.cols * layer.layout.parts for layer in folded.layers) > MANY_WEIGHTS
    decide, confirm = (FEW_DECIDING, FEW_CONFIRMING) if is_large else (DECIDING, CONFIRMING)
    shapes: list[Shapes] = []
    drawn: list[Draw] = []  # of the first shapes
    for tried in islice(accepted_shapes(original.model, given, rows, seed), MAX_SHAPES):
        draws = Sampler(run, filler, (tried,), seed).draws(decide)
        if not draws:
            continue
        moved = {*exercised(folded, waiting, draws)}
        if moved or not shapes:
            shapes.append(tried)
            drawn = drawn or draws
        waiting = [layer for layer in waiting if layer.name not in moved]
        if not waiting:
            break
    if not shapes:
        return None
    sampler = Sampler(run, filler, tuple(shapes), seed)
    confirming = Samples(sampler.draws(confirm, APART))
    deciding = Samples(drawn if len(shapes) == 1 else sampler.draws(decide), like=confirming)
    if not confirming.draws:
        return None
    moved_layers = [layer for layer in to_try(folded) if layer not in waiting] if not is_large else []
    partly = {*with_unreached_rows(folded, moved_layers, (*deciding.draws, *confirming.draws))}
    unmoved = [*waiting, *(layer for layer in moved_layers if layer.name in partly)]
    return ChosenSamples(deciding, confirming, tuple(layer.origin for layer in unmoved), sampler)


def _why_none(run: Runner, filler: Filler, original: Network, given: Shapes, seed: int) -> str:
    """Return why there is no sample. Raises ModelError where no values of these shapes would run."""
    try:
        run(filler.fill(next(accepted_shapes(original.model, given, 1, seed)), seed))
    except RuntimeError as problem:
        if not values_may_be_refused(original.model):
            raise ModelError(f"onnxruntime cannot run the network: {problem}") from problem
        return f"onnxruntime runs no data made for the inputs, so nothing is compared and nothing lost: {problem}"
    return "no synthetic input gives finite outputs, so nothing is compared and nothing lost: give --data"
