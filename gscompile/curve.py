"""The frontier: accuracy against cells, tiles and wires, from one walk down and a longer tuning at some stops."""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from gscompile.compression.passes import Change, Context, Pass, PassResult, Stage, run_passes, without_dead_units
from gscompile.crossbars.mapping import Footprint, footprint
from gscompile.driver import Job, Written, as_folded, finish, first_fitting, follow, prepare, tell, write_original
from gscompile.errors import DataError, UsageError
from gscompile.files.staging import staged
from gscompile.graph.network import Network
from gscompile.judging.accuracy_budget import AccuracyBudget
from gscompile.judging.test_set import TEST
from gscompile.options import Options
from gscompile.passes import PASSES
from gscompile.progress import Progress
from gscompile.registry import create
from gscompile.reporting.frontier_picture import Spot, frontier_svg
from gscompile.training.run_context import open_run
from gscompile.write import write_model


@dataclass(frozen=True)
class FrontierPoint:
    """One network of the frontier: what it takes, and its scores in percent, through onnxruntime on the written file.

    `score` is on the data that decides, `test` on the test data where there is some; `file` is inside the folder.
    """

    cells: int
    tiles: int
    wires: int
    score: float
    test: float | None
    file: str


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network, what the passes changed on the way to it, and its point."""

    result: PassResult
    point: FrontierPoint


class Walker(Pass, Protocol):
    """A pass that can be watched on its way down, and knows how to tune a network on it for long."""

    def walk(self, network: Network, context: Context) -> Iterable[tuple[Network, float]]: ...

    def recovered(self, network: Network, context: Context) -> tuple[Network, float]: ...


def write_frontier(
    original: Network,
    name: str,
    out: Path,
    options: Options,
    points: int = 8,
    folders: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    resume: bool = True,
) -> tuple[FrontierPoint, ...]:
    """Write `frontier.csv`, `.json`, `.svg` and a folder per point into `out`: its model, or with `folders` everything.

    The curve ends `options.max_drop` points below the original. Raises a GscompileError; then `out` was not touched.
    Goes on from where the same call was interrupted, unless `resume` is False.
    """
    if options.finetune != "full":
        raise UsageError("frontier needs --finetune full: it goes down by training")
    if options.data is None:
        raise UsageError("frontier: needs --data: accuracy is what the curve is about")
    passes, progress = _Passes.of(options), progress or Progress()
    with open_run(out, options, force, resume, progress) as run_context:
        job = prepare(original, name, options, progress, run_context)
        if run_context.world.rank:
            told: tuple[FrontierPoint, ...] = follow(job, run_context.world)
            return told
        with staged(out, force) as folder:
            found = [_candidate(job, n, result, folder) for n, result in enumerate(_stops(job, passes, points))]
            best = not_dominated(found)
            final = tuple(_settled(job, n, candidate, folder, folders) for n, candidate in enumerate(best))
            for candidate in found:
                shutil.rmtree(folder / Path(candidate.point.file).parent, ignore_errors=True)
            _write_files(folder, job, found[0].point, final)
        tell(lambda: final, run_context.world)
    return final


@dataclass(frozen=True)
class _Passes:
    """The passes of the options: those before the walk, the one that walks, and those for every point."""

    before: tuple[Pass, ...]
    walker: Walker
    after: tuple[Pass, ...]

    @classmethod
    def of(cls, options: Options) -> _Passes:
        passes: list[Pass] = [create("pass", PASSES, spec) for spec in options.passes]
        place = next((i for i, each in enumerate(passes) if hasattr(each, "walk")), None)
        if place is None:
            raise UsageError("frontier: needs delete-groups among the passes: it is what walks down the curve")
        walker: Walker = passes[place]  # type: ignore[assignment]
        return cls(tuple(passes[:place]), walker, tuple(passes[place + 1 :]))


# -- the walk ---------------------------------------------------------------------------------------------------


def _stops(job: Job, passes: _Passes, points: int) -> Iterator[PassResult]:
    """The original, then tuned networks on the way down within the budget, at most `points` in all."""
    judge = job.judge
    if not isinstance(judge, AccuracyBudget):
        raise DataError(f"frontier: {'; '.join(judge.messages)}")
    yield as_folded(job)
    # the walk needs the rest of the budget
    gentle = replace(job.context, budget=job.context.budget.half(), later=(passes.walker.name,))
    start = run_passes(job.folded, passes.before, gentle).after(as_folded(job))
    descent = _Descent(start.network, passes.walker, job.context)
    with job.context.progress.stage(passes.walker.name):
        for network in descent.stops(points - 1):
            last = run_passes(network, passes.after, job.context)
            change = Change("all layers", "taken from the frontier", "", f"one of {len(descent.way)} on the way down")
            stage = Stage(passes.walker.name, network, True, "the frontier tunes a network of this size")
            yield last.after(PassResult(network, (change,), (stage,)).after(start))


class _Descent:
    """Networks on the way down, which of them were tuned, and whether those fit the budget."""

    def __init__(self, start: Network, walker: Walker, context: Context) -> None:
        self.way, self.walker, self.context = [start], walker, context
        self.fits: dict[int, bool] = {}

    def stops(self, most: int) -> Iterator[Network]:
        """Tuned networks that fit: the first, the last of each walk, then those in the widest gaps."""
        network: Network | None = self._tuned(0)
        while network is not None and sum(self.fits.values()) < most:
            yield network
            network = self._lower(network)
        sizes = [_size(footprint(each, self.context.mapping)) for each in self.way]
        while sum(self.fits.values()) < most and (place := next_stop(sizes, self.fits)) is not None:
            if (network := self._tuned(place)) is not None:
                yield network

    def _lower(self, network: Network) -> Network | None:
        """The end of another walk down from a tuned network, tuned; None where there is none that fits."""
        before = len(self.way)
        self.way += [each for each, _ in self.walker.walk(network, self.context)]
        return self._tuned(len(self.way) - 1) if len(self.way) > before else None

    def _tuned(self, place: int) -> Network | None:
        """A network of the way, tuned for long while there is time; None where it does not fit."""
        assert self.context.trainer is not None
        network = self.way[place]
        if self.context.out_of_time():
            score = self.context.trainer.score(network)
        else:
            network, score = self.walker.recovered(network, self.context)
        self.fits[place] = self.context.budget.met(score)
        return network if self.fits[place] else None


def _size(taken: Footprint) -> float:
    return math.log(max(taken.cells, 1)) + math.log(max(taken.wires, 1))


def next_stop(sizes: Sequence[float], fits: dict[int, bool]) -> int | None:
    """The place nearest the middle of the widest gap after one that fits; None where there is no gap.

    `sizes` fall along the way; `fits` tells of the places that are known.

    >>> next_stop([4, 3, 2, 1, 0], {0: True}), next_stop([4, 3, 2, 1, 0], {0: True, 2: False})
    (2, 1)
    >>> next_stop([4, 3, 2, 1, 0], {0: True, 1: True, 2: False}) is None
    True
    """
    last = len(sizes) - 1
    known = sorted({*fits, last + 1})
    gaps = [(a, b) for a, b in pairwise(known) if fits[a] and b - a > 1]
    if not gaps:
        return None
    a, b = max(gaps, key=lambda gap: sizes[gap[0]] - sizes[min(gap[1], last)])
    middle = 0.5 * (sizes[a] + sizes[min(b, last)])
    return min(range(a + 1, b), key=lambda place: abs(sizes[place] - middle))


# -- points -----------------------------------------------------------------------------------------------------


def _candidate(job: Job, number: int, result: PassResult, folder: Path) -> Candidate:
    """Write a network, without dead units where that fits the budget, and measure what was written.

    The original network is written where neither fits: it is a point already.
    """
    tidied = without_dead_units(result.network.copy())
    path = folder / f"candidate-{number:02d}" / "model.onnx"
    path.parent.mkdir()
    smaller = [tidied.after(result)] if tidied.changes else []
    kept = first_fitting([*smaller, result], job.judge, path) or write_original(job, path)
    now = footprint(Network.load(path), job.mapping)
    scores = job.judge.measure(path).accuracy
    test = next((accuracy.after for accuracy in scores if accuracy.split == TEST), None)
    file = path.relative_to(folder).as_posix()
    return Candidate(
        kept,
        FrontierPoint(cells=now.cells, tiles=now.tiles, wires=now.wires, score=scores[0].after, test=test, file=file),
    )


def not_dominated(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that no other beats in cells, wires and score at once, the largest first.

    Of equal candidates the first is kept.
    """
    kept = [c for i, c in enumerate(found) if not any(_beats(o.point, c.point, j < i) for j, o in enumerate(found))]
    return sorted(kept, key=lambda c: (-c.point.cells, -c.point.wires))


def _beats(q: FrontierPoint, p: FrontierPoint, earlier: bool) -> bool:
    """Whether q is nowhere worse than p, and somewhere better or came earlier.

    >>> a, b = FrontierPoint(10, 1, 10, 99.0, None, "a"), FrontierPoint(12, 1, 11, 98.0, None, "b")
    >>> _beats(a, b, False), _beats(b, a, True), _beats(a, a, False)
    (True, False, False)
    """
    no_worse = q.cells <= p.cells and q.wires <= p.wires and q.score >= p.score
    return no_worse and (earlier or (q.cells, q.wires, q.score) != (p.cells, p.wires, p.score))


def _settled(job: Job, number: int, candidate: Candidate, folder: Path, whole: bool) -> FrontierPoint:
    """A candidate in the folder where it stays, compiled entirely when asked for."""
    home, point = folder / f"point-{number:02d}", candidate.point
    if whole:
        finish(job, partial(_write, candidate.result), home, force=False)
    else:
        (folder / point.file).parent.rename(home)
    return replace(point, file=f"{home.name}/model.onnx")


def _write(result: PassResult, path: Path) -> Written:
    write_model(result.network, path)
    return result, []


# -- files ------------------------------------------------------------------------------------------------------


def _write_files(folder: Path, job: Job, first: FrontierPoint, points: Sequence[FrontierPoint]) -> None:
    (folder / "frontier.json").write_text(json.dumps(_facts(job, first, points), indent=1) + "\n", "utf-8")
    with (folder / "frontier.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(FrontierPoint)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in points)
    (folder / "frontier.svg").write_text(_picture(job, first, points), "utf-8")


def _picture(job: Job, first: FrontierPoint, points: Sequence[FrontierPoint]) -> str:
    """On the test data where there is some."""
    tested = first.test is not None
    title = f"{job.name}: {'test accuracy' if tested else 'validation score'} and what it takes"
    spots = [Spot(p.cells, p.wires, p.tiles, p.score if p.test is None else p.test) for p in (first, *points)]
    return frontier_svg(title, spots[0], spots[1:])


def _facts(job: Job, first: FrontierPoint, points: Sequence[FrontierPoint]) -> dict[str, object]:
    mapping = job.mapping
    return {
        "model": job.name,
        "crossbar": str(mapping.crossbar),
        "tiling": mapping.tiling,
        "score": f"{job.judge.trainer.metric.name} on {job.judge.split}"
        if isinstance(job.judge, AccuracyBudget)
        else None,
        "options": job.options.plain(),
        "seconds": round(time.perf_counter() - job.began, 1),
        "original": {name: value for name, value in asdict(first).items() if name != "file"},
        "points": [asdict(point) for point in points],
    }
