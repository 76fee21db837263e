"""The interface of a budget: what a network may lose, and how a written file is measured against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from gscompile.compression.passes import Context, PassResult
from gscompile.data.dataset import (
    Batch,
)
from gscompile.graph.network import Network
from gscompile.reporting.report import Accuracy, Confirmation
from gscompile.scoring.forms import other_form
from gscompile.scoring.runner import RunBatch

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Measured:
    """What onnxruntime says of a written model: scores on data, and the output error where labels do not decide."""

    accuracy: tuple[Accuracy, ...]
    drift: float | None
    confirmation: Confirmation | None = None


class UnmetBudget(NamedTuple):
    """Why the network stays as it is, and what would help; both in words."""

    why: str
    remedy: str


Search = Callable[[Context], Sequence[PassResult]]  # the results of passes, the smallest network first


class Budget(Protocol):
    """Tells passes what they may lose, and measures the file that was written."""

    @property
    def messages(self) -> tuple[str, ...]: ...

    @property
    def probes(self) -> tuple[Batch, ...]: ...

    @property
    def runs(self) -> bool: ...  # whether onnxruntime runs the original

    @property
    def refusal(self) -> UnmetBudget: ...

    @property
    def sample(self) -> Mapping[str, NDArray[Any]] | None: ...  # one input of the network

    def context(self, base: Context) -> Context: ...

    def search(self, run: Search, context: Context) -> Sequence[PassResult]:
        """Return the results of `run`, the smallest first; `run` again to a tighter bound where that does not fit."""

    def fits(self, network: Network) -> bool: ...

    def fits_written(self, path: Path) -> bool: ...  # within the budget, and outputs of the original's form

    def other_form(self, path: Path) -> str | None: ...  # an output of a written file that is not of that form

    def measure(self, path: Path) -> Measured: ...


def find_other_form(make: Callable[[], RunBatch], original: RunBatch, batches: Sequence[Batch]) -> str | None:
    """Return the first output whose type or shape is not the original's, in words; or why there are no outputs."""
    try:
        compiled = make()
        found = (other_form(compiled(batch.inputs), original(batch.inputs)) for batch in batches)
        return next(filter(None, found), None)
    except RuntimeError as problem:
        return f"onnxruntime refuses it: {problem}"
