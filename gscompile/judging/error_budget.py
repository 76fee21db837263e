"""The budget without data: an output error on synthetic samples, kept on others that did not choose the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gscompile.compensation.tile_rows import priced_rows
from gscompile.compensation.without_data import solved, without_cheap_rows
from gscompile.compression.passes import Change, Context, PassResult, without_dead_units
from gscompile.compression.rank_allocation import EXACT
from gscompile.crossbars.mapping import footprint
from gscompile.data.dataset import (
    Batch,
)
from gscompile.data.inputs import has_tensor_inputs
from gscompile.errors import ModelError
from gscompile.graph.network import Layer, Network
from gscompile.graph.weight_ops import Matrices
from gscompile.judging.bounds import Bounds
from gscompile.judging.budget import Measured, Search, UnmetBudget, find_other_form
from gscompile.judging.fitter import Fitter
from gscompile.judging.samples import PASSED_BY, Samples
from gscompile.judging.sampling import choose_samples
from gscompile.judging.test_set import TestSet
from gscompile.options import Options
from gscompile.scoring.replaced import Replaced
from gscompile.scoring.runner import RunBatch, Runner, is_unknown_op
from gscompile.scoring.tail import tail_quantile

if TYPE_CHECKING:
    from gscompile.training.synthetic_fit import SyntheticFit

SYNTHETIC = 4  # batches by which the written file is verified
MAX_SEARCHES = 6  # searches at most, each within a tighter bound than the last
SAVED_ENOUGH = 0.25  # of what a network takes: where ranks alone save as much, solving for weights is left out
MAX_OVERSHOOT = 1.5  # times the bound, which one draw of a thousand may pass
MAX_NAMED_LAYERS = 8  # layers that a message names


@dataclass(frozen=True, eq=False)
class ErrorBudget:
    """The output error on synthetic samples decides, and is confirmed on others; None where nothing is compared."""

    original: RunBatch | None
    deciding: Samples
    confirming: Samples
    max_error: float
    messages: tuple[str, ...]
    runs: bool = True
    exam: TestSet | None = None
    untouchable: frozenset[str] = frozenset()
    fitter: Fitter | None = None
    _further: list[Samples | None] = field(default_factory=list, repr=False)  # once they are drawn
    _errors: dict[tuple[bytes, str, bytes], float] = field(default_factory=dict, repr=False)  # a cache of probes

    @classmethod
    def without_samples(cls, max_error: float, said: str, runs: bool = True) -> ErrorBudget:
        """Nothing is compared, so nothing may be lost."""
        return cls(
            original=None,
            deciding=Samples([]),
            confirming=Samples([]),
            max_error=max_error,
            messages=(said,),
            runs=runs,
        )

    @property
    def probes(self) -> tuple[Batch, ...]:
        return tuple(self.deciding.batches)[:SYNTHETIC]

    @property
    def sample(self) -> Mapping[str, NDArray[Any]] | None:
        return self.deciding.draws[0].inputs if self.original else None

    @property
    def refusal(self) -> UnmetBudget:
        if self.original is None:
            why = "no output can be compared, so nothing may be lost"
            return UnmetBudget(why, "without --strict it is mapped as it is")
        why = f"nothing smaller fits an output error of {self.max_error:g} of the range"
        return UnmetBudget(why, "raise it, or give data")

    def context(self, base: Context) -> Context:
        replacing = None if self.original is None else self._drift_replacing
        return replace(base, drift=self._drift, drift_replacing=replacing, untouchable=self.untouchable)

    def _drift(self, network: Network) -> float:
        return float("inf") if self.original is None else self.deciding.drift(_plain(network))

    def _drift_replacing(self, network: Network) -> Callable[[Layer, Matrices], float]:
        """Return the output error of `network`, on few samples, as a function of one layer's matrices.

        Every round of a search asks about the same matrices of the same network: their errors are computed once.
        """
        replaced, errors, few = Replaced(network), self._errors, self.deciding.few
        if network.shelf is not None:  # too large to be read for a digest
            return lambda layer, matrices: self.deciding.drift_on(few, replaced.run(layer, matrices))

        def error(layer: Layer, matrices: Matrices) -> float:
            key = (replaced.digest, layer.name, sha1(np.ascontiguousarray(matrices).tobytes()).digest())
            if key not in errors:
                errors[key] = self.deciding.drift_on(few, replaced.run(layer, matrices))
            return errors[key]

        return error

    def search(self, run: Search, context: Context) -> Sequence[PassResult]:
        """Return the networks that passes find alone, and those whose weights are solved for; the smallest first.

        Solving takes longer, and is left out where passes alone save `SAVED_ENOUGH`.
        """
        if self.original is None:
            return run(context)
        if context.size is not None:
            return self._of_size(run, context)
        found = [*self._within(run, context)]
        if self.fitter is None or not self.fitter.deletes or self.max_error <= EXACT:
            return found
        saved = context.saving(self.fitter.network)
        least = max((saved(each.network) for each in found), default=0.0)
        if least >= SAVED_ENOUGH or context.out_of_time():
            return found
        fit = self.fitter.fit(context.note)
        smaller = None if fit is None else self._solved(found, fit, context)
        if fit is None or smaller is None or saved(smaller.network) <= least:
            return found
        context.note(fit.said)
        return [smaller, *found]

    def _solved(self, found: Sequence[PassResult], fit: SyntheticFit, context: Context) -> PassResult | None:
        """Return the smallest network of those found that fits, solved for and without rows that others stand in for.

        None where it has no more rows that may go within the bound, or where it does not fit then.
        """
        assert self.fitter is not None
        first = next((each for each in found if self.fits(each.network)), PassResult(self.fitter.network))
        context = replace(context, moments=fit.moments, refit=fit.refit)
        start = solved(first.network, context) if first.changes else first.network
        price, error = context.priced(start), self._drift_replacing(start)
        rows = priced_rows(start, fit.moments(start), context.mapping, price, error, self.untouchable)
        before = footprint(first.network, context.mapping)

        def run(at: Context) -> list[PassResult]:
            network = without_dead_units(without_cheap_rows(start, rows, at)).network
            after = footprint(network, context.mapping)
            change = Change("all layers", "wires", str(before.wires), str(after.wires))
            return [PassResult(network, (*first.changes, change))] if after != before else []

        smallest = next(iter(self._within(run, context)), None)
        return smallest if smallest is not None and self.fits(smallest.network) else None

    def _of_size(self, run: Search, context: Context) -> Sequence[PassResult]:
        """Return the network of least output error at a size; the smallest within the bound where that is beyond it."""
        fit = None if self.fitter is None else self.fitter.fit(context.note)
        found = run(context if fit is None else _fitting(context, fit))
        if not found or self.fits(found[0].network):
            if found and fit is not None:
                context.note(fit.said)
            return found
        error = self.confirming.drift(_plain(found[0].network))
        context.note(
            f"the network of the size that is asked for has an output error of {error:.3g} of the range, beyond "
            f"--max-output-error {self.max_error:g}: the smallest network found within --max-output-error is mapped"
        )
        return self.search(run, replace(context, size=None))

    def _within(self, run: Search, context: Context) -> Sequence[PassResult]:
        """Compress by `run` to bounds for the deciding samples, until the error of a network is just confirmed.

        The first bound is the one that was asked for. After one that is passed comes a tighter one, by the secant of
        log(excess) over log(bound); after one that saves nothing, or leaves much to spare, one between the two. The
        smallest network that was confirmed comes first; without any, what the last round found.
        """
        results, kept = run(context), list[PassResult]()
        rounds = Bounds(context.max_error)
        for _ in range(MAX_SEARCHES - 1):
            if context.out_of_time():
                break
            excess = self._excess(results[0].network) if results else 0.0
            if results and excess <= 1:
                kept.append(results[0])
            elif not kept:
                kept += [each for each in results[1:] if self.fits(each.network)][:1]
            rounds = rounds.after(excess)
            if rounds.is_done:
                break
            results = run(replace(context, max_error=rounds.bound))
        found = {id(each): each for each in (*results, *kept)}
        return sorted(found.values(), key=lambda each: footprint(each.network, context.mapping).cells)

    def _excess(self, network: Network | Path) -> float:
        """How many times the bound is passed, on the confirming samples or by one further draw of a thousand.

        With none of n samples beyond the bound, less than 3 / n of all draws are, 19 times out of 20.
        """
        errors, bound = self.confirming.errors(_plain(network)), max(self.max_error, EXACT)
        largest = float(errors.max())
        if largest <= EXACT:
            return 0.0
        beyond = tail_quantile(errors.tolist(), PASSED_BY) / (MAX_OVERSHOOT * bound)
        if largest > bound or beyond <= 1 or (further := self.further()) is None:
            return max(largest / bound, beyond)
        return further.drift(_plain(network)) / bound

    def further(self) -> Samples | None:
        """As many samples as the tail of few tells of, drawn where that would refuse a network; None of large ones.

        The largest error of 1 / `PASSED_BY` samples is the quantile that the tail estimates.
        """
        if not self._further:
            self._further.append(None if self.fitter is None else self.fitter.further(round(1 / PASSED_BY)))
        return self._further[0]

    def fits(self, network: Network) -> bool:
        return self.original is None or self._excess(network) <= 1

    def fits_written(self, path: Path) -> bool:
        """Return whether the outputs of the written file have the original's form and are within the error bound."""
        return self.original is None or (self.other_form(path) is None and self._excess(path) <= 1)

    def other_form(self, path: Path) -> str | None:
        return None if self.original is None else find_other_form(lambda: _plain(path), self.original, self.probes)

    def measure(self, path: Path) -> Measured:
        if self.original is None:
            return Measured((), None)
        compiled = _plain(path)
        rows = (self.exam.accuracy(self.original, compiled),) if self.exam else ()
        told = next(filter(None, self._further), self.confirming)
        found = told.confirmation(compiled)
        return Measured(rows, found.largest, found)


def _fitting(context: Context, fit: SyntheticFit) -> Context:
    """Return a context in which passes measure layers, and solve for weights, on synthetic samples."""
    return replace(context, moments=fit.moments, refit=fit.refit)


def _plain(model: Path | Network) -> Runner:
    """As the file says: optimised, products with dequantised weights are rounded to integers."""
    return Runner(model, optimise=False)


def compiled_around(what: str, options: Options) -> ErrorBudget:
    """Nothing is run, so nothing may be lost."""
    said = f"compiled around an op that onnxruntime does not run, no output compared: {what}"
    return ErrorBudget.without_samples(options.error, said, runs=False)


def budget_by_error(original: Network, folded: Network, options: Options) -> ErrorBudget:
    try:
        runner = _plain(original)
    except RuntimeError as problem:
        if not is_unknown_op(problem):
            raise ModelError(f"onnxruntime cannot run the network: {problem}") from problem
        return compiled_around(str(problem), options)
    exam = None if options.test is None else TestSet.of(options.test, runner, original.model, options.batch_size)
    if not has_tensor_inputs(original.model):
        said = "an input is no tensor: no data was made for it, no output compared"
        return ErrorBudget.without_samples(options.error, said)
    chosen = choose_samples(original, folded, runner, options)
    if isinstance(chosen, str):
        return ErrorBudget.without_samples(options.error, chosen)
    claim = "the test data is measured once, at the end" if exam else "no accuracy is claimed"
    said = f"no data: ranks are clipped to an output error on synthetic samples, and {claim}"
    messages = (said, *(exam.messages if exam else ()), *_not_reached(chosen.unmoved))
    return ErrorBudget(
        original=runner,
        deciding=chosen.deciding,
        confirming=chosen.confirming,
        max_error=options.error,
        messages=messages,
        exam=exam,
        untouchable=frozenset(chosen.unmoved),
        fitter=Fitter(folded, chosen, options.seed, _deletes(options)),
    )


def _deletes(options: Options) -> bool:
    """Return whether passes delete groups, beside ranks that are chosen by the output error."""
    names = [spec.partition(":")[0] for spec in options.passes]
    return "delete-groups" in names and not any("method=pca" in spec for spec in options.passes)


def _not_reached(layers: Sequence[str]) -> Iterator[str]:
    if layers:
        names = ", ".join(layers[:MAX_NAMED_LAYERS]) + (
            f" and {len(layers) - MAX_NAMED_LAYERS} more" if len(layers) > MAX_NAMED_LAYERS else ""
        )
        said = f"no sample moves an output through all weights of {names}: left as they are"
        yield f"{said}; --input-shape or --data may reach them"
