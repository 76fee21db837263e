"""Choose the budget: by validation data where there is some, else by synthetic samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gscompile.data.synthetic import parse_input_shape
from gscompile.errors import ModelError
from gscompile.graph.network import Network
from gscompile.judging.accuracy_budget import budget_by_data
from gscompile.judging.budget import Budget
from gscompile.judging.crash_probe import crash_of
from gscompile.judging.error_budget import budget_by_error, compiled_around
from gscompile.options import Options
from gscompile.progress import Progress
from gscompile.training.run_context import RunContext

if TYPE_CHECKING:
    pass


def make_budget(
    original: Network, folded: Network, options: Options, progress: Progress, run_context: RunContext | None = None
) -> Budget:
    """A judge by data where there is some, else by synthetic samples."""
    dies = crash_of(original, dict(parse_input_shape(text) for text in options.input_shape))
    if dies and options.data is not None:
        raise ModelError(dies)
    if dies:
        return compiled_around(dies, options)
    if options.data is None:
        return budget_by_error(original, folded, options)
    if not any(layer.layout.compressible for layer in folded.layers):
        said = ("no weight of this network can be compressed: it is mapped as it is, the data is not used",)
        return replace(budget_by_error(original, folded, options), messages=said)
    return budget_by_data(original, folded, options, progress, run_context or RunContext())
